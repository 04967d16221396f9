"""What one smtp or lmtp service of master.cf works with."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from mta.delivery.smtp.hosts import Lookups
from mta.delivery.smtp.pool import Pool
from mta.delivery.smtp.sasl import SaslSettings
from mta.delivery.smtp.saslcache import Refusals
from mta.delivery.smtp.settings import ClientSettings
from mta.delivery.smtp.tlspolicy import Maps, PolicyTable
from mta.delivery.statusfilter import StatusFilter
from mta.message.checks import Checks


class Generic(Protocol):
    """smtp_generic_maps: addresses as the outside world is to see them."""

    async def address(self, address: str) -> str: ...
    async def content(self, content: bytes) -> bytes: ...


@dataclass(slots=True)
class Tools:
    """What the client uses of its surroundings."""

    lookups: Lookups
    tls: PolicyTable
    sasl: SaslSettings = field(default_factory=SaslSettings)
    passwords: Maps | None = None
    generic: Generic | None = None
    checks: Checks | None = None
    """smtp_header_checks and their kin: what a message looks like on its way out."""
    discard: Maps | None = None
    """smtp_discard_ehlo_keyword_address_maps"""
    reply_filter: Maps | None = None
    refusals: Refusals | None = None
    """Passwords that servers refused (smtp_sasl_auth_cache_name)."""
    status_filter: StatusFilter | None = None
    own_addresses: Iterable[str] = ()
    clock: Callable[[], float] = time.time


@dataclass(slots=True)
class Client:
    """Parameters, tools and kept connections of one service."""

    settings: ClientSettings
    tools: Tools
    pool: Pool
    logger: logging.Logger
