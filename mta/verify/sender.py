"""The sender of probes: address_verify_sender, and with address_verify_sender_ttl a name that changes with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mta.config import MainConfig

DIGITS: Final = "0123456789BCDFGHJKLMNPQRSTVWXYZ"
"""Base 31 without vowels: no word comes out of it."""


def probe_sender(config: MainConfig, now: float) -> str:
    """The address that probes come from now; empty for the null sender (`<>` or an empty address_verify_sender)."""
    ttl = config.seconds("address_verify_sender_ttl")
    return _at_time(config, now // ttl) if ttl else fixed_sender(config)


def fixed_sender(config: MainConfig) -> str:
    """The same without its time."""
    base = config.str("address_verify_sender")
    if base in ("", "<>"):
        return ""
    return base if "@" in base else f"{base}@{config.str('myhostname')}"


def without_time(config: MainConfig, address: str, now: float) -> str:
    """An address that probes come from at this time, or nearly, as the fixed one; others stay (smtpd(8), RCPT TO)."""
    ttl = config.seconds("address_verify_sender_ttl")
    recent = (_at_time(config, now // ttl + step).casefold() for step in (0, -1, 1)) if ttl else ()
    return fixed_sender(config) if address.casefold() in recent else address


def _at_time(config: MainConfig, period: float) -> str:
    local, at, domain = fixed_sender(config).rpartition("@")
    return f"{local}{_number(int(period))}{at}{domain}" if at else ""


def _number(value: int) -> str:
    digits = ""
    while value:
        value, digit = divmod(value, len(DIGITS))
        digits = DIGITS[digit] + digits
    return digits
