"""doveadm(1), the parts that concern authentication: auth ..., kick, penalty, pw, user, who."""

from __future__ import annotations

import getopt
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import doveadm_auth, doveadm_pw, doveadm_user, doveadm_who
from .doveadm_format import FORMATTERS
from .doveconf import DEFAULT_CONFIG, EXIT_CONFIG
from .doveconf import main as doveconf
from .dovecotconf import ConfigErrors, DovecotConfig

USAGE = """usage: doveadm [-c <config file>] [-Dv] [-f <formatter>] <command> [<args>]

  auth test    [-a <auth socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]
  auth login   [-a <auth-login socket path>] [-m <auth-master socket path>] [-x <auth info>] [-M <master user>] <user> [<password>]
  auth lookup  [-a <userdb socket path>] [-x <auth info>] [-f field] <user> [<user> [...]]
  auth cache flush [-a <master socket path>] [<user> [...]]
  config       [doveconf parameters]
  kick         [-f] <user mask> | <ip/bits>
  penalty      [-a <auth master socket path>] [<ip/bits>]
  pw           [-l] [-p plaintext] [-r rounds] [-s scheme] [-t hash] [-u user] [-V]
  user         [-a <userdb socket path>] [-x <auth info>] [-f field] [-e <value>] [-u] <user mask> [<user mask> [...]]
  who          [-1] [<user mask>] [<ip/bits>]

example: hardmail doveadm -c /etc/dovecot auth test alice
"""  # noqa: E501 - as long as Dovecot's own


@dataclass(frozen=True, slots=True)
class Context:
    """What stands before the command: the configuration (read when asked for) and the output format."""

    path: Path
    formatter: str
    """As given by ``-f``; "" for the command's own."""

    def config(self) -> DovecotConfig:
        """dovecot.conf. Raises ConfigErrors."""
        return DovecotConfig.load(self.path)

    def socket(self, given: str | None, name: str) -> Path:
        """The socket to ask: as given, else ``name`` in base_dir."""
        return Path(given) if given else self.config().base_dir / name


Command = Callable[[Context, list[str]], int]

COMMANDS: dict[tuple[str, ...], Command] = {
    ("auth", "test"): doveadm_auth.test,
    ("auth", "login"): doveadm_auth.login,
    ("auth", "lookup"): doveadm_auth.lookup,
    ("auth", "cache", "flush"): doveadm_auth.flush,
    ("kick",): doveadm_who.kick,
    ("penalty",): doveadm_who.penalty,
    ("user",): doveadm_user.user,
    ("who",): doveadm_who.who,
}


def main(argv: list[str]) -> int:
    """Run doveadm; returns its exit status (sysexits, 77 for a refused log-in, 89 for a wrong configuration)."""
    try:
        flags, rest = getopt.getopt(argv, "+c:Df:o:v", ["help"])
    except getopt.GetoptError as error:
        print(f"doveadm: {error.msg}", file=sys.stderr)
        return os.EX_USAGE
    values = dict(flags)
    if "--help" in values or rest[:1] == ["help"]:
        print(USAGE, end="")
        return 0
    context = Context(Path(values.get("-c", DEFAULT_CONFIG)), values.get("-f", ""))
    if context.formatter and context.formatter not in FORMATTERS:
        print(f"Fatal: Unknown formatter: {context.formatter}", file=sys.stderr)
        return os.EX_USAGE
    try:
        return _run(context, rest)
    except getopt.GetoptError as error:
        print(f"doveadm: {error.msg}\n{USAGE}", end="", file=sys.stderr)
        return os.EX_USAGE
    except ConfigErrors as error:
        print("\n".join(f"Fatal: {fault}" for fault in error.errors), file=sys.stderr)
        return EXIT_CONFIG


def _run(context: Context, rest: list[str]) -> int:
    if rest[:1] == ["pw"]:
        return doveadm_pw.pw(rest[1:])
    if rest[:1] == ["config"]:
        return doveconf(["-c", str(context.path), *rest[1:]])
    for words, command in COMMANDS.items():
        if tuple(rest[: len(words)]) == words:
            return command(context, rest[len(words) :])
    print(USAGE, end="", file=sys.stderr)
    return os.EX_USAGE
