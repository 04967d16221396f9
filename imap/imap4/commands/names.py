"""Mailbox names between the wire and the store (RFC 3501 section 5.1)."""

from __future__ import annotations

from imap.imap4.syntax import astring
from imap.store import mutf7


def mailbox_name(wire: bytes) -> str:
    """The decoded name. Raises InvalidName (a StoreError: NO)."""
    return mutf7.decode(wire)


def wire_name(name: str) -> bytes:
    """The name as it is written in a response: an astring."""
    return astring(mutf7.encode(name))
