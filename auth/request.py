"""One user being authenticated or looked up: names, fields, the rules of auth_username_* (wiki Authentication)."""

from __future__ import annotations

import ipaddress
import logging
import os
import secrets
import time
from collections.abc import Callable

from . import variables
from .fields import Fields
from .identities import identities
from .protocol import Parameters
from .settings import AuthSettings

log = logging.getLogger("dovecot.auth")

FIELD_CHARS_REFUSED = frozenset("\x01\t\r\n")
"""Characters Dovecot refuses in passwords: they end words and lines of its protocols."""


DELAY_MAX = 300
"""Seconds a passdb may hold a log-in back with ``delay_until``."""


class UnknownVariable(Exception):
    """A setting or field has a ``%`` variable that does not exist; the text is for the log."""


class BadUsername(Exception):
    """A user name that the settings forbid; the text is for the log."""


class AuthRequest:
    """What is known of one user so far. Passwords are never kept here."""

    def __init__(self, settings: AuthSettings, parameters: Parameters, mechanism: str = "", id: int = 0) -> None:
        self.settings = settings
        self.parameters = parameters
        self.mechanism = mechanism
        self.id = id
        self.user: str | None = None
        self.original_user: str | None = None
        self.login_user: str | None = None
        """Whom a master user wants to act as, while the master user itself is being checked."""
        self.master_user: str | None = None
        self.database = ""
        """Driver of the database that is being asked, for the log."""
        self.extra = Fields()
        self.userdb: Fields | None = None
        self.prefetched = False
        self.password_verified = False
        self.failed = False
        self.delay_until = 0.0
        self.tempfailed = False
        self.openid_configuration = ""
        """Where a client with a bad token may read how to get a good one."""
        self.locked_out = False
        self.policy_refused = False
        self.userdb_lookup = False
        if parameters.cert_username and settings.ssl_username_from_cert:
            self.user = parameters.cert_username
        for name, value in parameters.forward.items():
            self.extra.add(f"forward_{name}", value or None)
        self.extra.snapshot()

    def __repr__(self) -> str:
        return f"AuthRequest(id={self.id}, user={self.user!r}, mechanism={self.mechanism!r})"

    def set_user(self, name: str) -> None:
        """Take the name a client gave. Raises BadUsername."""
        separator = self.settings.master_user_separator[:1]
        login = None
        if separator and not self.userdb_lookup and separator in name:
            login, _, name = name.partition(separator)
        if self.original_user is None:
            self.original_user = name
        if self.parameters.cert_username and self.settings.ssl_username_from_cert:
            name = self.parameters.cert_username
        self.user = None
        self.user = self.normalised(name)
        if login is not None:
            self.set_login_user(login)

    def set_login_user(self, name: str) -> None:
        """Take the name of the user a master user wants to be. Raises BadUsername."""
        if not name:
            raise BadUsername("Master user login attempted to use empty login username")
        if name != self.user:
            self.login_user = self.normalised(name)

    def become_login_user(self) -> None:
        """The master user has proved itself: go on as the user it wants to be."""
        assert self.login_user is not None
        self.master_user, self.user, self.login_user = self.user, self.login_user, None

    def normalised(self, name: str) -> str:
        """The name after auth_default_realm, auth_username_translation, _chars and _format. Raises BadUsername."""
        settings = self.settings
        if settings.default_realm and "@" not in name:
            name = f"{name}@{settings.default_realm}"
        if not name:
            raise BadUsername("Empty username")
        name = name.translate(settings.username_translation)
        for char in name:
            if settings.username_chars and char not in settings.username_chars:
                raise BadUsername(
                    f"Username character disallowed by auth_username_chars: 0x{ord(char):02x} (username: {name!r})"
                )
        if settings.username_format:
            before, self.user = self.user, name
            try:
                name = self.expand(settings.username_format)
            except UnknownVariable as error:
                raise BadUsername(f"auth_username_format: {error}") from None
            finally:
                self.user = before
        if not name:
            raise BadUsername("Empty username")
        return name

    def change_user(self, field: str, value: str) -> None:
        """``user=``, ``username=`` or ``domain=`` of a database."""
        local, at, domain = (self.user or "").partition("@")
        if field == "username":
            value = value if "@" in value else f"{value}{at}{domain}"
        elif field == "domain":
            value = f"{local}@{value}" if value else local
        self.user = value

    def set_field(self, name: str, value: str, *, hidden: bool = False) -> None:
        """A field of a passdb entry; its special names act (doc/wiki PasswordDatabase/ExtraFields)."""
        name, kept = _unsuffixed(name)
        if not name or (kept and name in self.extra):
            return
        if name in ("user", "username", "domain"):
            self.change_user(name, value)
        elif name == "login_user":
            self.login_user = value
        elif name == "allow_nets":
            self._check_networks(value, self.parameters.rip)
        elif name == "allow_real_nets":
            self._check_networks(value, self.parameters.real_rip or self.parameters.rip)
        elif name == "fail":
            self.failed = True
        elif name == "delay_until":
            self._delay(value)
        elif name.startswith("userdb_"):
            self.prefetched = True
            self.set_userdb_field(name.removeprefix("userdb_"), value)
        elif name in ("password", "password_noscheme", "noauthenticate"):
            pass
        elif name == "nopassword":
            self.extra.add(name, None, hidden=hidden)
            return
        else:
            self.extra.add(name, value or None, hidden=hidden)
            return
        self.extra.add(name, value, hidden=True)

    def set_null_field(self, name: str) -> None:
        """A field of a passdb entry that is SQL's NULL: of the userdb's, it still makes ``prefetch`` the userdb."""
        self.prefetched = self.prefetched or name.startswith("userdb_")

    def set_userdb_field(self, name: str, value: str) -> None:
        """A field of a userdb entry (doc/wiki UserDatabase/ExtraFields)."""
        fields = self.userdb_fields()
        name, kept = _unsuffixed(name)
        if not name or (kept and name in fields):
            return
        if name in ("uid", "gid"):
            number = identities.find(name, value)
            if number is None:
                self.tempfailed = True
                return
            value = str(number)
        elif name == "tempfail":
            self.tempfailed = True
            return
        elif name in ("user", "username", "domain"):
            self.change_user(name, value)
            return
        elif name == "userdb_import":
            for word in value.split("\t"):
                inner, _, text = word.partition("=")
                self.set_userdb_field(inner, text)
            return
        fields.add(name, value or None)

    def userdb_fields(self) -> Fields:
        """The userdb's fields, begun when first asked for."""
        if self.userdb is None:
            self.userdb = Fields()
        return self.userdb

    def _delay(self, value: str) -> None:
        """``delay_until=<seconds since 1970>[+<at most so many more>]``; too far ahead is a refusal."""
        stamp, _, extra = value.partition("+")
        if not (stamp + extra).isdigit() or len(stamp) > 12 or len(extra) > 4:
            self.failed = True
            return
        until = int(stamp) + secrets.randbelow(int(extra or 0) + 1)
        self.failed = self.failed or until > time.time() + DELAY_MAX
        self.delay_until = max(self.delay_until, float(until))

    def _check_networks(self, networks: str, address: str) -> None:
        """``allow_nets``: the client must come from one of them; ``local`` stands for an unknown address."""
        words = networks.replace(",", " ").split()
        if not address:
            if "local" not in words:
                log.info("%s: allow_nets check failed: Remote IP not known and 'local' missing", describe(self))
                self.failed = True
            return
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            self.failed = True
            return
        for word in words:
            try:
                if ip in ipaddress.ip_network(word, strict=False):
                    return
            except ValueError:
                continue
        log.info("%s: allow_nets check failed: IP %s not in allowed networks", describe(self), address)
        self.failed = True

    def expand(self, text: str, escape: Callable[[str], str] | None = None) -> str:
        """Replace the ``%`` variables of a setting or field, each value through ``escape``. Raises UnknownVariable."""
        return variables.expand(text, self._known_variable, escape)

    def _known_variable(self, name: str) -> str:
        value = self.variable(name)
        if value is None:
            raise UnknownVariable(f"Unknown variable '%{name if len(name) == 1 else '{' + name + '}'}'")
        return value

    def variable(self, name: str) -> str | None:
        """The value of a ``%`` variable of the auth service (doc/wiki Variables)."""
        name = _SHORT.get(name, name)
        if name.startswith("passdb:"):
            return self.extra.get(name[7:]) or ""
        if name.startswith("userdb:"):
            return (self.userdb.get(name[7:]) if self.userdb is not None else None) or ""
        prefix, _, rest = name.partition("_")
        if rest in _OF_USER and prefix in ("orig", "login", "auth"):
            named = {"orig": self.original_user, "login": self.login_user, "auth": self.master_user or self.user}
            return _OF_USER[rest](named[prefix] or "")
        if name in _OF_USER:
            return _OF_USER[name](self.user or "")
        return self._of_connection(name)

    def _of_connection(self, name: str) -> str | None:
        given = self.parameters
        values = {
            "master_user": self.master_user or "",
            "service": given.service or "",
            "protocol": given.service or "",
            "lip": given.lip,
            "rip": given.rip,
            "lport": str(given.lport),
            "rport": str(given.rport),
            "real_lip": given.real_lip or given.lip,
            "real_rip": given.real_rip or given.rip,
            "real_lport": str(given.real_lport or given.lport),
            "real_rport": str(given.real_rport or given.rport),
            "local_name": given.local_name,
            "session": given.session,
            "client_id": given.client_id,
            "mech": self.mechanism,
            "secured": "secured" if given.secured else "",
            "cert": "valid" if given.valid_client_cert else "",
            "pid": str(os.getpid()),
            "home": (self.userdb.get("home") if self.userdb is not None else None) or "",
            "hostname": self.settings.hostname,
        }
        return values.get(name)


