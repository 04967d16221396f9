"""Recipients out of the header (sendmail -t), and addresses out of command-line arguments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mta.address import address_list
from mta.message import headers
from mta.message.headers import Field

RECIPIENT_HEADERS: Final = frozenset({b"to", b"cc", b"bcc"})
RESENT_HEADERS: Final = frozenset({b"resent-to", b"resent-cc", b"resent-bcc"})
RESENT_PREFIX: Final = b"resent-"

MAX_HEADER: Final = 1 << 20
"""Octets of address headers that are looked through; more is no letter but an attack on memory."""
MAX_RECIPIENTS: Final = 50_000


class ExtractError(ValueError):
    """There are more addresses than anyone writes."""


def recipients(content: bytes) -> list[str]:
    """The recipients that the header names, internal form; of a resent message only the resent ones (RFC 5322 3.6.6).

    `content`: CRLF line ends. Raises ExtractError.
    """
    fields, _ = headers.split(content)
    resent = any(each.name.startswith(RESENT_PREFIX) for each in fields)
    wanted = RESENT_HEADERS if resent else RECIPIENT_HEADERS
    chosen = [each for each in fields if each.name in wanted]
    if sum(len(each.octets) for each in chosen) > MAX_HEADER:
        raise ExtractError("recipient headers are too long")
    return _limited(address for each in chosen for address in address_list(_text(each)))


def arguments(words: Iterable[str]) -> list[str]:
    """The recipients of a command line; each word may be a list, or a name with an address in `<>`."""
    found = []
    for word in words:
        found += address_list(word) or [""]
    return _limited(found)


def sender(text: str) -> str:
    """The address of -f; empty for `<>` and for nothing."""
    found = address_list(text)
    return found[0] if found else ""


def _limited(addresses: Iterable[str]) -> list[str]:
    found = []
    for address in addresses:
        found.append(address)
        if len(found) > MAX_RECIPIENTS:
            raise ExtractError("too many recipients")
    return found


def _text(each: Field) -> str:
    return each.value.decode("utf-8", "surrogateescape")
