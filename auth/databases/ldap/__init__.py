"""LDAP as passdb and userdb, by a dovecot-ldap.conf.ext (wiki AuthDatabase/LDAP): password lookups, or binds."""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import cast

from sansldap import LDAPFilter

from auth import variables
from auth.databases.base import UNKNOWN, BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict
from auth.databases.extfile import flat, yes
from auth.databases.fields import entry_of
from auth.databases.sessions import Sessions
from auth.request import AuthRequest
from auth.results import Result

from .attributes import Attributes, attributes_of
from .session import Bind, Found, LdapSession, Login, Search, Server

DEFAULTS = {
    "hosts": "",
    "uris": "",
    "dn": "",
    "dnpass": "",
    "auth_bind": "no",
    "auth_bind_userdn": "",
    "tls": "no",
    "sasl_bind": "no",
    "sasl_mech": "",
    "sasl_realm": "",
    "sasl_authz_id": "",
    "tls_ca_cert_file": "",
    "tls_ca_cert_dir": "",
    "tls_cert_file": "",
    "tls_key_file": "",
    "tls_cipher_suite": "",
    "tls_require_cert": "demand",
    "deref": "never",
    "scope": "subtree",
    "base": "",
    "ldap_version": "3",
    "debug_level": "0",
    "ldaprc_path": "",
    "user_attrs": "homeDirectory=home,uidNumber=uid,gidNumber=gid",
    "user_filter": "(&(objectClass=posixAccount)(uid=%u))",
    "pass_attrs": "uid=user,userPassword=password",
    "pass_filter": "(&(objectClass=posixAccount)(uid=%u))",
    "iterate_attrs": "uid=user",
    "iterate_filter": "(objectClass=posixAccount)",
    "default_pass_scheme": "CRYPT",
    "userdb_warning_disable": "no",
    "blocking": "no",
}
SCOPES = {"base": 0, "onelevel": 1, "subtree": 2}
DEREFERENCES = {"never": 0, "searching": 1, "finding": 2, "always": 3}
NO_DEMAND = ("never", "allow", "try")

SESSIONS = 5
"""Sessions at once."""

_MEANT = frozenset('*,\\#+<>;"()= ')
"""Characters that mean something in a filter (RFC 4515) or a name (RFC 4514)."""


def escape(value: str) -> str:
    """A value for a filter or a distinguished name: whatever means something there becomes ``\\XX``."""
    if not any(char in _MEANT or not " " < char < "\x7f" for char in value):
        return value
    octets = value.encode("utf-8", "surrogateescape")
    return "".join(
        chr(octet) if 0x20 < octet < 0x7F and chr(octet) not in _MEANT else f"\\{octet:02X}" for octet in octets
    )


class LdapSource:
    """One configuration file: what to search for, and the sessions it is asked on."""

    def __init__(self, args: str) -> None:
        if not args:
            raise BadArguments("ldap: Configuration file path not given")
        self.path = Path(args)
        self._found = found = flat(self.path, DEFAULTS)
        if not found["base"]:
            raise BadArguments(f"ldap {self.path}: No base given")
        if not found["uris"] and not found["hosts"]:
            raise BadArguments(f"ldap {self.path}: No uris or hosts set")
        self.base = found["base"]
        self.scope = self._one_of("scope", SCOPES)
        self.dereference = self._one_of("deref", DEREFERENCES)
        self.scheme = found["default_pass_scheme"].upper()
        base, bind = found["base"], found["auth_bind_userdn"]
        self.pass_variables = _of_request(base + bind + found["pass_filter"] + found["pass_attrs"])
        self.user_variables = _of_request(base + found["user_filter"] + found["user_attrs"])
        self.auth_bind = yes(found, "auth_bind", self.path)
        self.bind_name = found["auth_bind_userdn"]
        self.pass_filter, self.pass_attrs = found["pass_filter"], Attributes.parse(found["pass_attrs"])
        self.user_filter, self.user_attrs = found["user_filter"], Attributes.parse(found["user_attrs"])
        self.iterate_filter, self.iterate_attrs = found["iterate_filter"], Attributes.parse(found["iterate_attrs"])
        login, context, start_tls = self._login(), self._context(), yes(found, "tls", self.path)
        servers = [Server(word, login, context, start_tls) for word in (found["uris"] or found["hosts"]).split()]
        openers = [functools.partial(LdapSession, server) for server in servers]
        self._sessions = Sessions[Search | Bind, list[Found] | str](f"ldap {self.path}", openers, SESSIONS)
        self.close = self._sessions.close

    def _one_of(self, name: str, values: dict[str, int]) -> int:
        if self._found[name].lower() not in values:
            raise BadArguments(f"ldap {self.path}: Unknown {name} option '{self._found[name]}'")
        return values[self._found[name].lower()]

    def _login(self) -> Login:
        found = self._found
        if not yes(found, "sasl_bind", self.path):
            return Login("simple" if found["dn"] else "", found["dn"], found["dnpass"])
        mechanism = found["sasl_mech"].upper()
        if mechanism not in ("EXTERNAL", "PLAIN"):
            raise BadArguments(f"ldap {self.path}: of SASL mechanisms EXTERNAL and PLAIN are supported")
        return Login(mechanism, found["dn"], found["dnpass"], found["sasl_authz_id"])

    def _context(self) -> ssl.SSLContext:
        found = self._found
        try:
            context = ssl.create_default_context(
                cafile=found["tls_ca_cert_file"] or None, capath=found["tls_ca_cert_dir"] or None
            )
            if found["tls_require_cert"].lower() in NO_DEMAND:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif found["tls_require_cert"].lower() not in ("hard", "demand"):
                raise BadArguments(f"ldap {self.path}: Unknown tls_require_cert value '{found['tls_require_cert']}'")
            if found["tls_cert_file"]:
                context.load_cert_chain(found["tls_cert_file"], found["tls_key_file"] or None)
            if found["tls_cipher_suite"]:
                context.set_ciphers(found["tls_cipher_suite"])
        except (OSError, ValueError) as error:
            raise BadArguments(f"ldap {self.path}: {error}") from None
        return context

    async def search(self, request: AuthRequest, template: str, attributes: Attributes) -> list[Found]:
        """The entries that a filter template finds for a request. Raises DatabaseError, UnknownVariable."""
        try:
            parsed = LDAPFilter.from_string(request.expand(template, escape))
        except ValueError as error:
            raise DatabaseError(f"ldap {self.path}: bad filter {template}: {error}") from None
        base = request.expand(self.base, escape)
        wanted = Search(base, self.scope, parsed, attributes.wanted, self.dereference)
        return await self._entries(request, wanted)

    async def _entries(self, request: AuthRequest, search: Search) -> list[Found]:
        return cast("list[Found]", await self._sessions.ask(request.parameters.rip, search))

    async def one(self, request: AuthRequest, template: str, attributes: Attributes) -> Found | None:
        """The one entry, with the attributes of those it points to; None when there is none. Raises DatabaseError when
        there are several."""
        entries = await self.search(request, template, attributes)
        if len(entries) > 1:
            raise DatabaseError(f"ldap {self.path}: the filter matched multiple objects, aborting")
        if not entries:
            return None
        known = dict(entries[0].attributes)
        for name, target, wanted in attributes.pointed(entries[0], request):
            anything = LDAPFilter.from_string("(objectClass=*)")
            search = Search(target, SCOPES["base"], anything, wanted, self.dereference)
            for other in await self._entries(request, search):
                known |= attributes_of(other, name)
        return Found(entries[0].name, known)

    async def bind(self, request: AuthRequest, name: str, password: bytes) -> Verdict:
        """Whether a password is that of an entry. Raises DatabaseError."""
        if not password:
            return Verdict(
                Result.MISMATCH
            )  # a bind without a password is anonymous and succeeds: RFC 4513 section 5.1.2
        question = Bind(name, password.decode("utf-8", "surrogateescape"))
        said = await self._sessions.ask(request.parameters.rip, question)
        return Verdict({"ok": Result.OK, "unknown": Result.UNKNOWN}.get(str(said), Result.MISMATCH))


