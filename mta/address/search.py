"""Search orders: which keys of an address or client are looked up in a table, and in which order.

Full addresses go to every table; parts of them only to tables that compare whole strings (see mta.tables).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Flag, auto

from mta.address.domains import Domains
from mta.address.extension import Extensions
from mta.address.header import address_list
from mta.address.matchlist import parent_domains, parent_style
from mta.address.quoting import quote_822, unquote_822
from mta.address.rewrite import Rewriter
from mta.config import MainConfig
from mta.tables import Maps, TableError


class Keys(Flag):
    """Which forms of user+ext@sub.example.com are tried; always in the order in which they stand here."""

    FULL = auto()  # user+ext@domain
    NO_EXTENSION = auto()  # user@domain
    LOCAL_PART_IF_LOCAL = auto()  # user+ext, user; when the domain is local or $myorigin
    LOCAL_PART_AT_IF_LOCAL = auto()  # user+ext@, user@; likewise
    AT_DOMAIN = auto()  # @domain
    DOMAIN = auto()  # domain
    PARENTS = auto()  # example.com, com
    DOT_PARENTS = auto()  # .example.com, .com
    LOCAL_PART_AT = auto()  # user+ext@, user@


# virtual(5), canonical(5), generic(5), relocated(5), sender_bcc_maps, smtpd_sender_login_maps and most others.
DEFAULT = Keys.FULL | Keys.NO_EXTENSION | Keys.LOCAL_PART_IF_LOCAL | Keys.AT_DOMAIN


@dataclass(frozen=True)
class Found:
    """A table's answer, the key that had it, and the extension (`+ext`) that the key did not have."""

    value: str
    key: str
    extension: str = ""


