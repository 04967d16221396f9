"""smtp_generic_maps: local addresses become addresses that the outside world can answer to (generic(5))."""

from __future__ import annotations

from mta.address import AddressSearch, address_list, map_addresses
from mta.message import headers
from mta.message.headers import Field
from mta.message.rewriting import RECIPIENT_FIELDS, SENDER_FIELDS
from mta.tables import Maps

_ADDRESS_FIELDS = SENDER_FIELDS | RECIPIENT_FIELDS


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
        new = map_addresses(text, lambda address: mapping.get(address, address)).strip(" \t")
        octets = new.replace("\n", "\r\n").encode("utf-8", "surrogateescape")
        return Field(each.name, name + b": " + octets + b"\r\n")
