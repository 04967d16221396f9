"""Client addresses as penalties and lock-outs count them."""

from __future__ import annotations

import ipaddress

IPV6_PREFIX = 48
"""Bits of an IPv6 address that stand for one client: a site can take any address below them (as Dovecot counts)."""


def client_of(address: str) -> str:
    """The address, an IPv6 one without what its site may choose; "" for none."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> (128 - IPV6_PREFIX) << (128 - IPV6_PREFIX), 128))[0])
