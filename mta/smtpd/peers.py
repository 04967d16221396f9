"""Who connects: the client's names, as smtpd(8) looks them up before it greets."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mta.dns import Resolver
from mta.smtpd.session import NameStatus, Peer

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

    async def identify(self, peer: Peer) -> Peer:
        """The same peer with its reverse name and, where that leads back to the address, its name."""
        if not self.look_up:
            return replace(peer, name_status=NameStatus.TEMPORARY, reverse_status=NameStatus.TEMPORARY)
        found = await self.resolver.client_name(peer.address)
        return replace(
            peer,
            name=found.name,
            reverse_name=found.reverse_name,
            name_status=_STATUS[found.code],
            reverse_status=_STATUS[found.reverse_code],
        )
