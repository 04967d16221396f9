"""Host names and addresses: an asynchronous, cached DNS resolver, with /etc/hosts where it applies.

    dns = Resolver.of(config)
    answer = await dns.lookup("example.com", "MX")      -> [Record(preference=10, target="mail.example.com"), ...]
    addresses = await dns.addresses("mail.example.com") -> ["192.0.2.1", "2001:db8::1"]
    name = await dns.reverse("192.0.2.1")               -> "mail.example.com"
    client = await dns.client_name("192.0.2.1")         -> ClientName(name, reverse_name, ...) as smtpd asks it
    hosts = await dns.mail_exchangers("example.com")    -> [(preference, host), ...], RFC 5321 section 5.1

Each raises NotFound (the name or the record type does not exist: a fact) or TempFail (no usable answer: ask later).
An outage therefore never looks like a negative answer.
"""

import asyncio
import functools
import ipaddress
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mta.address.hostname import valid_hostaddr, valid_hostname
from mta.config import MainConfig
from mta.hosts import Hosts

if TYPE_CHECKING:
    from mta.nameservers import NameServers

log = logging.getLogger("postfix.dns")

RESOLV_CONF = Path("/etc/resolv.conf")
# Times, in seconds, that answers without a TTL of their own are kept: names that do not exist; server failures.
NEGATIVE_TIME = 60.0
FAILURE_TIME = 5.0


class LookupFailed(Exception):
    """A lookup without records; its subclasses say whether that is a fact."""

    def __init__(self, name: str, kind: str, reason: str) -> None:
        super().__init__(f"{name}: {kind}: {reason}")
        self.name, self.kind, self.reason = name, kind, reason


class NotFound(LookupFailed):
    """The name does not exist, or has no record of this type (exists tells which)."""

    def __init__(self, name: str, kind: str, reason: str, *, exists: bool) -> None:
        super().__init__(name, kind, reason)
        self.exists = exists


class TempFail(LookupFailed):
    """No server gave a usable answer: time-out, SERVFAIL, REFUSED or too many lookups waiting."""


@dataclass(frozen=True)
class Record:
    """One resource record: text of an address, target of MX/PTR/CNAME/NS, or joined strings of TXT."""

    kind: str
    text: str
    preference: int = 0
    ttl: int = 0


@dataclass(frozen=True)
class Answer:
    """Records of one name and type. name: where CNAMEs led; secure: the server vouched for it by DNSSEC (AD)."""

    name: str
    records: tuple[Record, ...]
    secure: bool = False


@dataclass(frozen=True)
class ClientName:
    """What a client address is called, as smtpd(8) asks.

    name: the verified name or "unknown"; reverse_name: the PTR name, unverified, or "unknown". Codes as in policy
    replies: "2" found, "4" could not be asked, "5" does not exist, "6" the reverse name's addresses do not include
    the client's.
    """

    name: str
    reverse_name: str
    code: str
    reverse_code: str


@dataclass(frozen=True)
class Limits:
    """How long and how much: seconds, entries, lookups at once."""

    timeout: float = 5.0
    lifetime: float = 15.0
    cache_time: float = 3600.0
    cache_size: int = 10_000
    concurrency: int = 200


