"""doveconf(1): show the settings of dovecot.conf."""

from __future__ import annotations

import getopt
import platform
import socket
import sys
from pathlib import Path

from .dovecotconf import ConfigErrors, DovecotConfig
from .dovecotconf.dump import Dump, Options

EXIT_CONFIG = 89
"""Dovecot's exit status for a configuration that cannot be used."""

DEFAULT_CONFIG = "/etc/dovecot/dovecot.conf"

USAGE = """usage: doveconf [-adnNPsSx] [-c <config file>] [-f <filter>] [-h] [<name>|<section> ...]

  -a  all settings                      -n  settings that differ from their defaults
  -d  the defaults                      -N  also settings set to their defaults
  -h  values without names              -P  passwords and keys too
  -s  also hidden settings              -S  one "name=value" per line
  -x  expand $names, show the contents of <files
  -f  protocol=imap | local=192.0.2.1 | remote=198.51.100.7 | lname=mail.example.org

example: hardmail doveconf -c /etc/dovecot -n
"""


def main(argv: list[str]) -> int:
    """Run doveconf; returns its exit status (0, 64 for a wrong command line, 89 for a wrong configuration)."""
    if argv[:1] == ["--help"]:
        print(USAGE, end="")
        return 0
    try:
        flags, names = getopt.gnu_getopt(argv, "ac:df:hm:nNPexsS")
    except getopt.GetoptError as error:
        print(f"doveconf: {error.msg}\n{USAGE}", file=sys.stderr, end="")
        return 64
    values = dict(flags)
    path = Path(values.get("-c", DEFAULT_CONFIG))
    path = path / "dovecot.conf" if path.is_dir() else path
    scope = "defaults" if "-d" in values else "set" if "-N" in values else "changed" if "-n" in values else "all"
    options = Options(scope, "-s" in values, "-P" in values, "-x" in values, "-S" in values, "-h" not in values)
    if not names and "-S" not in values:
        _header(path, everything=scope == "all")
    return _run(path, options, [value for flag, value in flags if flag == "-f"], names)


def _run(path: Path, options: Options, filters: list[str], names: list[str]) -> int:
    try:
        config = DovecotConfig.read(path, expand=options.expand)
        view = _filtered(config, filters)
    except ConfigErrors as error:
        return _fail([str(fault) for fault in error.errors])
    for warning in config.warnings:
        print(f"doveconf: Warning: {warning}", file=sys.stderr)
    dump = Dump(view, options)
    for line in [line for name in names for line in dump.named(name)] if names else dump.lines():
        print(line.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))
    if names:
        return 0
    return _fail([str(fault) for fault in config.faults()])


def _filtered(config: DovecotConfig, filters: list[str]) -> DovecotConfig:
    """The configuration under ``-f name=value`` conditions. Raises ConfigErrors for an unknown name."""
    given: dict[str, str] = {}
    names = {"protocol": "protocol", "service": "protocol", "local": "local", "remote": "remote", "lname": "local_name"}
    for word in filters:
        name, _, value = word.partition("=")
        if name not in names:
            raise ConfigErrors.single(config.source, f"Unknown filter argument: {word}")
        given[names[name]] = value
    return config.connection(**given) if given else config


def _fail(messages: list[str]) -> int:
    for message in messages[:-1]:
        print(f"doveconf: Error: {message}", file=sys.stderr)
    if not messages:
        return 0
    print(f"doveconf: Fatal: {messages[-1]}", file=sys.stderr)
    return EXIT_CONFIG


def _header(path: Path, *, everything: bool) -> None:
    print(f"# hardmail (as Dovecot 2.3): {path}")
    print(f"# OS: {platform.system()} {platform.release()} {platform.machine()}")
    print(f"# Hostname: {socket.gethostname()}")
    if everything:
        print("# NOTE: Send doveconf -n output instead when asking for help.")
