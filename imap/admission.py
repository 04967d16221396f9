"""TCP wrappers in front of IMAP and POP3: hosts.allow and hosts.deny are asked before the greeting."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Final

from auth.tcpwrap import PARANOID, UNKNOWN, AccessFiles, Host, Request

NAME_TIMEOUT: Final = 5.0
"""Seconds for both lookups of a client's name; without an answer it has none."""


class Admission:
    """Who may talk to one service (`daemon` is `imap` or `pop3`, as Dovecot's tcpwrap service calls them)."""

    def __init__(self, files: AccessFiles, daemon: str) -> None:
        self._files = files
        self._daemon = daemon
        self._log = logging.getLogger(f"dovecot.{daemon}-login")

    async def admit(self, remote: str, local: str) -> tuple[bool, bytes]:
        """Whether the client is served, and what it is told first (the option `banners`)."""
        name = await client_name(remote) if self._files.asks_for_names else UNKNOWN
        request = Request(self._daemon, Host(remote, name), Host(local))
        decision = self._files.decide(request)
        if not decision.granted:
            shown = UNKNOWN if name == PARANOID else name
            self._log.log(decision.level, "refused connect from %s[%s]", shown, remote)
        return decision.granted, self._files.banner(decision, request)


async def client_name(address: str) -> str:
    """The name of an address as libwrap sees it: PARANOID unless the name leads back to the address."""
    loop = asyncio.get_running_loop()
    name = UNKNOWN
    try:
        async with asyncio.timeout(NAME_TIMEOUT):
            name, _ = await loop.getnameinfo((address, 0), socket.NI_NAMEREQD)
            found = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return UNKNOWN if name == UNKNOWN else PARANOID
    return name if address in {entry[4][0] for entry in found} else PARANOID