class LdapPassdb(PassDatabase):
    """pass_filter finds the entry; its password is an attribute, or with ``auth_bind`` the server checks it."""

    driver = "ldap"

    def __init__(self, source: LdapSource) -> None:
        super().__init__(source.scheme)
        self._source = source
        self.verifies = source.auth_bind

    def cache_key(self, request: AuthRequest) -> str | None:
        return _cache_key(self._source.pass_variables, request)

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        source = self._source
        entry = await source.one(request, source.pass_filter, source.pass_attrs)
        if entry is None:
            return UNKNOWN
        pairs = _first(source.pass_attrs.of(entry, request), request)
        return entry_of(pairs, self.default_scheme, request, required=not source.auth_bind)

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        source = self._source
        if source.bind_name:
            return await source.bind(request, request.expand(source.bind_name, escape), password)
        entry = await source.one(request, source.pass_filter, source.pass_attrs)
        if entry is None:
            return UNKNOWN
        pairs = _first(source.pass_attrs.of(entry, request), request)
        fields = [pair for pair in pairs if not pair[0].startswith("password")]
        if request.password_verified:
            return Verdict(Result.OK, fields)
        verdict = await source.bind(request, entry.name, password)
        return Verdict(verdict.result, fields)


def _of_request(text: str) -> tuple[str, ...]:
    """The variables that a request has values for; the others are the entry's."""
    return tuple(name for name in variables.names(text) if not name.startswith(("ldap:", "ldap_", "$")))


def _cache_key(names: Iterable[str], request: AuthRequest) -> str:
    """What an answer depends on."""
    return "\0".join(request.variable(name) or "" for name in names)


def _first(fields: Iterable[tuple[str, tuple[str, ...]]], request: AuthRequest) -> list[tuple[str, str | None]]:
    """Each field with its first value; one that changes the user's name changes the variables of those after it."""
    pairs = list[tuple[str, str | None]]()
    for name, values in fields:
        value = values[0] if values else None
        if name in ("user", "username", "domain") and value:
            request.change_user(name, value)
        pairs.append((name, value))
    return pairs


class LdapUserdb(UserDatabase):
    """user_filter and user_attrs; iterate_filter and iterate_attrs list the users."""

    driver = "ldap"
    iterable = True

    def __init__(self, source: LdapSource) -> None:
        self._source = source

    def cache_key(self, request: AuthRequest) -> str | None:
        return _cache_key(self._source.user_variables, request)

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        source = self._source
        entry = await source.one(request, source.user_filter, source.user_attrs)
        return None if entry is None else _first(source.user_attrs.of(entry, request), request)

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        source = self._source
        for entry in await source.search(request, source.iterate_filter, source.iterate_attrs):
            for name, values in source.iterate_attrs.of(entry, request):
                if name == "user":
                    for value in values:
                        yield value
