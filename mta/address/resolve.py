"""Resolving: one recipient address to address class, transport, next hop and final form, as trivial-rewrite(8) does."""

import logging
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, replace

from mta.address.domains import AddressClass, Domains
from mta.address.hostname import valid_hostaddr, valid_hostname, valid_mailhost_literal
from mta.address.quoting import quote_822
from mta.address.rewrite import Rewriter
from mta.address.search import AddressSearch
from mta.address.tokens import Kind, Token, Tokens, find_last, internalize, scan
from mta.config import MainConfig
from mta.tables import Maps, TableError, maps_of

log = logging.getLogger("postfix.trivial-rewrite")

# How long an answer is reused, in seconds, and how many are kept (rewrite(3) and resolve(3) clients: 30 s).
CACHE_TIME = 30.0
CACHE_LIMIT = 2000
# Each round strips a domain or rewrites one operator, so an address needs fewer rounds than it has characters.
_EXTRA_ROUNDS = 100
# An address without quotes, routing or oddities in it: nearly all. If its domain is not local, nothing is to be found.
_PLAIN = re.compile(
    r"[A-Za-z0-9_=+][A-Za-z0-9_=+-]*(?:\.[A-Za-z0-9_=+-]+)*@((?:[A-Za-z0-9-]+\.)+[A-Za-z][A-Za-z0-9-]*)"
)


@dataclass(frozen=True)
class Resolution:
    """Where a recipient goes.

    recipient: the final address, internal form; domain: its domain. error: the address form cannot be delivered
    to (bad host name or literal; the server answers 501). routed: the local part still holds routing (`user%site`,
    `site!user`, `"user@site"`), so accepting it as a final destination could relay.
    """

    address_class: AddressClass
    transport: str
    nexthop: str
    recipient: str
    domain: str
    error: bool = False
    routed: bool = False


@dataclass(frozen=True)
class RouteSettings:
    """The parameters that decide where each class goes; address verification has a set of its own."""

    local_transport: str
    virtual_transport: str
    relay_transport: str
    default_transport: str
    relayhost: str
    sender_transports: Maps
    sender_relayhosts: Maps
    transports: Maps

    @classmethod
    def of(cls, config: MainConfig, prefix: str = "") -> "RouteSettings":
        """The ordinary settings, or with prefix "address_verify_" those for probes. Raises ConfigErrors."""
        return cls(
            config.str(f"{prefix}local_transport"),
            config.str(f"{prefix}virtual_transport"),
            config.str(f"{prefix}relay_transport"),
            config.str(f"{prefix}default_transport"),
            config.str(f"{prefix}relayhost"),
            maps_of(config, f"{prefix}sender_dependent_default_transport_maps"),
            maps_of(config, f"{prefix}sender_dependent_relayhost_maps"),
            maps_of(config, f"{prefix}transport_maps"),
        )


