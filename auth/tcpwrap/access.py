"""Judges a request by two tables: granted by hosts.allow, or refused by hosts.deny, or granted: hosts_access(5)."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import Final

from auth.tcpwrap.options import Option, severity
from auth.tcpwrap.patterns import (
    PARANOID,
    UNKNOWN,
    Request,
    Words,
    matches_client,
    matches_daemon,
    matches_list,
    no_files,
)
from auth.tcpwrap.syntax import Rule, Table

_HARMLESS: Final = frozenset("1234567890!@%-_=+:,./abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""Characters of names and addresses that an expansion keeps; the others become an underscore."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a client."""

    granted: bool
    rule: Rule | None = None
    file: str = ""
    level: int = logging.INFO
    """Of the line in the log (the option `severity`)."""
    banners: str = ""
    """Directory with a file for each daemon, whose text the client gets first (the option `banners`)."""

    @property
    def because(self) -> str:
        """The rule that decided, for the log."""
        return f"{self.file}, line {self.rule.line}" if self.rule else "no rule matches"


def decide(allow: Table, deny: Table, request: Request, files: Words = no_files) -> Decision:
    """The first rule that matches decides, hosts.allow before hosts.deny."""
    for table, granted in ((allow, True), (deny, False)):
        for rule in table.rules:
            if matches(rule, request, files):
                return _obey(rule, table.file, granted)
        if table.broken and not granted:
            return Decision(False, Rule(table.broken, (), ()), table.file)
    return Decision(True)


def matches(rule: Rule, request: Request, files: Words = no_files) -> bool:
    """Whether a rule is about this request."""
    return matches_list(rule.daemons, lambda word: matches_daemon(word, request, files)) and matches_list(
        rule.clients, lambda word: matches_client(word, request, files)
    )


def _obey(rule: Rule, file: str, granted: bool) -> Decision:
    level, banners = logging.INFO, ""
    if rule.error:
        granted = False
    for option in rule.options:
        match option:
            case Option("allow"):
                granted = True
            case Option("deny" | "twist" | "aclexec"):
                granted = False
            case Option("severity", value):
                level = severity(value)
            case Option("banners", value):
                banners = value
    return Decision(granted, rule, file, level, banners)


def expand(text: str, request: Request) -> str:
    """A text with the %-expansions of hosts_access(5); what the client could choose is made harmless."""
    client, server = request.client, request.server
    client_host = client.address if client.name in (UNKNOWN, PARANOID) else client.name
    server_host = server.address if server.name in (UNKNOWN, PARANOID) else server.name
    values = {
        "a": client.address,
        "A": server.address,
        "c": client_host if request.user == UNKNOWN else f"{request.user}@{client_host}",
        "d": request.daemon,
        "h": client_host,
        "H": server_host,
        "n": client.name,
        "N": server.name,
        "p": str(os.getpid()),
        "s": request.daemon if server_host == UNKNOWN else f"{request.daemon}@{server_host}",
        "u": request.user,
        "%": "%",
    }
    parts = text.split("%")
    done = [parts[0]]
    rest = iter(parts[1:])
    for part in rest:
        if not part:  # %% : the next part follows a plain percent sign
            done += ["%", next(rest, "")]
        elif part[0] in values:
            done += [_harmless(values[part[0]]), part[1:]]
        else:
            done += ["%", part]
    return "".join(done)


def _harmless(value: str) -> str:
    return "".join(character if character in _HARMLESS else "_" for character in value)