class Resolver:
    """Asks DNS servers, remembers answers for their TTL, and never has more than Limits.concurrency lookups running."""

    def __init__(self, nameservers: Sequence[str] = (), limits: Limits = Limits(), hosts: Hosts | None = None) -> None:
        self.limits = limits
        self.hosts = hosts
        self._addresses = [_server_address(word) for word in nameservers]
        self._resolv_conf = "" if nameservers else _resolv_conf()
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer | LookupFailed]] = OrderedDict()
        self._running: dict[tuple[str, str], asyncio.Task[Answer | LookupFailed]] = {}
        self._turn = asyncio.Semaphore(limits.concurrency)

    @classmethod
    def of(cls, config: MainConfig) -> "Resolver":
        """The resolver that main.cf describes (hardmail_nameservers, hardmail_dns_...). Raises ValueError."""
        limits = Limits(
            config.seconds("hardmail_dns_timeout"),
            config.seconds("hardmail_dns_lifetime"),
            config.seconds("hardmail_dns_cache_time"),
            config.int("hardmail_dns_cache_limit"),
            config.int("hardmail_dns_concurrency"),
        )
        return cls(config.list("hardmail_nameservers"), limits, Hosts(Path(config.str("hardmail_hosts_file"))))

    async def query(self, name: str, kind: str) -> Answer:
        """All there is to know of a name's records of one type. Raises NotFound, TempFail."""
        key = (name.rstrip(".").lower(), kind.upper())
        cached = self._cache.get(key)
        if cached and time.monotonic() < cached[0]:
            self._cache.move_to_end(key)
            outcome = cached[1]
        else:
            outcome = await self._shared(key)
        if isinstance(outcome, LookupFailed):
            # A fresh exception: the cached one must not collect tracebacks.
            raise _again(outcome)
        return outcome

    async def lookup(self, name: str, kind: str) -> tuple[Record, ...]:
        """The records of a name. Raises NotFound, TempFail."""
        return (await self.query(name, kind)).records

    async def addresses(self, name: str, *, ipv4: bool = True, ipv6: bool = True, native: bool = False) -> list[str]:
        """A host's addresses, IPv4 first; with native, /etc/hosts is asked before DNS. Raises NotFound, TempFail.

        When one family fails temporarily the other family's addresses are still an answer.
        """
        if native and self.hosts and (known := self.hosts.addresses(name)):
            wanted = [a for a in known if (":" in a and ipv6) or (":" not in a and ipv4)]
            if wanted:
                return wanted
        kinds = ["A"] * ipv4 + ["AAAA"] * ipv6
        outcomes = await asyncio.gather(*(self.query(name, kind) for kind in kinds), return_exceptions=True)
        found, failures = list[str](), list[LookupFailed]()
        for outcome in outcomes:
            if isinstance(outcome, LookupFailed):
                failures.append(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                found.extend(record.text for record in outcome.records)
        if not found:
            temporary = next((failure for failure in failures if isinstance(failure, TempFail)), None)
            raise temporary or next(iter(failures), NotFound(name, "A", "no protocol enabled", exists=True))
        return found

    async def reverse(self, address: str, *, native: bool = False) -> str:
        """The first PTR name of an address, without the final dot. Raises NotFound, TempFail."""
        if native and self.hosts and (known := self.hosts.name(address)):
            return known
        pointer = ipaddress.ip_address(address).reverse_pointer
        return (await self.lookup(pointer, "PTR"))[0].text

    async def client_name(self, address: str) -> ClientName:
        """The reverse name of a client and whether that name's addresses include the client's. Never raises."""
        try:
            reverse = await self.reverse(address, native=True)
        except TempFail:
            return ClientName("unknown", "unknown", "4", "4")
        except LookupFailed:
            return ClientName("unknown", "unknown", "5", "5")
        if not _host_name(reverse):
            return ClientName("unknown", "unknown", "5", "5")
        try:
            forward = await self.addresses(reverse, native=True)
        except TempFail:
            return ClientName("unknown", reverse, "4", "2")
        except LookupFailed:
            return ClientName("unknown", reverse, "5", "2")
        if ipaddress.ip_address(address) not in {ipaddress.ip_address(a) for a in forward}:
            return ClientName("unknown", reverse, "6", "2")
        return ClientName(reverse, reverse, "2", "2")

    async def mail_exchangers(self, domain: str) -> list[tuple[int, str]]:
        """Mail hosts of a domain, best first, equals shuffled; the domain itself (preference 0) without MX records.

        A null MX (RFC 7505) gives an empty list. Raises NotFound when the domain does not exist, TempFail.
        """
        try:
            records = await self.lookup(domain, "MX")
        except NotFound as error:
            if not error.exists:
                raise
            return [(0, domain)]
        hosts = [(record.preference, record.text) for record in records if record.text]
        random.shuffle(hosts)
        return sorted(hosts, key=lambda host: host[0])

    async def _shared(self, key: tuple[str, str]) -> Answer | LookupFailed:
        """Ask once for all that wait for the same answer."""
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(*key))
            self._running[key] = task
            task.add_done_callback(lambda _task: self._running.pop(key, None))
        # Shielded: one caller's cancellation must not fail the others.
        return await asyncio.shield(task)

    async def _ask(self, name: str, kind: str) -> Answer | LookupFailed:
        outcome: Answer | LookupFailed
        async with self._turn:
            try:
                outcome = await self._servers.ask(name, kind)
            except LookupFailed as error:
                outcome = error
        self._remember((name, kind), outcome)
        return outcome

    @functools.cached_property
    def _servers(self) -> "NameServers":
        """Loaded with the first question: dnspython is as large as the rest of a service that has none to ask."""
        from mta.nameservers import NameServers

        return NameServers(self._addresses, self._resolv_conf, self.limits)

    def _remember(self, key: tuple[str, str], outcome: Answer | LookupFailed) -> None:
        match outcome:
            case Answer():
                keep = min([self.limits.cache_time, *(float(record.ttl) for record in outcome.records)])
            case NotFound():
                keep = min(self.limits.cache_time, NEGATIVE_TIME)
            case _:
                keep = FAILURE_TIME
        self._cache[key] = (time.monotonic() + keep, outcome)
        self._cache.move_to_end(key)
        while len(self._cache) > self.limits.cache_size:
            self._cache.popitem(last=False)


def _resolv_conf() -> str:
    """The system's name servers, read while the process may. Without any, every lookup is a temporary failure."""
    try:
        return RESOLV_CONF.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        log.warning("%s: %s", RESOLV_CONF, error.strerror)
        return ""


def _server_address(word: str) -> tuple[str, int]:
    """`address`, `address:port` or `[address]:port`. Raises ValueError."""
    host, port = word, "53"
    if word.startswith("["):
        host, bracket, rest = word[1:].partition("]")
        if not bracket:
            raise ValueError(f"hardmail_nameservers: missing bracket in {word}")
        port = rest.removeprefix(":") or "53"
    elif word.count(":") == 1:
        host, _, port = word.partition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
        raise ValueError(f"hardmail_nameservers: bad port in {word}")
    ipaddress.ip_address(host)
    return host, int(port)


def _again(failure: LookupFailed) -> LookupFailed:
    if isinstance(failure, NotFound):
        return NotFound(failure.name, failure.kind, failure.reason, exists=failure.exists)
    return TempFail(failure.name, failure.kind, failure.reason)


def _host_name(text: str) -> bool:
    return valid_hostname(text) and not valid_hostaddr(text)
