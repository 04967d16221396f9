"""Match lists: mydestination, relay_domains, mynetworks and so on, with `!`, /file/name and type:table patterns."""

import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.config.lines import split_list
from mta.tables import SpecError, Table, TableError, open_table
from mta.tables.base import fold
from mta.tables.cidr import parse_address, parse_network

log = logging.getLogger("postfix.matchlist")

# A list file within a list file within ...: deeper is a loop.
FILE_DEPTH_LIMIT = 10
FILE_LIMIT = 16 << 20
# Decisions kept of a list that has no tables.
KNOWN_LIMIT = 1000
_V4 = frozenset("0123456789.")
_V6 = frozenset("0123456789.abcdefABCDEF:")
_NETWORK = _V6 | frozenset("[]/")


@dataclass(frozen=True)
class Pattern:
    """One pattern: its folded text, the table behind it if it is one, and whether a match means yes or no."""

    text: str
    wanted: bool = True
    table: Table | None = None
    problem: str = ""
    network: IPv4Network | IPv6Network | None = None


class MatchList(ABC):
    """Patterns tried in order; the first that matches decides, `!` in front turns the decision round."""

    def __init__(self, title: str, patterns: Sequence[Pattern]) -> None:
        self.title = title
        self.patterns = tuple(patterns)
        self._constant = not any(pattern.table or pattern.problem for pattern in self.patterns)
        self._known: dict[tuple[str, ...], bool] = {}

    def __bool__(self) -> bool:
        return bool(self.patterns)

    async def _decide(self, *subjects: str) -> bool:
        if (known := self._known.get(subjects)) is not None:
            return known
        decision = await self._decide_anew(*subjects)
        if self._constant:
            if len(self._known) >= KNOWN_LIMIT:
                self._known.clear()
            self._known[subjects] = decision
        return decision

    async def _decide_anew(self, *subjects: str) -> bool:
        folded = [fold(subject) for subject in subjects]
        for pattern in self.patterns:
            if pattern.problem:
                raise TableError(f"{self.title}: {pattern.problem}")
            for position, subject in enumerate(folded):
                if await self._matches(position, subject, pattern):
                    return pattern.wanted
        return False

    @abstractmethod
    async def _matches(self, position: int, subject: str, pattern: Pattern) -> bool:
        """Whether one pattern matches one of the subjects."""


class StringList(MatchList):
    """Whole names only: mydestination, virtual_alias_domains, virtual_mailbox_domains."""

    async def match(self, name: str) -> bool:
        """Whether name is in the list. Raises TableError."""
        return await self._decide(name)

    async def _matches(self, position: int, subject: str, pattern: Pattern) -> bool:
        if pattern.table:
            return await pattern.table.lookup(subject) is not None
        return subject == pattern.text


class DomainList(MatchList):
    """Names and their parent domains: relay_domains.

    parents: `example.com` matches its subdomains too (parent_domain_matches_subdomains); otherwise only
    `.example.com` does, and does not match `example.com` itself.
    """

    def __init__(self, title: str, patterns: Sequence[Pattern], parents: bool) -> None:
        super().__init__(title, patterns)
        self.parents = parents

    async def match(self, name: str) -> bool:
        """Whether name is in the list. Raises TableError."""
        return await self._decide(name)

    async def _matches(self, position: int, subject: str, pattern: Pattern) -> bool:
        return await self._match_name(subject, pattern)

    async def _match_name(self, name: str, pattern: Pattern) -> bool:
        if pattern.table:
            for i, key in enumerate(parent_domains(name, bare=self.parents)):
                if i and not pattern.table.exact:
                    break
                if await pattern.table.lookup(key) is not None:
                    return True
            return False
        if name == pattern.text:
            return True
        if self.parents:
            return name.endswith("." + pattern.text) and len(name) > len(pattern.text) + 1
        return pattern.text.startswith(".") and name.endswith(pattern.text) and len(name) > len(pattern.text)


class NameAddressList(DomainList):
    """A client's host name and address: mynetworks, smtpd_client_event_limit_exceptions and so on."""

    async def match_client(self, name: str, address: str) -> bool:
        """Whether the client is in the list. Raises TableError, also for a network pattern that is malformed."""
        return await self._decide(name, address)

    async def _matches(self, position: int, subject: str, pattern: Pattern) -> bool:
        if position == 0:
            return await self._match_name(subject, pattern)
        return await match_address(subject, pattern)


class AddressList(MatchList):
    """Addresses only: debug and proxy lists."""

    async def match(self, address: str) -> bool:
        """Whether the address is in the list. Raises TableError."""
        return await self._decide(address)

    async def _matches(self, position: int, subject: str, pattern: Pattern) -> bool:
        return await match_address(subject, pattern)


