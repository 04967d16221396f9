"""Networks as passdb entries name them (doc/wiki PasswordDatabase/ExtraFields/AllowNets)."""

from __future__ import annotations

import ipaddress


def within(networks: str, address: str) -> bool:
    """Whether an address is in one of the networks, separated by commas or blanks; ``local`` is that of an unknown one.

    Words that are no network match nothing.
    """
    words = networks.replace(",", " ").split()
    if not address:
        return "local" in words
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    for word in words:
        try:
            if ip in ipaddress.ip_network(word, strict=False):
                return True
        except ValueError:
            continue
    return False
