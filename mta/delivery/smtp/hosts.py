"""Which addresses to connect to, in which order (RFC 5321 section 5.1, RFC 7505, smtp_host_lookup)."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.delivery.result import Dsn
from mta.delivery.smtp.nexthop import Destination
from mta.delivery.smtp.settings import ClientSettings

IMPLICIT_PREFERENCE = 0
MAX_HOSTS = 100
"""MX records looked at for one domain; an answer with more is somebody's mistake or malice."""


class NotFound(Exception):
    """The name or record does not exist."""


class TemporaryFailure(Exception):
    """The answer is not known now."""


class Lookups(Protocol):
    """DNS as the client needs it. Each raises NotFound or TemporaryFailure, with what to say in `str(error)`."""

    async def mx(self, domain: str) -> Sequence[tuple[int, str]]:
        """(preference, host); host "." or "" for a null MX (RFC 7505)."""

    async def addresses(self, host: str, native: bool) -> Sequence[str]:
        """IPv4 and IPv6 addresses of a host, as text."""


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One server address."""

    host: str
    address: str
    preference: int = IMPLICIT_PREFERENCE

    @property
    def ipv6(self) -> bool:
        return ":" in self.address


class HostFailure(Exception):
    """No address to connect to; `.dsn` says why."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn.reason)
        self.dsn = dsn


async def find(
    destination: Destination,
    settings: ClientSettings,
    lookups: Lookups,
    mine: Iterable[str] = (),
    port_is_smtp: bool = True,
) -> list[HostAddress]:
    """Addresses for a destination, best first. `mine`: this system's own addresses. Raises HostFailure."""
    if settings.lmtp or destination.literal or not settings.use_dns:
        return await _of_host(destination.host, settings, lookups)
    if destination.is_address:
        return await _of_host(destination.host, settings, lookups)
    found = await _of_domain(destination.host, settings, lookups)
    return _without_myself(found, set(mine), destination.host) if port_is_smtp else found


async def _of_host(host: str, settings: ClientSettings, lookups: Lookups) -> list[HostAddress]:
    literal = _literal(host)
    if literal is not None:
        return _usable([HostAddress(host, literal)], settings, host)
    try:
        addresses = await lookups.addresses(host, settings.native_lookup or not settings.use_dns)
    except NotFound as error:
        raise HostFailure(Dsn("5.4.4", _name_error(host, "A", error))) from error
    except TemporaryFailure as error:
        raise HostFailure(Dsn("4.4.3", _name_error(host, "A", error))) from error
    return _ordered(_usable([HostAddress(host, address) for address in addresses], settings, host), settings)


async def _of_domain(domain: str, settings: ClientSettings, lookups: Lookups) -> list[HostAddress]:
    try:
        records = list(await lookups.mx(domain))[:MAX_HOSTS]
    except NotFound:
        # No MX: the domain is its own mail host (RFC 5321 section 5.1).
        return await _of_host(domain, settings, lookups)
    except TemporaryFailure as error:
        raise HostFailure(Dsn("4.4.3", _name_error(domain, "MX", error))) from error
    if [host.rstrip(".") for _, host in records] == [""]:
        raise HostFailure(Dsn("5.1.0", f"Domain {domain} does not accept mail (nullMX)"))
    found: list[HostAddress] = []
    temporary: HostFailure | None = None
    for preference, host in records:
        try:
            answers = await _of_host(host.rstrip("."), settings, lookups)
        except HostFailure as failure:
            if failure.dsn.soft:
                temporary = failure
            continue
        found += [HostAddress(answer.host, answer.address, preference) for answer in answers]
    if not found:
        if temporary is not None:
            raise temporary
        reason = _name_error(records[0][1].rstrip(".") if records else domain, "A", "Host not found")
        raise HostFailure(Dsn("5.4.4", reason))
    return _ordered(found, settings)


def _ordered(hosts: list[HostAddress], settings: ClientSettings) -> list[HostAddress]:
    """By preference; equal ones at random (RFC 5321 section 5.1), both address families among the first few."""
    if settings.randomize:
        random.shuffle(hosts)
    first = settings.address_preference
    return sorted(
        hosts, key=lambda host: (host.preference, first in ("ipv4", "ipv6") and host.ipv6 != (first == "ipv6"))
    )


def _usable(hosts: list[HostAddress], settings: ClientSettings, name: str) -> list[HostAddress]:
    usable = [host for host in hosts if ("ipv6" if host.ipv6 else "ipv4") in settings.protocols]
    if not usable:
        raise HostFailure(Dsn("5.4.4", f"unable to look up host {name}: Address family for hostname not supported"))
    return usable


def _without_myself(hosts: list[HostAddress], mine: set[str], domain: str) -> list[HostAddress]:
    """Drop this system and every host that is not preferred to it: mail must get nearer (RFC 5321 section 5.1)."""
    own = min((host.preference for host in hosts if host.address in mine), default=None)
    if own is None:
        return hosts
    better = [host for host in hosts if host.preference < own]
    if not better:
        raise HostFailure(Dsn("5.4.6", f"mail for {domain} loops back to myself"))
    return better


def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _name_error(name: str, kind: str, error: object) -> str:
    text = str(error) or "Host not found"
    return f"Host or domain name not found. Name service error for name={name} type={kind}: {text}"
