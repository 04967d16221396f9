"""Addresses and other texts of the wire as columns: SQLite's texts are UTF-8, an address may be any octets."""

from __future__ import annotations

from mta.queue.errors import QueueRefused


def to_column(text: str) -> str | bytes:
    """The text itself, or its octets (a BLOB) if some of them are not UTF-8 (surrogateescape).

    Raises QueueRefused for a surrogate that stands for no octet: no wire can have brought that.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        pass
    else:
        return text
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise QueueRefused(str(error)) from error


def from_column(value: str | bytes) -> str:
    """What `to_column` was given. Raises TypeError for what is neither text nor octets."""
    if not isinstance(value, str | bytes):
        raise TypeError(f"no text: {value!r}")
    return value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
