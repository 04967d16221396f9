"""Mailbox names between the wire and the store: modified UTF-7 (RFC 3501 section 5.1), or UTF-8 where a client has
enabled it (RFC 6855 section 3, RFC 9051 section 5.1)."""

from __future__ import annotations

from imap.imap4.syntax import astring, utf8_string
from imap.store import InvalidName, mutf7


class NotUtf8(InvalidName):
    """A name that is no UTF-8."""

    code = None

    def __init__(self) -> None:
        super().__init__("Mailbox name is not valid UTF-8")


def mailbox_name(wire: bytes, utf8: bool) -> str:
    """The decoded name. Raises InvalidName (a StoreError: NO)."""
    if not utf8:
        return mutf7.decode(wire)
    try:
        return wire.decode()
    except UnicodeDecodeError:
        raise NotUtf8 from None


def raw_name(name: str, utf8: bool) -> bytes:
    """The octets of a name, as patterns of LIST are matched against them."""
    return name.encode() if utf8 else mutf7.encode(name)


def quoted_name(raw: bytes) -> bytes:
    """The octets of a name as they are written in a response."""
    return astring(raw) if raw.isascii() else utf8_string(raw)


def wire_name(name: str, utf8: bool) -> bytes:
    """The name as it is written in a response: an astring."""
    return quoted_name(raw_name(name, utf8))