async def match_address(address: str, pattern: Pattern) -> bool:
    """Whether an address is the pattern's address or lies in its network. Raises TableError."""
    if not _V6.issuperset(address):
        return False
    if pattern.table:
        return await pattern.table.lookup(address) is not None
    text = pattern.text
    if address == text or f"[{address}]" == text:
        return True
    looks_like_network = (":" in text or "/" in text) and not _V4.issuperset(text) and _NETWORK.issuperset(text)
    if (":" in address) != (":" in text) or not looks_like_network:
        return False
    try:
        network = pattern.network or parse_network(text)
    except ValueError as error:
        raise TableError(str(error)) from error
    parsed = parse_address(address)
    return parsed is not None and parsed.version == network.version and parsed in network


def parent_domains(name: str, *, bare: bool) -> Iterator[str]:
    """A name and its parents: `a.b.c`, then `b.c`, `c` (bare) or `.b.c`, `.c`."""
    yield name
    at = name.find(".", 1)
    while at >= 0 and at + 1 < len(name):
        yield name[at + 1 :] if bare else name[at:]
        at = name.find(".", at + 2 if bare else at + 1)


def parent_style(config: MainConfig, parameter: str) -> bool:
    """Whether `example.com` also means its subdomains in this parameter (parent_domain_matches_subdomains)."""
    return parameter in config.list("parent_domain_matches_subdomains")


def read_patterns(text: str, config: MainConfig | None = None, parameter: str = "") -> list[Pattern]:
    """The patterns of a list's value. Raises ConfigErrors for syntax that can never work."""
    try:
        return list(_patterns(text, config, parameter, True, 0))
    except (SpecError, ValueError) as error:
        where = config.where(parameter) if config else None
        if where is None:
            raise
        raise ConfigErrors([ConfigError(where, f"{parameter}: {error}")]) from error


def _patterns(text: str, config: MainConfig | None, title: str, wanted: bool, depth: int) -> Iterator[Pattern]:
    words = split_list(text)
    for word in words:
        if word.startswith("#"):
            log.warning("%s: comment at end of line is not supported: %s", title, word)
            return
        item = word.lstrip("!")
        positive = wanted == ((len(word) - len(item)) % 2 == 0)
        if not item:
            raise ValueError("no pattern after '!'")
        if item.startswith("/"):
            yield from _from_file(item, config, title, positive, depth)
        elif not item.startswith("[") and ":" in item:
            yield Pattern(item, positive, _table(item, config))
        else:
            yield _literal(fold(item), positive)


def _table(item: str, config: MainConfig | None) -> Table:
    address = parse_address(item.partition("/")[0])
    if address is not None and address.version == 6:
        raise ValueError(f"IPv6 addresses and networks must be enclosed in []: {item}")
    return open_table(item, config)


def _literal(text: str, wanted: bool) -> Pattern:
    network = None
    if ("/" in text or ":" in text) and _NETWORK.issuperset(text) and not _V4.issuperset(text):
        # A malformed network is complained about when it is reached, as in Postfix: patterns before it still work.
        with contextlib.suppress(ValueError):
            network = parse_network(text)
    return Pattern(text, wanted, network=network)


def _from_file(name: str, config: MainConfig | None, title: str, wanted: bool, depth: int) -> Iterator[Pattern]:
    if depth >= FILE_DEPTH_LIMIT:
        raise ValueError(f"{name}: files nested too deeply")
    try:
        size = Path(name).stat().st_size
        if size > FILE_LIMIT:
            raise ValueError(f"{name} is larger than {FILE_LIMIT} bytes")
        text = Path(name).read_bytes().decode("utf-8", "surrogateescape")
    except OSError as error:
        yield Pattern(name, wanted, problem=f"open file {name}: {error.strerror}")
        return
    for line in text.splitlines():
        if not line.startswith("#"):
            yield from _patterns(line, config, title, wanted, depth + 1)


def string_list(config: MainConfig, parameter: str) -> StringList:
    """The list that a parameter holds, for whole names. Raises ConfigErrors."""
    return StringList(parameter, read_patterns(config.str(parameter), config, parameter))


def domain_list(config: MainConfig, parameter: str) -> DomainList:
    """The list that a parameter holds, for names and subdomains. Raises ConfigErrors."""
    return DomainList(
        parameter, read_patterns(config.str(parameter), config, parameter), parent_style(config, parameter)
    )


def name_address_list(config: MainConfig, parameter: str) -> NameAddressList:
    """The list that a parameter holds, for clients. Raises ConfigErrors."""
    return NameAddressList(
        parameter, read_patterns(config.str(parameter), config, parameter), parent_style(config, parameter)
    )
