"""Asks the configured passdbs and userdbs in order, by Dovecot's rules (doc/wiki PasswordDatabase, UserDatabase)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase

from . import schemes
from .databases import BadArguments, DatabaseError, Databases, Entry, PassDatabase, UserDatabase
from .hashing import Busy, Hasher
from .request import FIELD_CHARS_REFUSED, AuthRequest, BadUsername, UnknownVariable
from .settings import AuthSettings, DatabaseSettings

log = logging.getLogger("dovecot.auth")


class Result(Enum):
    """How a passdb lookup ended."""

    OK = "ok"
    UNKNOWN = "unknown user"
    MISMATCH = "Password mismatch"
    DISABLED = "User is disabled"
    EXPIRED = "Password expired"
    INTERNAL = "internal failure"
    NO_SCHEME = "no credentials for this mechanism"
    NEXT = "no authentication here"


class UserResult(Enum):
    """How a userdb lookup ended."""

    OK = "ok"
    UNKNOWN = "unknown user"
    INTERNAL = "internal failure"


@dataclass(frozen=True, slots=True)
class Passdb:
    """An opened passdb and its block's settings."""

    settings: DatabaseSettings
    database: PassDatabase


@dataclass(frozen=True, slots=True)
class Userdb:
    """An opened userdb and its block's settings."""

    settings: DatabaseSettings
    database: UserDatabase


Ask = Callable[[Passdb], Awaitable[Result]]


