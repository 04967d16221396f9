"""One user being authenticated or looked up: names, fields, the rules of auth_username_* (wiki Authentication)."""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from . import variables
from .fields import Fields
from .identities import identities
from .networks import within
from .protocol import Parameters
from .request_variables import value_of
from .settings import AuthSettings
from .verbosity import Description

if TYPE_CHECKING:
    from .cache import Kept

log = logging.getLogger("dovecot.auth")

FIELD_CHARS_REFUSED = frozenset("\x01\t\r\n")
"""Characters Dovecot refuses in passwords: they end words and lines of its protocols."""


DELAY_MAX = 300
"""Seconds a passdb may hold a log-in back with ``delay_until``."""


UnknownVariable = variables.VariableError
"""A setting or field has a ``%`` variable that does not exist, or that is written wrongly; the text is for the log."""


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
        self.verbose: bool | None = None
        """Whether that database's block wants to log more, or less, than auth_verbose says."""
        self.extra = Fields()
        self.userdb: Fields | None = None
        self.prefetched = False
        self._kept_prefetched = False
        self.password_verified = False
        self.failed = False
        self.delay_until = 0.0
        self.known_until = math.inf
        """Until when a request like this one brings the same answer, from wherever it comes (seconds of the monotonic
        clock); 0 when nobody can tell."""
        self.kept: list[Kept] = []
        """The remembered answers that this one rests on."""
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
            value = f"{local}@{value}"
        if value:
            self.user = value
        else:
            log.error("%s: username attempted to be changed to empty", describe(self))
            self.failed = True

    def set_field(self, name: str, value: str) -> None:
        """A field of a passdb entry; its special names act (doc/wiki PasswordDatabase/ExtraFields)."""
        bare, suffix = suffixed(name)
        if suffix == "remove":
            self.extra.remove(bare)
            return
        if not bare or (suffix == "protected" and bare in self.extra):
            return
        name = bare
        if name in _NAMES:
            self.change_user(name, value)
        elif name == "login_user":
            self.login_user = value
        elif name in ("allow_nets", "allow_real_nets"):
            real = self.parameters.real_rip if name == "allow_real_nets" else ""
            self._check_networks(value, real or self.parameters.rip)
        elif name == "fail":
            self.failed = True
        elif name == "delay_until":
            self._delay(value)
        elif name == "userdb_userdb_import":
            self._import(value, lambda inner, text: self.set_field(f"userdb_{inner}", text))
            return
        elif name.startswith("userdb_"):
            self.prefetched = True
            self.set_userdb_field(name.removeprefix("userdb_"), value)
        elif name == "passdb_import":
            self._import(value, self.set_field)
            return
        elif name == "noauthenticate":
            self.extra.add("nopassword", None)
        elif name not in ("password", "password_noscheme"):
            self.extra.add(name, None if name == "nopassword" else value or None)
            return
        self.extra.add(name, value, hidden=True)

    @staticmethod
    def _import(text: str, take: Callable[[str, str], None]) -> None:
        """Fields in one value, as words of the protocol."""
        for word in filter(None, text.split("\t")):
            name, _, value = word.partition("=")
            take(name, value)

    def set_null_field(self, name: str) -> None:
        """A field of a passdb entry that is SQL's NULL: of the userdb's, it still makes ``prefetch`` the userdb."""
        self.prefetched = self.prefetched or name.startswith("userdb_")

    def set_userdb_field(self, name: str, value: str) -> None:
        """A field of a userdb entry (doc/wiki UserDatabase/ExtraFields)."""
        fields = self.userdb_fields()
        bare, suffix = suffixed(name)
        if suffix == "remove":
            fields.remove(bare)
            return
        if not bare or (suffix == "protected" and bare in fields):
            return
        name = "system_groups_user" if bare == "system_user" else bare
        if name in ("uid", "gid"):
            number = identities.find(name, value)
            if number is None:
                self.tempfailed = True
                return
            value = str(number)
        elif name == "tempfail":
            self.tempfailed = True
            return
        elif name in _NAMES:
            self.change_user(name, value)
            return
        elif name == "uidgid_file":
            self._owner_of(value)
            return
        elif name == "userdb_import":
            self._import(value, self.set_userdb_field)
            return
        fields.add(name, value or None)

    def _owner_of(self, path: str) -> None:
        """``uidgid_file``: uid and gid are those of a file."""
        try:
            status = Path(self.expand(path)).stat()
        except (OSError, UnknownVariable) as error:
            log.error("%s: uidgid_file: %s", describe(self), error)
            self.tempfailed = True
            return
        self.userdb_fields().add("uid", str(status.st_uid))
        self.userdb_fields().add("gid", str(status.st_gid))

    def rests_on(self, kept: Kept | None) -> None:
        """A database's answer is remembered like this, or not at all."""
        if kept is None:
            self.known_until = 0.0
        else:
            self.known_until = min(self.known_until, kept.until)
            self.kept.append(kept)

    def keep_fields(self, *, kept: bool) -> None:
        """Keep what a database has added, or return to what was there before it."""
        for fields in (self.extra, self.userdb):
            if fields is not None:
                if kept:
                    fields.snapshot()
                else:
                    fields.rollback()
        if kept:
            self._kept_prefetched = self.prefetched
        elif self.userdb is not None:
            self.prefetched = self._kept_prefetched

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
        self.known_until = 0.0
        until = int(stamp) + secrets.randbelow(int(extra or 0) + 1)
        self.failed = self.failed or until > time.time() + DELAY_MAX
        self.delay_until = max(self.delay_until, float(until))

    def _check_networks(self, networks: str, address: str) -> None:
        """``allow_nets``: the client must come from one of them; ``local`` stands for an unknown address."""
        self.known_until = 0.0
        if not within(networks, address):
            why = f"IP {address} not in allowed networks" if address else "Remote IP not known and 'local' missing"
            log.info("%s: allow_nets check failed: %s", describe(self), why)
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
        return value_of(self, name)


def describe(request: AuthRequest, who_asks: str = "") -> Description:
    """``driver(user,address,<session>)``, as Dovecot's log lines begin; the mechanism where no database is asked.

    What a client may have chosen cannot begin a line of its own: control characters become question marks.
    """
    words = [request.user or "?"]
    if request.parameters.rip:
        words.append(request.parameters.rip)
    if request.parameters.session:
        words.append(f"<{request.parameters.session}>")
    who = "".join(char if char.isprintable() else "?" for char in ",".join(words))
    description = Description(f"{who_asks or request.database or request.mechanism.lower() or 'userdb'}({who})")
    description.verbose = request.verbose
    return description


def suffixed(name: str) -> tuple[str, str]:
    """A field's name, and what follows it: ``protected`` yields to what is there, ``remove`` takes it away."""
    bare, _, suffix = name.rpartition(":")
    return (bare, suffix) if bare and suffix in ("protected", "remove") else (name, "")


_NAMES = ("user", "username", "domain")
"""Fields that change the user's name."""
