"""Requests and answers of anvil(8): lines `name=value`, an empty line at the end. Sans-I/O, for both sides.

request=connect         status=0
ident=smtp:192.0.2.1    count=1
<empty line>            rate=1
                        <empty line>
"""

from __future__ import annotations

from typing import Final

RECORD_LIMIT: Final = 2048
"""Octets of a request or answer: a service name and an address, with room to spare."""


class AnvilError(ValueError):
    """The peer does not speak the protocol of anvil(8)."""


class RecordReader:
    """Takes octets, gives whole records."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, octets: bytes) -> list[dict[str, str]]:
        """The records that are complete now. Raises AnvilError."""
        self._buffer += octets
        records = []
        while (end := self._buffer.find(b"\n\n")) >= 0:
            if end > RECORD_LIMIT:
                raise AnvilError("a record that is too long")
            records.append(_parse(bytes(self._buffer[:end])))
            del self._buffer[: end + 2]
        if len(self._buffer) > RECORD_LIMIT:
            raise AnvilError("a record that is too long")
        return records


def _parse(octets: bytes) -> dict[str, str]:
    record = {}
    for line in octets.decode("utf-8", "surrogateescape").split("\n"):
        name, equals, value = line.partition("=")
        if not equals or not name:
            raise AnvilError(f"not name=value: {line[:40]!r}")
        record[name] = value
    return record


def write(**attributes: str | int) -> bytes:
    """One record. Values must not hold a line feed."""
    text = "".join(f"{name}={value}\n" for name, value in attributes.items())
    return f"{text}\n".encode("utf-8", "surrogateescape")


def number(record: dict[str, str], name: str) -> int:
    """A non-negative number of a record. Raises AnvilError."""
    value = record.get(name, "")
    if not (value.isascii() and value.isdigit() and len(value) <= 9):
        raise AnvilError(f"{name} is not a number: {value[:40]!r}")
    return int(value)
