"""ldap: tables: a search in a directory, as ldap_table(5)."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from sansldap import LDAPFilter

from mta.tables.base import Options, SpecError, Table, TableError, UnusableTable
from mta.tables.expansion import Rules, check_template, fill, number, read_source, source_of, yes
from mta.tables.ldapclient import Entry, LdapConnection, Login, Search, bind_filter, parse_filter
from mta.tables.server import ServerTable
from tls.context import client_context
from tls.errors import TLSConfigError
from tls.policy import Policy

SCOPES = {"base": 0, "one": 1, "sub": 2}
BINDS = {"no": "none", "none": "none", "yes": "simple", "simple": "simple", "sasl": "sasl"}
# Characters of a distinguished name that mean something (RFC 4514 section 2.4).
_MEANT = re.compile(r'["+,;<>\\=#]|^ | $')
_URL = re.compile(r"ldaps?i?://[^/?]*(?:/([^?]*)(?:\?([^?]*))?(?:\?([^?]*))?(?:\?([^?]*))?(?:\?.*)?)?", re.IGNORECASE)
ANYTHING = "(objectClass=*)"


@dataclass(frozen=True)
class LdapSource:
    """The settings of one table."""

    path: Path
    rules: Rules
    hosts: tuple[str, ...]
    port: int
    timeout: float
    base: str
    filter: LDAPFilter
    scope: int
    attributes: tuple[str, ...]
    results: frozenset[str]
    special: frozenset[str]
    terminal: frozenset[str]
    leaf: frozenset[str]
    recursion_limit: int
    size_limit: int
    dereference: int
    login: Login
    start_tls: bool
    context: ssl.SSLContext

    def search(self, key: str) -> Search | None:
        """What to search for a key; None when the key lacks a part that the templates need."""
        base = fill(self.base, key, key, quote_name)
        bound = bind_filter(self.filter, lambda value: fill(value, key, key))
        return None if base is None or bound is None else self.request(base, self.scope, bound, self.attributes)

    def request(self, base: str, scope: int, wanted: LDAPFilter, attributes: tuple[str, ...]) -> Search:
        """A search with the limits of this table."""
        return Search(base, scope, wanted, attributes, self.dereference, self.size_limit)


def quote_name(text: str) -> str:
    """A value for a distinguished name (RFC 4514 section 2.4)."""
    return _MEANT.sub(lambda match: "\\" + match[0], text)


def load(path: Path, options: Options) -> LdapSource:
    """Read a table's settings. Raises SpecError."""
    settings = read_source(path)
    words = {name: tuple(settings.get(name, "").replace(",", " ").split()) for name in settings}
    base, template = settings.get("search_base", ""), settings.get("query_filter", "mailacceptinggeneralid=%s")
    check_template(base, "search_base")
    check_template(template, "query_filter")
    try:
        parsed = parse_filter(template)
    except ValueError as error:
        raise SpecError(f"{path}: query_filter: {error}: {template}") from error
    scope, bind = settings.get("scope", "sub").lower(), settings.get("bind", "yes").lower()
    if scope not in SCOPES:
        raise SpecError(f"{path}: unknown scope: {scope}; use sub, base or one")
    if bind not in BINDS:
        raise SpecError(f"{path}: unknown bind: {bind}; use no, yes or sasl")
    rules = Rules.load(path, settings, options)
    limit = number(settings, "recursion_limit", 1000, path)
    if limit < 1:
        raise SpecError(f"{path}: recursion_limit must be above zero")
    groups = (
        words.get("result_attribute", ("maildrop",)),
        words.get("special_result_attribute", ()),
        words.get("terminal_result_attribute", ()),
        words.get("leaf_result_attribute", ()),
    )
    source = LdapSource(
        path,
        rules,
        words.get("server_host") or ("localhost",),
        number(settings, "server_port", 389, path),
        float(number(settings, "timeout", 10, path)),
        base,
        parsed,
        SCOPES[scope],
        tuple(dict.fromkeys(name for group in groups for name in group)),
        _folded(groups[0]),
        _folded(groups[1]),
        _folded(groups[2]),
        _folded(groups[3]),
        limit,
        number(settings, "size_limit", rules.expansion_limit, path),
        number(settings, "dereference", 0, path),
        Login(
            _method(BINDS[bind], words.get("sasl_mechs", ()), path),
            settings.get("bind_dn", ""),
            settings.get("bind_pw", ""),
            settings.get("sasl_authz_id", ""),
        ),
        yes(settings, "start_tls", False, path),
        _context(settings, path),
    )
    if source.dereference > 3:
        raise SpecError(f"{path}: dereference is 0, 1, 2 or 3")
    return source


