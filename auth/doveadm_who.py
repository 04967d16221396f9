"""doveadm who, kick and penalty: who is logged in, end sessions, and which addresses wait (man doveadm-who, -kick)."""

from __future__ import annotations

import asyncio
import getopt
import ipaddress
import os
import sys
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from .client import AuthUnavailable, MasterClient
from .doveadm_format import FORMATTERS, Column
from .dovecotconf import DovecotConfig
from .sessions import KICK, Session, read

EX_NOTFOUND = 68

WHO = (
    Column("username"), Column("#", "connections", right=True), Column("proto", "service"), Column("(pids)", "pids"),
    Column("(ips)", "ips"),
)  # fmt: skip
WHO_EACH = (Column("username", expands=True), Column("proto", "service"), Column("pid"), Column("ip"))
PENALTY = (Column("IP"), Column("penalty"), Column("last_penalty"), Column("last_update"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Context(Protocol):
    """What the commands need of doveadm."""

    @property
    def formatter(self) -> str:
        """The output format (``-f`` before the command)."""

    def config(self) -> DovecotConfig:
        """dovecot.conf."""

    def socket(self, given: str | None, name: str) -> Path:
        """The socket to ask."""


class _BadMask(Exception):
    """Masks that cannot be combined; the text is the message."""


def _network(word: str) -> Network | None:
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        return None


class _Filter:
    """A user mask and a network, either of which may be missing."""

    def __init__(self, masks: Sequence[str]) -> None:
        """Raises _BadMask."""
        networks = [network for mask in masks if (network := _network(mask)) is not None]
        users = [mask for mask in masks if _network(mask) is None]
        if len(networks) > 1 or len(users) > 1:
            raise _BadMask(f"Multiple {'network' if len(networks) > 1 else 'username'} masks not supported")
        self._network = networks[0] if networks else None
        self._user = users[0].lower().replace("[", "[[]") if users else None

    def takes(self, session: Session) -> bool:
        """Whether the masks fit a session."""
        return self.takes_user(session.user) and self.takes_address(session.address)

    def takes_user(self, user: str) -> bool:
        return self._user is None or fnmatchcase(user.lower(), self._user)

    def takes_address(self, address: str) -> bool:
        if self._network is None:
            return True
        try:
            return ipaddress.ip_address(address) in self._network
        except ValueError:
            return False


def _filtered(command: Callable[[Context, dict[str, str], _Filter], int], options: str) -> Callable[..., int]:
    """Options and masks before the command itself."""

    def run(context: Context, argv: list[str]) -> int:
        flags, masks = getopt.gnu_getopt(argv, options)
        try:
            return command(context, dict(flags), _Filter(masks))
        except _BadMask as error:
            print(f"Error: {error}", file=sys.stderr)
            return os.EX_USAGE
        except OSError as error:
            print(f"Fatal: {error.filename}: {error.strerror}", file=sys.stderr)
            return os.EX_TEMPFAIL

    return run


def _who(context: Context, flags: dict[str, str], wanted: _Filter) -> int:
    sessions = read(context.config().base_dir)
    write = FORMATTERS[context.formatter or "table"]
    if "-1" in flags:
        rows = [(each.user, each.protocol, str(each.pid), each.address) for each in sessions if wanted.takes(each)]
        sys.stdout.write(write(WHO_EACH, rows))
        return 0
    groups: dict[tuple[str, str], list[Session]] = {}
    for session in sessions:
        groups.setdefault((session.user, session.protocol), []).append(session)
    rows_of_users = []
    for (user, protocol), members in groups.items():
        pids = dict.fromkeys(str(each.pid) for each in members)
        addresses = dict.fromkeys(each.address for each in members)
        if wanted.takes_user(user) and any(map(wanted.takes_address, addresses)):
            rows_of_users.append((user, str(len(members)), protocol, f"({' '.join(pids)})", f"({' '.join(addresses)})"))
    sys.stdout.write(write(WHO, rows_of_users))
    return 0


def _kick(context: Context, flags: dict[str, str], wanted: _Filter) -> int:
    sessions = [each for each in read(context.config().base_dir) if wanted.takes(each)]
    for session in sessions:
        session.mark()
    for pid in {session.pid for session in sessions}:
        os.kill(pid, KICK)
    if not sessions:
        print("no users kicked")
        return EX_NOTFOUND
    names = sorted({session.user for session in sessions})
    print(f"{' '.join(names)} kicked connections from the following users:\n")
    return 0


def _penalty(context: Context, flags: dict[str, str], wanted: _Filter) -> int:
    client = MasterClient(context.socket(flags.get("-a"), "auth-master"))

    async def ask() -> list[tuple[str, int, float, float]]:
        try:
            return [row async for row in client.penalties()]
        finally:
            await client.close()

    try:
        found = asyncio.run(ask())
    except AuthUnavailable as error:
        print(f"Fatal: {error}", file=sys.stderr)
        return os.EX_TEMPFAIL
    rows = [
        (address, str(count), _local(penalty, "%Y-%m-%d %H:%M:%S"), _local(update, "%H:%M:%S"))
        for address, count, penalty, update in found
        if wanted.takes_address(address)
    ]
    sys.stdout.write(FORMATTERS[context.formatter or "table"](PENALTY, rows))
    return 0


def _local(seconds: float, form: str) -> str:
    return time.strftime(form, time.localtime(seconds))


who = _filtered(_who, "a:1")
"""``who [-1] [user mask] [ip/bits]``."""


def kick(context: Context, argv: list[str]) -> int:
    """``kick [-f] <user mask> | <ip/bits>``; 68 when nobody fits. A user is never kicked for another's sake here."""
    if not getopt.gnu_getopt(argv, "a:f")[1]:
        print("Error: user and/or ip[/bits] must be specified.", file=sys.stderr)
        return os.EX_USAGE
    return _filtered(_kick, "a:f")(context, argv)


def penalty(context: Context, argv: list[str]) -> int:
    """``penalty [ip/bits]``: addresses whose next attempt has to wait."""
    if any(_network(mask) is None for mask in getopt.gnu_getopt(argv, "a:")[1]):
        print(f"Error: Invalid ip/bits: {argv[-1]}", file=sys.stderr)
        return os.EX_USAGE
    return _filtered(_penalty, "a:")(context, argv)
