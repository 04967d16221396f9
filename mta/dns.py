"""Host names and addresses: an asynchronous, cached DNS resolver over dnspython, with /etc/hosts where it applies.

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
import ipaddress
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rdata
import dns.rdatatype

# dnspython looks for these when it meets the first record of a type; a jailed process must have them already.
import dns.rdtypes.ANY.CNAME
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.NS
import dns.rdtypes.ANY.OPT
import dns.rdtypes.ANY.PTR
import dns.rdtypes.ANY.SOA
import dns.rdtypes.ANY.TXT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA
import dns.resolver
import dns.reversename

from mta.address.hostname import valid_hostaddr, valid_hostname
from mta.config import MainConfig
from mta.hosts import Hosts

log = logging.getLogger("postfix.dns")
# For the same reason: the back end is otherwise loaded with the first question.
dns.asyncbackend.get_backend("asyncio")

# Records used of one answer: DNSBLs give a handful, a hostile zone may give thousands.
RECORD_LIMIT = 100
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
        self._servers = tuple(nameservers)
        self._resolver = make_resolver(self._servers, limits)
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer | LookupFailed]] = OrderedDict()
        self._running: dict[tuple[str, str], asyncio.Task[Answer | LookupFailed]] = {}
        self._turn = asyncio.Semaphore(limits.concurrency)

    @classmethod
    def of(cls, config: MainConfig) -> "Resolver":
        """The resolver that main.cf describes (hardmail_nameservers, hardmail_dns_...)."""
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
        pointer = dns.reversename.from_address(address).to_text(omit_final_dot=True)
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
                outcome = await self._ask_servers(name, kind)
            except LookupFailed as error:
                outcome = error
        self._remember((name, kind), outcome)
        return outcome

    async def _ask_servers(self, name: str, kind: str) -> Answer:
        try:
            question = dns.name.from_text(name) if name else dns.name.root
            rdtype = dns.rdatatype.from_text(kind)
        except (dns.exception.DNSException, UnicodeError, ValueError) as error:
            raise NotFound(name, kind, "malformed name", exists=False) from error
        try:
            answer = await self._resolver.resolve(question, rdtype, search=False, lifetime=self.limits.lifetime)
        except dns.resolver.NXDOMAIN as error:
            raise NotFound(name, kind, "Host or domain name not found", exists=False) from error
        except dns.resolver.NoAnswer as error:
            raise NotFound(name, kind, "no record of this type", exists=True) from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            raise TempFail(name, kind, f"try again ({type(error).__name__})") from error
        rrset = answer.rrset
        if rrset is None:
            raise NotFound(name, kind, "no record of this type", exists=True)
        records = tuple(_record(kind, rdata, rrset.ttl) for rdata in list(rrset)[:RECORD_LIMIT])
        secure = bool(answer.response.flags & dns.flags.AD)
        return Answer(answer.canonical_name.to_text(omit_final_dot=True), records, secure)

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


def make_resolver(nameservers: Sequence[str], limits: Limits) -> dns.asyncresolver.Resolver:
    """A dnspython resolver for `address` or `address:port` words, or for /etc/resolv.conf. ValueError for bad words.

    Without any name server every lookup is a temporary failure, as it is for programs that use the system's library.
    """
    resolver = dns.asyncresolver.Resolver(configure=False)
    if nameservers:
        resolver.nameservers = [_nameserver(word) for word in nameservers]
    else:
        try:
            resolver.read_resolv_conf("/etc/resolv.conf")
        except dns.resolver.NoResolverConfiguration as error:
            log.warning("/etc/resolv.conf: %s", error)
    resolver.timeout = limits.timeout
    resolver.lifetime = limits.lifetime
    resolver.cache = None
    return resolver


def _nameserver(word: str) -> dns.nameserver.Nameserver:
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
    return dns.nameserver.Do53Nameserver(host, int(port))


def _record(kind: str, rdata: dns.rdata.Rdata, ttl: int) -> Record:
    match kind:
        case "MX":
            return Record(kind, _target(rdata, "exchange"), int(getattr(rdata, "preference", 0)), ttl)
        case "PTR" | "CNAME" | "NS":
            return Record(kind, _target(rdata, "target"), 0, ttl)
        case "TXT":
            strings: tuple[bytes, ...] = getattr(rdata, "strings", ())
            return Record(kind, b"".join(strings).decode("utf-8", "replace"), 0, ttl)
        case "A" | "AAAA":
            return Record(kind, str(getattr(rdata, "address", "")), 0, ttl)
        case _:
            return Record(kind, rdata.to_text(), 0, ttl)


def _target(rdata: dns.rdata.Rdata, field: str) -> str:
    name: dns.name.Name = getattr(rdata, field)
    return name.to_text(omit_final_dot=True) if name != dns.name.root else ""


def _again(failure: LookupFailed) -> LookupFailed:
    if isinstance(failure, NotFound):
        return NotFound(failure.name, failure.kind, failure.reason, exists=failure.exists)
    return TempFail(failure.name, failure.kind, failure.reason)


def _host_name(text: str) -> bool:
    return valid_hostname(text) and not valid_hostaddr(text)