def _folded(names: tuple[str, ...]) -> frozenset[str]:
    """Attribute names without regard to case."""
    return frozenset(map(str.lower, names))


def _method(bind: str, mechanisms: tuple[str, ...], path: Path) -> str:
    if bind != "sasl":
        return bind
    for mechanism in map(str.upper, mechanisms):
        if mechanism in ("EXTERNAL", "PLAIN"):
            return mechanism
    raise SpecError(f"{path}: sasl_mechs: of SASL mechanisms EXTERNAL and PLAIN are supported")


def _context(settings: Mapping[str, str], path: Path) -> ssl.SSLContext:
    def file(name: str) -> Path | None:
        return Path(settings[name]) if settings.get(name) else None

    certificate, key = file("tls_cert"), file("tls_key")
    try:
        return client_context(
            Policy(),
            file("tls_ca_cert_file"),
            None if file("tls_ca_cert_file") else file("tls_ca_cert_dir"),
            "name" if yes(settings, "tls_require_cert", False, path) else "none",
            certificate,
            key or certificate,
        )
    except (TLSConfigError, OSError) as error:
        raise SpecError(f"{path}: {error}") from error


class LdapTable(ServerTable[Search, list[Entry] | None]):
    """One search in one directory, with what special_result_attribute leads to."""

    def __init__(self, name: str, source: LdapSource) -> None:
        super().__init__(name, source.hosts, answer_timeout=source.timeout)
        self.source = source

    async def connect(self, host: str) -> LdapConnection:
        source = self.source
        return await LdapConnection.open(host, source.port, source.context, source.login, start_tls=source.start_tls)

    async def lookup(self, key: str) -> str | None:
        source = self.source
        search = source.search(key) if await source.rules.eligible(key) else None
        if search is None:
            return None
        entries = await self.ask(search)
        if entries is None:
            if search.base != source.base:  # made of the key: a key without an entry of its own is not found
                return None
            raise TableError(f"{self.name}: search base '{search.base}' not found")
        found = list[str]()
        await self._collect(entries, search.attributes, found, 1)
        return source.rules.combine(found, key)

    async def _collect(self, entries: list[Entry], wanted: tuple[str, ...], found: list[str], depth: int) -> None:
        """Add the values of entries, and of the entries that they lead to."""
        source = self.source
        for entry in entries:
            named = [(name.lower(), texts) for name, texts in entry.attributes.items() if texts]
            present = {name for name, _ in named}
            final = present & source.terminal
            # An entry that leads to others is no leaf.
            own = final or (source.results if present & source.special else source.results | source.leaf)
            for name, texts in named:
                if name in own:
                    found += texts
                elif name in source.special and not final:
                    for link in texts:
                        await self._follow(link, wanted, found, depth)

    async def _follow(self, link: str, wanted: tuple[str, ...], found: list[str], depth: int) -> None:
        source = self.source
        if depth >= source.recursion_limit:
            raise TableError(f"{self.name}: recursion limit exceeded at {link}")
        limit = source.rules.expansion_limit
        if limit and len(found) > limit:
            return  # too many already: combine() will say so
        try:
            search = self._linked(link, wanted)
        except ValueError as error:
            raise TableError(f"{self.name}: {link}: {error}") from error
        entries = await self.ask(search)
        if entries is not None:  # else as if the entry were there and had no values
            await self._collect(entries, wanted, found, depth + 1)

    def _linked(self, link: str, wanted: tuple[str, ...]) -> Search:
        """The search that a link stands for: an LDAP URL (RFC 4516) or a distinguished name. Raises ValueError."""
        match = _URL.fullmatch(link)
        if match is None:
            return self.source.request(link, SCOPES["base"], parse_filter(ANYTHING), wanted)
        base, names, scope, text = (unquote(part or "") for part in match.groups())
        asked = {name.lower() for name in names.split(",") if name}
        attributes = tuple(name for name in wanted if not asked or name.lower() in asked)
        number = SCOPES.get(scope.lower(), SCOPES["base"])
        return self.source.request(base, number, parse_filter(text or ANYTHING), attributes)


def open_ldap(name: str, options: Options) -> Table:
    """ldap:/path/of/settings. Raises SpecError for mistakes in them, and where sansldap is not installed."""
    path = source_of(name, options)
    if isinstance(path, UnusableTable):
        return path
    return LdapTable(name, load(path, options))
