"""Sorts a message's recipients by transport and next hop, as qmgr(8) does before it delivers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.address import AddressClass
from mta.queue.message import QueuedMessage, QueuedRecipient
from mta.queue.settings import ManagerSettings
from mta.tables import TableError

logger = logging.getLogger("postfix.qmgr")

ERROR, RETRY = "error", "retry"
SWALLOW = "qmgr: discard"
"""No transport of master.cf has such a name: what the queue manager itself makes disappear."""


class Resolution(Protocol):
    """What is needed of mta.address.Resolution."""

    @property
    def address_class(self) -> AddressClass: ...
    @property
    def transport(self) -> str: ...
    @property
    def nexthop(self) -> str: ...
    @property
    def recipient(self) -> str: ...
    @property
    def error(self) -> bool: ...


class Resolver(Protocol):
    """mta.address.Resolver."""

    async def resolve(self, address: str, sender: str = "", /) -> Resolution: ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where some recipients go."""

    transport: str
    nexthop: str


async def routes(
    message: QueuedMessage, recipients: Sequence[QueuedRecipient], resolver: Resolver, settings: ManagerSettings
) -> dict[Route, list[QueuedRecipient]]:
    """Recipients by route, in their order. What cannot be resolved goes to `error` or `retry`."""
    found: dict[Route, list[QueuedRecipient]] = {}
    for recipient in recipients:
        route = await _route(message, recipient, resolver, settings)
        found.setdefault(route, []).append(recipient)
    return found


async def _route(
    message: QueuedMessage, recipient: QueuedRecipient, resolver: Resolver, settings: ManagerSettings
) -> Route:
    address = recipient.recipient.address
    if message.filter and not message.is_probe:
        transport, _, nexthop = message.filter.partition(":")
        nexthop = nexthop or settings.filter_nexthop or address.rpartition("@")[2]
        return _unless_deferred(Route(transport, nexthop), settings)
    try:
        resolution = await resolver.resolve(address, message.sender)
    except TableError as error:
        logger.warning("%s: address resolution of %s failed: %s", message.queue_id, address, error)
        return Route(RETRY, "4.3.0 address resolver failure")
    if resolution.address_class is AddressClass.LOCAL and _local_part(resolution) == settings.double_bounce.casefold():
        # Nobody reads it: a notice about a notice about a notice ends here (qmgr_message_resolve).
        return Route(SWALLOW, "undeliverable postmaster notification discarded")
    if resolution.error:
        return Route(ERROR, "5.1.3 bad address syntax")
    return _unless_deferred(Route(resolution.transport, resolution.nexthop), settings)


def _local_part(resolution: Resolution) -> str:
    return resolution.recipient.rpartition("@")[0].casefold()


def _unless_deferred(route: Route, settings: ManagerSettings) -> Route:
    """The route, but for a transport that is to be left alone (defer_transports)."""
    return Route(RETRY, "4.3.2 deferred transport") if route.transport in settings.defer_transports else route
