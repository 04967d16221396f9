"""The sender of probes: address_verify_sender, and with address_verify_sender_ttl a name that changes with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mta.config import MainConfig

DIGITS: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZ"
"""Base 31 without vowels: no word comes out of it."""


def probe_sender(config: MainConfig, now: float) -> str:
    """The address that probes come from now; empty for the null sender (`<>` or an empty address_verify_sender)."""
    base = config.str("address_verify_sender")
    if base in ("", "<>"):
        return ""
    local, at, domain = base.rpartition("@")
    if not at:
        local, domain = base, config.str("myhostname")
    ttl = config.seconds("address_verify_sender_ttl")
    return f"{local}{_number(int(now / ttl)) if ttl else ''}@{domain}"


def is_probe_sender(config: MainConfig, address: str, now: float) -> bool:
    """Whether probes come from this address, or came from it a while ago."""
    ttl = config.seconds("address_verify_sender_ttl")
    recent = {probe_sender(config, now), probe_sender(config, now - ttl), probe_sender(config, now + ttl)} - {""}
    return address.lower() in {each.lower() for each in recent}


def _number(value: int) -> str:
    digits = ""
    while value:
        value, digit = divmod(value, len(DIGITS))
        digits = DIGITS[digit] + digits
    return digits