class Authenticator:
    """The databases of one configuration. Raises BadArguments at creation when one of them cannot be."""

    def __init__(self, settings: AuthSettings, hasher: Hasher) -> None:
        self.settings = settings
        self.hasher = hasher
        databases = Databases(self.exists, userdbs=len(settings.userdbs))
        opened = [Passdb(block, databases.passdb(block.driver, block.args)) for block in settings.passdbs]
        self._passdbs = [passdb for passdb in opened if not passdb.settings.master]
        self._masterdbs = [passdb for passdb in opened if passdb.settings.master]
        self._userdbs = [Userdb(block, databases.userdb(block.driver, block.args)) for block in settings.userdbs]

    def can(self, need: str) -> bool:
        """Whether some passdb can do what a mechanism needs ("verify", "lookup", "")."""
        if need == "lookup":
            return any(passdb.database.can_lookup for passdb in self._passdbs)
        return not need or bool(self._passdbs)

    # Passdbs

    async def verify(self, request: AuthRequest, password: bytes) -> Result:
        """Check a clear-text password. An unknown user takes as much work as a known one."""
        if FIELD_CHARS_REFUSED & set(password.decode("latin-1")):
            log.info("%s: Attempted login with password having illegal chars", describe(request))
            return Result.UNKNOWN
        hashed = False

        async def ask(passdb: Passdb) -> Result:
            nonlocal hashed
            if not passdb.database.can_lookup:
                hashed = True
                good = await passdb.database.verify(request, password)
                return Result.UNKNOWN if good is None else Result.OK if good else Result.MISMATCH
            entry = await passdb.database.lookup(request)
            if entry is None:
                return Result.UNKNOWN
            self._take_fields(request, passdb, entry)
            if "noauthenticate" in request.extra:
                return Result.NEXT
            hashed = hashed or entry.password is not None
            return await self._check(request, passdb, entry, password)

        result = await self._chain(request, ask)
        if result is Result.UNKNOWN and not hashed:
            await self._dummy(request, password)
        return result

    async def _check(self, request: AuthRequest, passdb: Passdb, entry: Entry, password: bytes) -> Result:
        if request.password_verified:
            return Result.OK
        if passdb.settings.deny:
            return Result.MISMATCH
        if "nopassword" in request.extra:
            if entry.password and schemes.split(entry.password, "PLAIN")[1]:
                log.error("%s: nopassword given but password is non-empty", describe(request))
            else:
                return Result.OK
        if entry.password is None:
            log.info("%s: No password in passdb", describe(request))
            return Result.MISMATCH
        scheme, stored = schemes.split(entry.password, passdb.database.default_scheme)
        user = request.original_user or request.user or ""
        try:
            good = await self.hasher.verify(scheme, stored, password, user, request.parameters.rip)
        except schemes.SchemeError as error:
            log.error("%s: Password data is not valid for scheme %s: %s", describe(request), scheme, error)
            return Result.MISMATCH
        if not good:
            log.info("%s: Password mismatch", describe(request))
        return Result.OK if good else Result.MISMATCH

    async def _dummy(self, request: AuthRequest, password: bytes) -> None:
        """Hash against a stranger's password: the time of the answer must not tell whether a user exists."""
        for passdb in self._masterdbs if request.login_user is not None else self._passdbs:
            sample = passdb.database.sample()
            if sample is None or self._skipped(request, passdb):
                continue
            scheme, stored = schemes.split(sample, passdb.database.default_scheme)
            try:
                await self.hasher.verify(scheme, stored, password + b"\0", "", request.parameters.rip)
            except schemes.SchemeError:
                continue
            return

    async def credentials(self, request: AuthRequest, wanted: str, suffix: str = "") -> tuple[Result, bytes | None]:
        """The stored credentials in the scheme a mechanism wants ("" for any: does the user exist?)."""
        found: bytes | None = None

        async def ask(passdb: Passdb) -> Result:
            nonlocal found
            if not passdb.database.can_lookup:
                return Result.NO_SCHEME
            entry = await passdb.database.lookup(request)
            if entry is None:
                return Result.UNKNOWN
            self._take_fields(request, passdb, entry)
            if "noauthenticate" in request.extra:
                return Result.NEXT
            if entry.password is None:
                if not wanted:
                    return Result.OK
                log.info("%s: Requested %s scheme, but we have a NULL password", describe(request), wanted)
                found = b""  # no mechanism takes it for credentials
                return Result.OK if "nopassword" in request.extra else Result.NO_SCHEME
            scheme, stored = schemes.split(entry.password, passdb.database.default_scheme)
            user = (request.original_user or request.user or "") + suffix
            try:
                found = schemes.credentials(scheme, stored, wanted or scheme, user)
            except schemes.SchemeError as error:
                log.info("%s: %s", describe(request), error)
                return Result.NO_SCHEME
            return Result.OK

        result = await self._chain(request, ask)
        return result, found if result is Result.OK else None

    async def exists(self, request: AuthRequest) -> bool:
        """Whether some passdb knows the user; raises DatabaseError when that cannot be told."""
        probe = AuthRequest(self.settings, request.parameters)
        probe.userdb_lookup = True
        probe.user = probe.original_user = request.user
        result, _ = await self.credentials(probe, "")
        if result in (Result.INTERNAL, Result.NO_SCHEME, Result.NEXT):
            raise DatabaseError("passdb doesn't support lookups, can't verify user's existence")
        return result is Result.OK

    def _take_fields(self, request: AuthRequest, passdb: Passdb, entry: Entry) -> None:
        for name, value in entry.fields:
            request.set_field(name, request.expand(value) if passdb.database.templates else value)

    async def _chain(self, request: AuthRequest, ask: Ask) -> Result:
        """Ask one passdb after the other; ``result_*``, ``skip``, ``deny`` and ``master`` decide how far."""
        chain = self._masterdbs if request.login_user is not None else self._passdbs
        if request.login_user is not None and not chain:
            log.info("%s: Attempted master login with no master passdbs", describe(request))
            return Result.UNKNOWN
        index = self._next(request, chain, 0)
        if index is None:
            log.error("%s: All password databases were skipped", describe(request))
            return Result.INTERNAL
        success = False
        internal = False
        while True:
            passdb = chain[index]
            result = await self._ask(request, passdb, ask)
            rule, result = self._judge(request, passdb, result)
            if rule is None:
                return self._finished(request, result)
            if rule in ("return-ok", "continue-ok"):
                success = True
            elif rule in ("return-fail", "continue-fail"):
                success = False
            goes_on = rule.startswith("continue")
            if goes_on and (rule == "continue-ok" or (rule == "continue" and result is Result.OK)):
                request.password_verified = True
            request.extra.remove("nopassword")
            request.extra.remove("noauthenticate")
            if request.login_user is not None and result is Result.OK:
                request.become_login_user()
                chain, index = self._passdbs, self._next(request, self._passdbs, 0)
            else:
                index = self._next(request, chain, index + 1)
            self._keep(request, kept=result in (Result.OK, Result.NEXT))
            if not goes_on or index is None:
                break
            internal = internal or result is Result.INTERNAL
        if result is Result.NEXT:
            log.error("%s: Last passdb had noauthenticate field, cannot authenticate user", describe(request))
            return Result.INTERNAL
        if success:
            return Result.OK
        if result is Result.OK:
            # The password was right, but no rule made that a success (result_success=continue on the last one).
            request.failed = True
            return Result.OK
        return Result.INTERNAL if internal else result

    async def _ask(self, request: AuthRequest, passdb: Passdb, ask: Ask) -> Result:
        try:
            for name, value in passdb.settings.default_fields:
                request.set_field(name, request.expand(value))
            result = await ask(passdb)
            if result in (Result.OK, Result.NEXT):
                for name, value in passdb.settings.override_fields:
                    request.set_field(name, request.expand(value))
        except (DatabaseError, UnknownVariable, Busy) as error:
            log.error("%s: %s", describe(request), error)
            return Result.INTERNAL
        return result

    def _judge(self, request: AuthRequest, passdb: Passdb, result: Result) -> tuple[str | None, Result]:
        """The rule that holds for a result (None: it is final), and the result it stands for."""
        settings = passdb.settings
        if settings.deny and result is not Result.UNKNOWN:
            if result is not Result.INTERNAL:
                log.info("%s: User found from deny passdb", describe(request))
                result = Result.DISABLED
            return None, result
        if request.failed:
            # Something in the entry refused (allow_nets): as if the user were not there; the next passdb may differ.
            result = Result.UNKNOWN if result is Result.OK else result
            request.failed = False
        if result in (Result.DISABLED, Result.EXPIRED):
            return None, result
        if result is Result.OK:
            return settings.result_success, result
        if result is Result.INTERNAL:
            return settings.result_internalfail, result
        return ("continue" if result is Result.NEXT else settings.result_failure), result

    def _finished(self, request: AuthRequest, result: Result) -> Result:
        self._keep(request, kept=False)
        return result

    @staticmethod
    def _keep(request: AuthRequest, *, kept: bool) -> None:
        for fields in (request.extra, request.userdb):
            if fields is not None:
                if kept:
                    fields.snapshot()
                else:
                    fields.rollback()

    def _next(self, request: AuthRequest, chain: list[Passdb], start: int) -> int | None:
        return next((n for n in range(start, len(chain)) if not self._skipped(request, chain[n])), None)

    @staticmethod
    def _skipped(request: AuthRequest, passdb: Passdb) -> bool:
        settings = passdb.settings
        if settings.mechanisms and request.mechanism not in settings.mechanisms:
            return True
        if settings.username_filter and not _filtered(request.user or "", settings.username_filter):
            return True
        return {"authenticated": request.password_verified, "unauthenticated": not request.password_verified}.get(
            settings.skip, False
        )

    # Userdbs

    async def user(self, request: AuthRequest) -> UserResult:
        """Fill ``request.userdb`` from the userdbs."""
        request.userdb_lookup = True
        success = internal = False
        index = 0
        while index < len(self._userdbs):
            userdb = self._userdbs[index]
            settings = userdb.settings
            result = await self._ask_user(request, userdb)
            rule = {
                UserResult.OK: settings.result_success,
                UserResult.INTERNAL: settings.result_internalfail,
                UserResult.UNKNOWN: settings.result_failure,
            }[result]
            if rule in ("return-ok", "continue-ok"):
                success = True
            elif rule in ("return-fail", "continue-fail"):
                success = False
            fields = request.userdb_fields()
            if result is UserResult.OK:
                fields.snapshot()
            else:
                fields.rollback()
            internal = internal or result is UserResult.INTERNAL
            index += 1
            while index < len(self._userdbs) and self._userdbs[index].settings.skip == (
                "found" if success else "notfound"
            ):
                index += 1
            if not rule.startswith("continue"):
                break
        if request.tempfailed:
            return UserResult.INTERNAL
        if success:
            return UserResult.OK
        return UserResult.INTERNAL if internal else UserResult.UNKNOWN

    async def _ask_user(self, request: AuthRequest, userdb: Userdb) -> UserResult:
        try:
            for name, value in userdb.settings.default_fields:
                request.set_userdb_field(name, request.expand(value))
            pairs = await userdb.database.lookup(request)
            if pairs is None:
                return UserResult.UNKNOWN
            for name, value in pairs:
                request.set_userdb_field(name, request.expand(value) if userdb.database.templates else value)
            for name, value in userdb.settings.override_fields:
                request.set_userdb_field(name, request.expand(value))
        except (DatabaseError, UnknownVariable) as error:
            log.error("%s: %s", describe(request), error)
            return UserResult.INTERNAL
        return UserResult.OK

    async def users(self) -> AsyncIterator[str]:
        """All users of the userdbs that can list them. Raises DatabaseError when none can."""
        listable = [userdb.database for userdb in self._userdbs if userdb.database.iterable]
        if not listable:
            raise DatabaseError("Trying to iterate users, but userdbs don't support it")
        for database in listable:
            async for user in database.users():
                yield user


def _filtered(user: str, patterns: tuple[str, ...]) -> bool:
    """``username_filter``: a pattern has to match, and none that begins with ``!`` may."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(fnmatchcase(user, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return not wanted or any(fnmatchcase(user, pattern) for pattern in wanted)


def describe(request: AuthRequest) -> str:
    """``mechanism(user,address)`` as Dovecot's log lines begin."""
    words = [request.user or "?"]
    if request.parameters.rip:
        words.append(request.parameters.rip)
    return f"{(request.mechanism or 'userdb').lower()}({','.join(words)})"


__all__ = ["Authenticator", "BadArguments", "BadUsername", "Result", "UserResult", "describe"]