class AddressSearch:
    """Looks addresses up by the rules of main.cf. Its methods take internal addresses and raise TableError."""

    def __init__(self, config: MainConfig, domains: Domains, rewriter: Rewriter | None = None) -> None:
        self.domains = domains
        self.extensions = Extensions.of(config)
        self.rewriter = rewriter or Rewriter.of(config)
        self.access_parents = parent_style(config, "smtpd_access_maps")
        self.transport_parents = parent_style(config, "transport_maps")

    async def find(self, maps: Maps, address: str, keys: Keys = DEFAULT) -> Found | None:
        """The first answer for an address in the order of virtual(5), or of the given keys."""
        bare, extension = ("", "")
        if Keys.NO_EXTENSION in keys:
            bare, extension = self.extensions.split(address)
            bare = bare if extension else ""
        candidates = (("", address), (extension, bare))
        if Keys.FULL in keys and (found := await _ask(maps, address, partial=False)):
            return found
        if bare and (found := await _ask(maps, bare, partial=True, extension=extension)):
            return found
        domain = address.rpartition("@")[2] if "@" in address else None
        if domain is not None:
            if found := await self._find_local(maps, candidates, domain, keys):
                return found
            if found := await self._find_domain(maps, domain, keys):
                return found
        if Keys.LOCAL_PART_AT in keys and domain is not None:
            return await _ask_local_parts(maps, candidates, at=True)
        return None

    async def _find_local(
        self, maps: Maps, candidates: Sequence[tuple[str, str]], domain: str, keys: Keys
    ) -> Found | None:
        if not keys & (Keys.LOCAL_PART_IF_LOCAL | Keys.LOCAL_PART_AT_IF_LOCAL):
            return None
        if not await self.domains.is_local_or_origin(domain):
            return None
        if Keys.LOCAL_PART_IF_LOCAL in keys and (found := await _ask_local_parts(maps, candidates, at=False)):
            return found
        if Keys.LOCAL_PART_AT_IF_LOCAL in keys:
            return await _ask_local_parts(maps, candidates, at=True)
        return None

    async def _find_domain(self, maps: Maps, domain: str, keys: Keys) -> Found | None:
        if Keys.AT_DOMAIN in keys and (value := await maps.lookup(f"@{domain}", partial=True)) is not None:
            return Found(value, f"@{domain}")
        if Keys.DOMAIN not in keys or not domain:
            return None
        for i, name in enumerate(parent_domains(domain, bare=Keys.PARENTS in keys)):
            if i and not keys & (Keys.PARENTS | Keys.DOT_PARENTS):
                break
            if (value := await maps.lookup(name, partial=True)) is not None:
                return Found(value, name)
        return None

    async def access(self, maps: Maps, address: str) -> Found | None:
        """The order of access(5) for mail addresses: user+ext@domain, user@domain, domain and parents, user@."""
        parents = Keys.PARENTS if self.access_parents else Keys.DOT_PARENTS
        keys = Keys.FULL | Keys.NO_EXTENSION | Keys.DOMAIN | Keys.LOCAL_PART_AT | parents
        return await self.find(maps, address, keys)

    async def transport(self, maps: Maps, address: str) -> Found | None:
        """The order of transport(5), without its `*`."""
        parents = Keys.PARENTS if self.transport_parents else Keys.DOT_PARENTS
        return await self.find(maps, address, Keys.FULL | Keys.NO_EXTENSION | Keys.DOMAIN | parents)

    async def access_host(self, maps: Maps, name: str) -> Found | None:
        """The order of access(5) for host and domain names: name, then its parents."""
        return await _first(maps, parent_domains(name, bare=self.access_parents))

    async def access_client_address(self, maps: Maps, address: str) -> Found | None:
        """The order of access(5) for client addresses: the address, then its networks at `.` or `:`."""
        return await _first(maps, network_prefixes(address))

    async def map(self, maps: Maps, address: str, *, propagate: bool) -> list[str] | None:
        """Addresses that an address is mapped to (virtual(5), canonical(5), generic(5)); None when it is not.

        `@domain` keeps the local part; with propagate, an extension that the key did not have is put back;
        results are rewritten to canonical form. Raises TableError for an answer without an address.
        """
        found = await self.find(maps, address)
        if found is None:
            return None
        text = found.value
        if text.startswith("@"):
            local = address.rpartition("@")[0] if "@" in address else address
            text = quote_822(local.removesuffix(found.extension) + text)
        results = self.canonical_list(text, found.extension if propagate else "")
        if not results:
            raise TableError(f'{maps.title} lookup of {address} returns non-address result "{text}"')
        return results

    def canonical_list(self, text: str, extension: str = "") -> list[str]:
        """The addresses of an external list, each rewritten and with the extension added to its local part."""
        if text in ("", "<>"):
            return [""]
        results = list[str]()
        for address in address_list(text):
            canonical = self.rewriter.rewrite(address)
            local, at, domain = canonical.rpartition("@")
            results.append(f"{local}{extension}{at}{domain}" if at else f"{canonical}{extension}")
        return results


async def _ask(maps: Maps, address: str, *, partial: bool, extension: str = "", bare: bool = False) -> Found | None:
    """Look up an address in quoted form first, then, where that differs, unquoted as older tables have it."""
    quoted = quote_822(address, bare=bare)
    for key in dict.fromkeys((quoted, address)):
        if (value := await maps.lookup(key, partial=partial)) is not None:
            return Found(value, key, extension)
    return None


async def _ask_local_parts(maps: Maps, candidates: Sequence[tuple[str, str]], *, at: bool) -> Found | None:
    for extension, address in candidates:
        local = address.rpartition("@")[0]
        if local and (
            found := await _ask(maps, f"{local}@" if at else local, partial=True, extension=extension, bare=not at)
        ):
            return found
    return None


async def _first(maps: Maps, keys: Iterator[str]) -> Found | None:
    for i, key in enumerate(keys):
        if (value := await maps.lookup(key, partial=i > 0)) is not None:
            return Found(value, key)
    return None


def network_prefixes(address: str) -> Iterator[str]:
    """An address and its networks: `1.2.3.4`, `1.2.3`, `1.2`, `1`; `2001:db8:0::1`, `2001:db8:0:`, `2001:db8:0` ..."""
    separator = ":" if ":" in address else "."
    while address:
        yield address
        head, found, _tail = address.rpartition(separator)
        if not found:
            return
        address = head


def internal(found: Found) -> str:
    """A table's answer, one external address, in internal form."""
    return unquote_822(found.value)