class Resolver:
    """Resolves addresses by main.cf. Make it before the process is jailed; raises ConfigErrors."""

    def __init__(self, config: MainConfig, *, verify: bool = False) -> None:
        self.domains = Domains(config)
        self.rewriter = Rewriter.of(config)
        self.search = AddressSearch(config, self.domains, self.rewriter)
        self.routes = RouteSettings.of(config, "address_verify_" if verify else "")
        self.relocated = maps_of(config, "relocated_maps")
        self.dequoted = config.bool("resolve_dequoted_address")
        self.null_domain = config.bool("resolve_null_domain")
        self.numeric_domain = config.bool("resolve_numeric_domain")
        self.allow_min_user = config.bool("allow_min_user")
        self.smtputf8 = config.bool("smtputf8_enable")
        self.show_table = config.bool("show_user_unknown_table_name")
        self.warn_of_doubles = config.bool("helpful_warnings")
        self.empty_recipient = config.str("empty_address_recipient")
        self.myhostname = config.str("myhostname")
        self.null_sender_transport_key = config.str("empty_address_default_transport_maps_lookup_key")
        self.null_sender_relayhost_key = config.str("empty_address_relayhost_maps_lookup_key")
        self._by_sender = bool(self.routes.sender_transports or self.routes.sender_relayhosts)
        self._by_domain = not self.routes.transports and not self.relocated
        self._cache: OrderedDict[tuple[bool, str, str], tuple[float, Resolution]] = OrderedDict()

    async def resolve(self, address: str, sender: str = "") -> Resolution:
        """Resolve an internal address for mail from sender (internal). Raises TableError: try again later."""
        # Without tables that know recipients, plain addresses of one domain differ in nothing but themselves.
        plain = _PLAIN.fullmatch(address) if self._by_domain else None
        key = (plain is not None, plain[1] if plain else address, sender if self._by_sender else "")
        cached = self._cache.get(key)
        now = time.monotonic()
        if cached and now < cached[0]:
            known = cached[1]
            return known if known.recipient == address or not plain else replace(known, recipient=address)
        resolution = await self._resolve(address, sender)
        self._cache[key] = (now + CACHE_TIME, resolution)
        self._cache.move_to_end(key)
        if len(self._cache) > CACHE_LIMIT:
            self._cache.popitem(last=False)
        return resolution

    async def _resolve(self, address: str, sender: str) -> Resolution:
        plain = _PLAIN.fullmatch(address)
        if plain and not await self.domains.is_local(plain[1]):
            local, recipient = False, address
        else:
            local, tokens = await self._strip_local_domains(address)
            recipient = internalize(tokens)
        domain = recipient.rpartition("@")[2]
        if not self._valid(recipient, domain):
            if not (self.numeric_domain and valid_hostaddr(domain)):
                return Resolution(AddressClass.DEFAULT, "", "", recipient, domain, error=True)
            domain = f"[{domain}]"
            recipient = f"{recipient.rpartition('@')[0]}@{domain}"
            local = local or await self.domains.is_local(domain)
        first = min((i for c in "@!%" if (i := recipient.find(c)) >= 0), default=0)
        routed = recipient[first + 1 :] != domain
        found = AddressClass.LOCAL if local else await self.domains.remote_class(domain)
        if self.warn_of_doubles and found is not AddressClass.DEFAULT:
            await self.domains.warn_of_doubles(domain, found)
        transport, nexthop = await self._route(found, domain, sender)
        if found is not AddressClass.VIRTUAL_ALIAS:
            transport, nexthop = await self._transport_table(recipient, domain, transport, nexthop)
        if self.relocated and (moved := await self.search.find(self.relocated, recipient)):
            transport, nexthop = "error", f"5.1.6 User has moved to {moved.value}"
        # A leading `-` could be taken for an option by a delivery command.
        error = recipient.startswith("-") and not self.allow_min_user
        return Resolution(found, transport, nexthop, recipient, domain, error, routed)

    def _valid(self, recipient: str, domain: str) -> bool:
        if domain.startswith("["):
            return valid_mailhost_literal(domain)
        if self.smtputf8 and not _is_utf8(recipient):
            return False
        return valid_hostname(domain, utf8=self.smtputf8)

    async def _strip_local_domains(self, address: str) -> tuple[bool, Tokens]:
        """Take local domains off, uncovering the routing behind them, until a remote or the last domain stands.

        Returns whether the destination is local, and the tokens of user@domain. `user%site@here` becomes
        `user@site`, `site!user@here` likewise, and so does `"user@site"@here` when quoted local parts are opened:
        that is what keeps this host from relaying in disguise.
        """
        tokens = scan(quote_822(address))
        saved: Tokens = []
        for _round in range(len(address) + _EXTRA_ROUNDS):
            tokens = self._trim(tokens)
            at = find_last(tokens, "@")
            if at >= 0:
                if at + 1 < len(tokens) and not await self.domains.is_local(internalize(tokens[at + 1 :])):
                    return False, tokens
                tokens, saved = tokens[:at], tokens[at:]
            if (uncovered := self._uncover(tokens)) is not None:
                tokens = uncovered
                continue
            if not tokens or (len(tokens) == 1 and tokens[0].kind is Kind.QUOTED and not tokens[0].text):
                tokens = scan(self.empty_recipient)
            elif not saved:
                tokens = [*tokens, *_at(self.myhostname)]
            else:
                return True, [*tokens, *saved]
        raise TableError(f"resolve_addr: <{address}>: giving up")

    def _trim(self, tokens: Tokens) -> Tokens:
        """Strip one dot at the end of a domain, and with resolve_null_domain a trailing @."""
        if (
            len(tokens) > 1
            and tokens[-1].is_operator(".")
            and find_last(tokens, "@") >= 0
            and not (tokens[-2].is_operator(".") or tokens[-2].is_operator("@"))
        ):
            tokens = tokens[:-1]
        if self.null_domain and tokens and tokens[-1].is_operator("@"):
            tokens = tokens[:-1]
        return tokens

    def _uncover(self, tokens: Tokens) -> Tokens | None:
        """A local part's own routing made the address proper; None when it has none."""
        if find_last(tokens, *self._routing()) >= 0:
            return self.rewriter.rewrite_tokens(tokens)
        if not (self.dequoted and len(tokens) == 1 and tokens[0].kind is Kind.QUOTED):
            return None
        local = tokens[0].text
        operator = next((c for c in self._routing() if c in local), "")
        if not operator:
            return None
        if operator == "%":
            head, _, tail = local.rpartition("%")
            local = f"{head}@{tail}"
        opened = quote_822(local) if operator in "@%" else local
        return self.rewriter.rewrite_tokens(scan(opened))

    def _routing(self) -> tuple[str, ...]:
        percent = ("%",) if self.rewriter.allow_percent_hack else ()
        bang = ("!",) if self.rewriter.swap_bangpath else ()
        return ("@", *percent, *bang)

    async def _route(self, found: AddressClass, domain: str, sender: str) -> tuple[str, str]:
        """Transport and next hop by address class, before transport_maps."""
        routes, nexthop = self.routes, domain
        match found:
            case AddressClass.LOCAL:
                blame, transport = "local_transport", routes.local_transport
            case AddressClass.VIRTUAL_ALIAS:
                unknown = "5.1.1 User unknown" + (" in virtual alias table" if self.show_table else "")
                return "error", unknown
            case AddressClass.VIRTUAL_MAILBOX:
                blame, transport = "virtual_transport", routes.virtual_transport
            case AddressClass.RELAY:
                blame, transport = "relay_transport", routes.relay_transport
                nexthop = await self._relayhost(domain, sender)
            case AddressClass.DEFAULT:
                blame, transport = await self._default_transport(sender)
                nexthop = await self._relayhost(domain, sender)
        transport, _, destination = transport.partition(":")
        if not transport:
            log.warning("parameter %s: null transport is not allowed", blame)
            raise TableError(f"parameter {blame}: null transport")
        return transport, destination or nexthop

    async def _default_transport(self, sender: str) -> tuple[str, str]:
        maps = self.routes.sender_transports
        found = await self.search.find(maps, sender or self.null_sender_transport_key) if maps else None
        if found and found.value.lower() != "dunno":
            return "sender_dependent_default_transport_maps", found.value
        return "default_transport", self.routes.default_transport

    async def _relayhost(self, domain: str, sender: str) -> str:
        """A sender's own relayhost, else relayhost, else the recipient's domain."""
        maps = self.routes.sender_relayhosts
        found = await self.search.find(maps, sender or self.null_sender_relayhost_key) if maps else None
        if found and found.value.lower() != "dunno":
            return found.value
        return self.routes.relayhost or domain

    async def _transport_table(self, recipient: str, domain: str, transport: str, nexthop: str) -> tuple[str, str]:
        """transport(5): an entry replaces transport, next hop or both; `*` is the entry for all others."""
        maps = self.routes.transports
        if not maps:
            return transport, nexthop
        found = await self.search.transport(maps, recipient)
        value = found.value if found else await maps.lookup("*")
        if value is None:
            return transport, nexthop
        new_transport, _, new_nexthop = value.partition(":")
        if not new_transport:
            return transport, new_nexthop or nexthop
        if new_nexthop:
            return new_transport, new_nexthop
        return new_transport, "Address is undeliverable" if new_transport in ("error", "retry") else domain


def _at(domain: str) -> Tokens:
    return [Token(Kind.OPERATOR, "@"), *scan(domain)]


def _is_utf8(text: str) -> bool:
    """Whether text came from valid UTF-8: bytes that did not are kept as surrogates."""
    return text.isascii() or not any("\udc80" <= c <= "\udcff" for c in text)
