"""Which addresses to connect to, in which order (RFC 5321 section 5.1, RFC 7505, smtp_host_lookup)."""

from __future__ import annotations

import functools
import ipaddress
import logging
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from mta.delivery.result import Dsn
from mta.delivery.smtp.nexthop import Destination
from mta.delivery.smtp.settings import ClientSettings
from mta.dns import LookupFailed, NotFound, TempFail

logger = logging.getLogger("postfix.smtp")

SMTP_PORT: Final = 25
MAX_HOSTS: Final = 100
"""MX records looked at for one domain; an answer with more is somebody's mistake or malice."""


class Lookups(Protocol):
    """DNS as the client needs it: mta.dns.Resolver. Raises NotFound or TempFail."""

    async def mail_exchangers(self, name: str, /) -> Sequence[tuple[int, str]]:
        """(preference, host), best first; the domain itself where there is no MX; none for a null MX (RFC 7505)."""

    async def addresses(
        self, name: str, /, *, ipv4: bool = True, ipv6: bool = True, native: bool = False
    ) -> Sequence[str]:
        """Addresses of a host as text; native: /etc/hosts counts."""


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One server address."""

    host: str
    address: str
    preference: int = 0

    @property
    def ipv6(self) -> bool:
        return ":" in self.address


class HostFailure(Exception):
    """No address to connect to; `.dsn` says why."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn.reason)
        self.dsn = dsn


async def find(
    destination: Destination, settings: ClientSettings, lookups: Lookups, mine: Iterable[str] = ()
) -> list[HostAddress]:
    """Addresses for a destination, best first. `mine`: this system's own addresses. Raises HostFailure."""
    if settings.lmtp or destination.literal or not settings.use_dns or destination.is_address:
        found = _ordered(await _of_host(destination.host, 0, settings, lookups), settings)
    else:
        found = await _of_domain(destination.host, settings, lookups)
        if destination.port == SMTP_PORT:  # on other ports there may well be another mail system of ours
            found = _without_myself(found, set(mine), destination.host)
    limit = settings.mx_address_limit
    return balanced(found, limit) if limit and settings.balance_protocols else found


def balanced(hosts: list[HostAddress], limit: int) -> list[HostAddress]:
    """At most `limit` of them, in the same order, with as many of the rarer address family as half of that allows.

    smtp_balance_inet_protocols: else the limit might leave only addresses of a family that cannot be reached.
    """
    ipv6 = sum(host.ipv6 for host in hosts)
    ipv4 = len(hosts) - ipv6
    if not ipv4 or not ipv6 or len(hosts) <= limit:
        return hosts
    if 2 * ipv6 < limit:
        ipv4 = limit - ipv6
    elif 2 * ipv4 < limit:
        ipv6 = limit - ipv4
    else:
        ipv4 = limit // 2
        ipv6 = limit - ipv4
    left = {True: ipv6, False: ipv4}
    kept = []
    for host in hosts:
        if left[host.ipv6]:
            left[host.ipv6] -= 1
            kept.append(host)
    return kept


async def _of_host(host: str, preference: int, settings: ClientSettings, lookups: Lookups) -> list[HostAddress]:
    ipv4, ipv6 = "ipv4" in settings.protocols, "ipv6" in settings.protocols
    literal = _literal(host)
    if literal is not None:
        if not (ipv6 if ":" in literal else ipv4):
            reason = f"unable to look up host {host}: Address family for hostname not supported"
            raise HostFailure(Dsn("5.4.4", reason))
        return [HostAddress(host, literal, preference)]
    native = settings.native_lookup or not settings.use_dns
    try:
        addresses = await lookups.addresses(host, ipv4=ipv4, ipv6=ipv6, native=native)
    except LookupFailed as failure:
        # The family that is asked for last is the one that is named (smtp_addr.c).
        raise HostFailure(_dsn(failure, host, "AAAA" if ipv6 else "A")) from failure
    return [HostAddress(host, address, preference) for address in addresses]


async def _of_domain(domain: str, settings: ClientSettings, lookups: Lookups) -> list[HostAddress]:
    try:
        exchangers = list(await lookups.mail_exchangers(domain))[:MAX_HOSTS]
    except NotFound:
        exchangers = [(0, domain)]
    except LookupFailed as failure:
        if not settings.ignore_mx_error:
            raise HostFailure(_dsn(failure, domain, "MX")) from failure
        exchangers = [(0, domain)]
    if not exchangers:
        raise HostFailure(Dsn("5.1.0", f"Domain {domain} does not accept mail (nullMX)"))
    found: list[HostAddress] = []
    failures: list[HostFailure] = []
    for preference, host in exchangers:
        try:
            found += await _of_host(host, preference, settings, lookups)
        except HostFailure as failure:
            failures.append(failure)
    if not found:
        if exchangers != [(0, domain)]:
            logger.warning("no MX host for %s has a valid address record", domain)
        if settings.defer_without_address:
            raise HostFailure(failures[0].dsn.with_status("4.4.4"))
        # A host that may be found later is worth waiting for.
        raise next((failure for failure in failures if failure.dsn.soft), failures[0])
    return _ordered(found, settings)


def _ordered(hosts: list[HostAddress], settings: ClientSettings) -> list[HostAddress]:
    """By preference; equal ones at random (RFC 5321 section 5.1), the preferred address family first."""
    if settings.randomize:
        random.shuffle(hosts)
    family = settings.address_preference

    def rank(host: HostAddress) -> tuple[int, bool]:
        return host.preference, family in ("ipv4", "ipv6") and host.ipv6 != (family == "ipv6")

    return sorted(hosts, key=rank)


def _without_myself(hosts: list[HostAddress], mine: set[str], domain: str) -> list[HostAddress]:
    """Drop this system and every host that is not preferred to it: mail must get nearer (RFC 5321 section 5.1)."""
    own = min((host.preference for host in hosts if host.address in mine), default=None)
    if own is None:
        return hosts
    better = [host for host in hosts if host.preference < own]
    if not better:
        raise HostFailure(Dsn("5.4.6", f"mail for {domain} loops back to myself"))
    return better


@functools.lru_cache(maxsize=1024)
def _literal(host: str) -> str | None:
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def _dsn(failure: LookupFailed, name: str, kind: str) -> Dsn:
    if isinstance(failure, TempFail):
        status, cause = "4.4.3", "Host not found, try again"
    elif isinstance(failure, NotFound) and failure.exists:
        status, cause = "5.4.4", "Host found but no data record of requested type"
    else:
        status, cause = "5.4.4", "Host not found"
    reason = f"Name service error for name={name} type={kind}: {cause}"
    return Dsn(status, f"Host or domain name not found. {reason}")
