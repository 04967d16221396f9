"""The tools under their known names (postconf, sendmail, doveconf ...) and where their code is."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import NamedTuple


class Tool(NamedTuple):
    """A tool: `module:function` of a `main(argv) -> exit status`, and what it is for."""

    entry: str
    summary: str


TOOLS = {
    "postconf": Tool("mta.config.postconf:main", "show and edit main.cf and master.cf parameters"),
    "postmap": Tool("mta.tables.postmap:main", "create and query lookup tables"),
    "postalias": Tool("mta.tables.postmap:postalias_main", "create and query alias databases"),
    "postqueue": Tool("mta.queue.postqueue:main", "list and flush the mail queue"),
    "postsuper": Tool("mta.queue.postsuper:main", "delete, hold, release and requeue mail"),
    "qshape": Tool("mta.queue.qshape:main", "show the mail queue by domain and age"),
    "postcat": Tool("mta.queue.postcat:main", "show a queued message"),
    "sendmail": Tool("mta.sendmail.command:main", "submit mail as every Unix program does"),
    "mailq": Tool("mta.sendmail.command:mailq", "list the mail queue"),
    "newaliases": Tool("mta.sendmail.command:newaliases", "rebuild the alias database"),
    "policyd": Tool("mta.policyd.command:main", "answer Postfix policy requests (SPF) on standard input"),
    "doveconf": Tool("auth.doveconf:main", "show dovecot.conf settings"),
    "doveadm": Tool("auth.doveadm:main", "test log-ins, look users up, hash passwords"),
    "saslauthd": Tool("lab.saslauthd:main", "check passwords for programs of Cyrus SASL, over a unix socket"),
    "testsaslauthd": Tool("auth.cyrus.testsaslauthd:main", "try a password on a saslauthd"),
    "saslpasswd2": Tool("auth.cyrus.saslpasswd:main", "set and delete the passwords of sasldb users"),
    "sasldblistusers2": Tool("auth.cyrus.saslpasswd:list_main", "list the users of a sasldb"),
    "tlswrap": Tool("tls.wraptool:main", "put TLS before a plain daemon or a plain client, as stunnel does"),
    "ca": Tool("tls.tool:main", "issue and renew certificates of the lab's authority"),
}


def known(name: str) -> bool:
    """Whether there is a tool of that name."""
    return name in TOOLS


def run(name: str, arguments: list[str]) -> int:
    """Run a tool and return its exit status."""
    try:
        return load(TOOLS[name].entry)(arguments)
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130


def load(entry: str) -> Callable[[list[str]], int]:
    """The function that "module:function" names. Raises SystemExit(69) with one line if it is not installed."""
    module, _, function = entry.partition(":")
    try:
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]
    except (ModuleNotFoundError, AttributeError) as error:
        print(f"hardmail: {entry} is not part of this installation ({error})", file=sys.stderr)
        raise SystemExit(os.EX_UNAVAILABLE) from None
