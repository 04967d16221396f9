"""Lists in the DNS: DNSBL and DNSWL by client address, RHSBL by domain. An outage of a list never refuses mail.

The question is RFC 5782's: the address reversed (or the name) under the list's domain. Which answers count is told by
`domain=d.d.d.d`, where a d may be a number or `[1;3..7]` (postconf(5), reject_rbl_client).
"""

from __future__ import annotations

import ipaddress
import logging
from dataclasses import dataclass

from mta import dns
from mta.address import valid_hostname
from mta.config import ExpandError, expand
from mta.smtpd.access.actions import split_status
from mta.smtpd.access.check import PERMIT, Check, Title, Verdict
from mta.smtpd.access.lists import BadRestriction
from mta.smtpd.access.names import without_last_dot
from mta.smtpd.arguments import is_digits
from mta.smtpd.session import UNKNOWN

log = logging.getLogger("postfix.smtpd")

Octets = frozenset[int]


@dataclass(frozen=True, slots=True)
class Zone:
    """A list: its domain, and for each octet of an answer the numbers that count (None: any answer counts)."""

    domain: str
    filter: tuple[Octets, Octets, Octets, Octets] | None = None
    spec: str = ""

    def matches(self, address: str) -> bool:
        if self.filter is None:
            return True
        octets = address.split(".")
        return len(octets) == 4 and all(
            int(octet) in allowed for octet, allowed in zip(octets, self.filter, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """What a list says of a client or domain."""

    address: str
    text: str


def parse_zone(spec: str) -> Zone:
    """`domain` or `domain=d.d.d.d`. Raises BadRestriction."""
    domain, equals, pattern = spec.partition("=")
    if not domain or "/" in domain:
        raise BadRestriction(f"bad DNS list domain: {spec}")
    if not equals:
        return Zone(domain, None, spec)
    fields = _fields(pattern)
    if len(fields) != 4:
        raise BadRestriction(f"bad DNS list filter, need d.d.d.d: {spec}")
    first, second, third, fourth = (_octets(field, spec) for field in fields)
    return Zone(domain, (first, second, third, fourth), spec)


def _fields(pattern: str) -> list[str]:
    """Split at dots that are not inside [ ] (where `..` is a range)."""
    fields, depth, start = [], 0, 0
    for position, character in enumerate(pattern):
        depth += (character == "[") - (character == "]")
        if character == "." and not depth:
            fields.append(pattern[start:position])
            start = position + 1
    return [*fields, pattern[start:]]


def _octets(field: str, spec: str) -> Octets:
    numbers: set[int] = set()
    inner = field[1:-1] if field.startswith("[") and field.endswith("]") else field
    for part in inner.split(";"):
        low, dots, high = part.partition("..")
        if not is_digits(low, 3) or (dots and not is_digits(high, 3)):
            raise BadRestriction(f"bad DNS list filter: {spec}")
        numbers.update(range(int(low), int(high if dots else low) + 1))
    if not numbers or max(numbers) > 255:
        raise BadRestriction(f"bad DNS list filter: {spec}")
    return frozenset(numbers)


def question(address: str, domain: str) -> str:
    """The name that a list is asked for: octets, or for IPv6 nibbles, reversed (RFC 5782 section 2)."""
    pointer = ipaddress.ip_address(address).reverse_pointer
    return pointer.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa") + "." + domain


async def _listing(check: Check, name: str, zone: Zone) -> Listing | None:
    """None where the list does not know the name, or cannot be asked."""
    resolver = check.access.dns
    try:
        records = await resolver.lookup(name, "A")
    except dns.NotFound:
        return None
    except dns.TempFail as error:
        log.warning("%s: RBL lookup error: %s", name, error)
        return None
    address = next((record.text for record in records if zone.matches(record.text)), None)
    if address is None:
        return None
    try:
        texts = await resolver.lookup(name, "TXT")
    except dns.LookupFailed:
        return Listing(address, "")
    return Listing(address, " ".join(record.text for record in texts[:1]))


async def _reject(check: Check, zone: Zone, listing: Listing, what: str, title: str) -> Verdict:
    """The reply from rbl_reply_maps or default_rbl_reply, with the values of the listing."""
    access = check.access
    template = None
    if access.rbl_reply_maps:
        template = await access.rbl_reply_maps.lookup(zone.domain) or await access.rbl_reply_maps.lookup(zone.spec)
    values = {
        "client": check.session.label,
        "client_address": check.session.peer_info.address,
        "client_name": check.session.peer_info.name,
        "reverse_client_name": check.session.peer_info.reverse_name,
        "helo_name": check.helo or "",
        "sender": check.sender or "<>",
        "sender_name": (check.sender or "").rpartition("@")[0],
        "sender_domain": (check.sender or "").rpartition("@")[2],
        "recipient": check.recipient or "",
        "recipient_name": (check.recipient or "").rpartition("@")[0],
        "recipient_domain": (check.recipient or "").rpartition("@")[2],
        "rbl_code": str(access.codes.rbl),
        "rbl_domain": zone.domain,
        "rbl_reason": access.filtered(listing.text),
        "rbl_txt": access.filtered(listing.text),
        "rbl_class": title,
        "rbl_what": what,
    }
    try:
        text = expand.expand(template or access.default_rbl_reply, values.get)
    except ExpandError as error:
        log.warning("bad template for RBL reply: %s", error)
        text = f"{access.codes.rbl} Service unavailable; {title} [{what}] blocked using {zone.domain}"
    code, _, rest = text.partition(" ")
    if not is_digits(code, 3):
        code, rest = "0", text
    status, words = split_status(rest, f"{code[0]}.7.1")
    return check.reject(int(code), status, words)


async def reject_rbl_client(check: Check, zone: Zone) -> Verdict:
    address = check.session.peer_info.address
    listing = await _listing(check, question(address, zone.domain), zone)
    return await _reject(check, zone, listing, address, Title.CLIENT) if listing else None


async def reject_maps_rbl(check: Check) -> Verdict:
    """The old way: every domain in maps_rbl_domains."""
    for domain in check.access.config.list("maps_rbl_domains"):
        if verdict := await reject_rbl_client(check, Zone(domain)):
            return verdict
    return None


async def permit_dnswl_client(check: Check, zone: Zone) -> Verdict:
    """The client is on a list of good ones. It does not override reject_unauth_destination in our own lists."""
    return PERMIT if await _listing(check, question(check.session.peer_info.address, zone.domain), zone) else None


async def permit_rhswl_client(check: Check, zone: Zone) -> Verdict:
    name = check.session.peer_info.name
    return PERMIT if name != UNKNOWN and await _domain_listing(check, name, zone) else None


async def reject_rhsbl_client(check: Check, zone: Zone) -> Verdict:
    return await _reject_domain(check, zone, check.session.peer_info.name, Title.CLIENT)


async def reject_rhsbl_reverse_client(check: Check, zone: Zone) -> Verdict:
    return await _reject_domain(check, zone, check.session.peer_info.reverse_name, Title.REVERSE_CLIENT)


async def reject_rhsbl_helo(check: Check, zone: Zone) -> Verdict:
    return await _reject_domain(check, zone, check.helo or UNKNOWN, Title.HELO)


async def reject_rhsbl_sender(check: Check, zone: Zone) -> Verdict:
    return await _reject_domain(check, zone, (check.sender or "").rpartition("@")[2], Title.SENDER, check.sender or "")


async def reject_rhsbl_recipient(check: Check, zone: Zone) -> Verdict:
    recipient = check.recipient or ""
    return await _reject_domain(check, zone, recipient.rpartition("@")[2], Title.RECIPIENT, recipient)


async def _domain_listing(check: Check, domain: str, zone: Zone) -> Listing | None:
    name = without_last_dot(domain)
    if not valid_hostname(name):
        return None
    return await _listing(check, f"{name}.{zone.domain}", zone)


async def _reject_domain(check: Check, zone: Zone, domain: str, title: str, what: str = "") -> Verdict:
    if not domain or domain == UNKNOWN or domain.startswith("["):
        return None
    listing = await _domain_listing(check, domain, zone)
    return await _reject(check, zone, listing, what or domain, title) if listing else None
