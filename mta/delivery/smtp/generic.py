"""smtp_generic_maps: local addresses become addresses that the outside world can answer to (generic(5))."""

from __future__ import annotations

from typing import Final

from mta.address import AddressSearch, address_list, map_addresses, quote_822
from mta.message import headers
from mta.message.headers import Field
from mta.message.rewriting import RECIPIENT_FIELDS, SENDER_FIELDS
from mta.tables import Maps

WIDTH: Final = 70
_ADDRESS_FIELDS: Final = SENDER_FIELDS | RECIPIENT_FIELDS


class GenericMaps:
    """Maps envelope and header addresses on their way out; what is in the queue stays as it is."""

    def __init__(self, maps: Maps, search: AddressSearch, *, propagate: bool) -> None:
        """`propagate`: an address extension that the table does not name is kept (propagate_unmatched_extensions)."""
        self._maps = maps
        self._search = search
        self._propagate = propagate

    async def address(self, address: str) -> str:
        """The address for the outside; the same if the tables do not have it. Raises TableError."""
        found = await self._search.map(self._maps, address, propagate=self._propagate)
        return found[0] if found else address

    async def content(self, content: bytes) -> bytes:
        """The message with the addresses of its header mapped. Raises TableError."""
        fields, rest = headers.split(content)
        changed = [await self._field(each) if each.name in _ADDRESS_FIELDS else each for each in fields]
        if all(new is old for new, old in zip(changed, fields, strict=True)):
            return content
        return headers.join(changed, rest)

    async def _field(self, each: Field) -> Field:
        name, _, value = each.octets[:-2].partition(b":")
        text = value.replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")
        mapping = {}
        for address in address_list(text):
            outside = await self.address(address)
            if outside != address:
                mapping[address] = outside
        if not mapping:
            return each
        new = map_addresses(text, lambda address: quote_822(mapping.get(address, address))).strip(" \t")
        label = name.decode("ascii", "replace")
        return Field(each.name, filled(f"{label}: {new}").encode("utf-8", "surrogateescape") + b"\r\n")


def filled(text: str) -> str:
    """A header with one address a line as lines of up to 70 columns (smtp_header_rewrite of smtp(8))."""
    lines = [""]
    for part in text.split("\n"):
        if lines[-1] and len(lines[-1]) + 1 + len(part) >= WIDTH:
            lines.append(part)
        else:
            lines[-1] = f"{lines[-1]} {part}" if lines[-1] else part
    return "\r\n".join(line if number == 0 else f"\t{line.lstrip()}" for number, line in enumerate(lines))