def describe(request: AuthRequest, who_asks: str = "") -> str:
    """``driver(user,address,<session>)``, as Dovecot's log lines begin; the mechanism where no database is asked.

    What a client may have chosen cannot begin a line of its own: control characters become question marks.
    """
    words = [request.user or "?"]
    if request.parameters.rip:
        words.append(request.parameters.rip)
    if request.parameters.session:
        words.append(f"<{request.parameters.session}>")
    who = "".join(char if char.isprintable() else "?" for char in ",".join(words))
    return f"{who_asks or request.database or request.mechanism.lower() or 'userdb'}({who})"


def _unsuffixed(name: str) -> tuple[str, bool]:
    """A field's name without ``:protected`` or ``:default``, and whether it had one: it yields to what is there."""
    bare = name.removesuffix(":protected").removesuffix(":default")
    return bare, bare != name


_OF_USER: dict[str, Callable[[str], str]] = {
    "user": lambda user: user,
    "username": lambda user: user.partition("@")[0],
    "domain": lambda user: user.partition("@")[2],
    "domain_first": lambda user: user.partition("@")[2],
    "domain_last": lambda user: user.rpartition("@")[2] if "@" in user else "",
}
"""Variables that are parts of a user name."""

_SHORT = {
    "u": "user", "n": "username", "d": "domain", "s": "service", "l": "lip", "r": "rip", "a": "lport", "b": "rport",
    "m": "mech", "c": "secured", "k": "cert", "p": "pid", "h": "home",
}  # fmt: skip
