"""Who connects: the client's names, as smtpd(8) looks them up before it greets."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from mta.dns import ClientName, Resolver
from mta.smtpd.session import NameStatus, Peer

KNOWN_SECONDS: Final = 3.0
"""How long a client's names are taken for granted: enough for a burst of connections from one client."""
KNOWN_LIMIT: Final = 10_000
"""Clients remembered at once."""

_STATUS: Final = {
    "2": NameStatus.FOUND,
    "4": NameStatus.TEMPORARY,
    "5": NameStatus.PERMANENT,
    "6": NameStatus.FORGED,
}


class Peers:
    """Names from the DNS, unless smtpd_peername_lookup = no."""

    def __init__(self, resolver: Resolver, look_up: bool) -> None:
        self.resolver = resolver
        self.look_up = look_up
        self._known: dict[str, tuple[float, ClientName]] = {}

    async def identify(self, peer: Peer) -> Peer:
        """The same peer with its reverse name and, where that leads back to the address, its name."""
        if not self.look_up:
            return replace(peer, name_status=NameStatus.TEMPORARY, reverse_status=NameStatus.TEMPORARY)
        found = await self._client_name(peer.address)
        status, reverse_status = _STATUS[found.code], _STATUS[found.reverse_code]
        return Peer(peer.address, peer.port, found.name, found.reverse_name, status, reverse_status, peer.logs_port)

    async def _client_name(self, address: str) -> ClientName:
        now = time.monotonic()
        known = self._known.get(address)
        if known is not None and now < known[0]:
            return known[1]
        found = await self.resolver.client_name(address)
        if len(self._known) >= KNOWN_LIMIT:
            self._known.clear()
        self._known[address] = now + KNOWN_SECONDS, found
        return found
