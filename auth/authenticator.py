"""Authenticates and looks users up: passwords and credentials against the passdbs, fields from the userdbs."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from . import schemes
from .cache import EntryCache, Kept
from .databases import DatabaseError, Databases, Entry, Pairs, Verdict
from .hashing import Busy, Hasher
from .passdbs import Passdb, Passdbs
from .request import FIELD_CHARS_REFUSED, AuthRequest, UnknownVariable, describe
from .results import Result
from .settings import AuthSettings
from .userdbs import Userdb, Userdbs

log = logging.getLogger("dovecot.auth")

CACHED_SCHEME = "SSHA512"
"""How a password is remembered that a passdb has verified without showing what it holds."""


class Authenticator:
    """The databases of one configuration. Raises BadArguments at creation when one of them cannot be."""

    def __init__(self, settings: AuthSettings, hasher: Hasher) -> None:
        self.settings = settings
        self.hasher = hasher
        self.cache = EntryCache(settings.cache_size, settings.cache_ttl, settings.cache_negative_ttl)
        databases = Databases(self.exists, settings)
        self.files = databases.files
        self.written = databases.written
        self.close = databases.close
        self._passdbs = Passdbs(
            [Passdb(block, databases.passdb(block.driver, block.args)) for block in settings.passdbs],
        )
        self.userdbs = Userdbs(
            [Userdb(block, databases.userdb(block.driver, block.args)) for block in settings.userdbs], self.cache
        )
        self.immediate = self._passdbs.immediate and self.userdbs.immediate
        """Whether no database ever waits: then a request that need not hash is answered at once."""

    def can(self, need: str) -> bool:
        """Whether some passdb can do what a mechanism needs ("verify", "lookup", "store", "")."""
        databases = [passdb.database for passdb in self._passdbs.normal]
        if need in ("lookup", "store"):
            return any(database.can_lookup and (database.can_store or need == "lookup") for database in databases)
        return not need or bool(self._passdbs.normal)

    async def verify(self, request: AuthRequest, password: bytes) -> Result:
        """Check a clear-text password. An unknown user takes as much work as a known one."""
        if FIELD_CHARS_REFUSED & set(password.decode("latin-1")):
            log.info("%s: Attempted login with password having illegal chars", describe(request))
            return Result.UNKNOWN
        hashed = False

        async def ask(passdb: Passdb) -> Result:
            nonlocal hashed
            hashed = hashed or passdb.database.verifies
            anybody = "nopassword" in request.extra  # by default_fields: whatever the entry says
            entry, kept = await self._entry(request, passdb, password)
            result = await check(passdb, entry, anybody)
            if kept is not None:
                kept.succeeded = result is Result.OK
            return result

        async def check(passdb: Passdb, entry: Entry | Verdict, anybody: bool) -> Result:
            nonlocal hashed
            if isinstance(entry, Verdict):
                return self._judged(request, passdb, entry)
            self._take_fields(request, passdb, entry.fields)
            if "noauthenticate" in request.extra:
                return Result.NEXT
            if anybody and not passdb.settings.deny:
                return Result.OK
            hashed = hashed or entry.password is not None
            return await self._check(request, passdb, entry, password)

        result = await self._passdbs.ask(request, ask)
        if result is Result.UNKNOWN and not hashed:
            await self._dummy(request, password)
        return result

    async def _entry(
        self, request: AuthRequest, passdb: Passdb, password: bytes | None = None
    ) -> tuple[Entry | Verdict, Kept | None]:
        """What a passdb says of a user, or of a log-in with this password, and how it is remembered."""
        database = passdb.database
        verifies = database.verifies and password is not None
        # A log-in that an earlier passdb has decided says nothing of the password.
        decided = verifies and request.password_verified
        key = database.cache_key(request) if self.cache.enabled and not decided else None
        if key is None:
            if verifies or database.stamp() is None:
                request.known_until = 0.0
            return await self._answer(request, passdb, password), None
        key = f"{self._passdbs.number(passdb)}{'V' if verifies else 'P'}\0{key}"
        user = request.user or ""
        kept = self.cache.get(key)
        if kept is None or not self.cache.holds(kept) or await self._doubts(request, passdb, kept, password):
            try:
                answer = await self._answer(request, passdb, password)
            except DatabaseError as error:
                if kept is None or await self._doubts(request, passdb, kept, password):
                    raise
                log.info("%s: %s: Falling back to expired data from cache", describe(request), error)
            else:
                kept = self.cache.put(key, user, answer if password is None else _remembered(answer, password))
                request.rests_on(kept)
                return answer, kept
        request.rests_on(kept)
        return kept.answer, kept

    async def _answer(self, request: AuthRequest, passdb: Passdb, password: bytes | None) -> Entry | Verdict:
        """Ask a passdb. Raises DatabaseError."""
        if password is not None and passdb.database.verifies:
            return await passdb.database.verify(request, password)
        return await passdb.database.lookup(request)

    async def _doubts(self, request: AuthRequest, passdb: Passdb, kept: Kept, password: bytes | None) -> bool:
        """Whether a password that is not the remembered one has to be asked about: it may have changed meanwhile."""
        entry = kept.answer
        if password is None or isinstance(entry, Verdict) or entry.password is None or self.cache.trusts(kept):
            return False
        fields = {name for name, _ in entry.fields} | set(request.extra)
        if request.password_verified or passdb.settings.deny or fields & {"nopassword", "noauthenticate"}:
            return False
        if await self._matches(request, passdb, entry.password, password):
            return False
        kept.succeeded = False
        return True

    def stamp(self) -> object:
        """A value that changes when a passdb's file does, or what is remembered of a passdb."""
        try:
            return [
                self.cache.changes,
                *(passdb.database.stamp() for passdb in self._passdbs.all),
            ]
        except DatabaseError:
            return object()

    def flush(self, users: Sequence[str]) -> int:
        """Forget what is remembered of users, or everything; returns how many entries that was. Which users the good
        checks are of is not known, so they all go."""
        return self.cache.flush(users) + self.hasher.remembered.flush()

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
        if await self._matches(request, passdb, entry.password, password):
            return Result.OK
        log.info("%s: Password mismatch", describe(request))
        return Result.MISMATCH

    async def _matches(self, request: AuthRequest, passdb: Passdb, stored: str, password: bytes) -> bool:
        """Whether the password is the stored one; none is if that is broken."""
        scheme, text = schemes.split(stored, passdb.database.default_scheme)
        user = request.original_user or request.user or ""
        try:
            return await self.hasher.verify(scheme, text, password, user, request.parameters.rip)
        except schemes.SchemeError as error:
            log.error("%s: Password data is not valid for scheme %s: %s", describe(request), scheme, error)
            return False

    async def _dummy(self, request: AuthRequest, password: bytes) -> None:
        """Hash against a stranger's password: the time of the answer must not tell whether a user exists."""
        for passdb in self._passdbs.of(request):
            sample = passdb.database.sample()
            if sample is None or self._passdbs.skipped(request, passdb):
                continue
            scheme, stored = schemes.split(sample, passdb.database.default_scheme)
            try:
                await self.hasher.verify(scheme, stored, password + b"x", "", request.parameters.rip)
            except schemes.SchemeError:
                continue
            return

    async def credentials(self, request: AuthRequest, wanted: str, suffix: str = "") -> tuple[Result, bytes | None]:
        """The stored credentials in the scheme a mechanism wants ("" for any: does the user exist?)."""
        scheme_wanted = wanted
        last: bytes | None = None
        delayed: bytes | None = None

        async def ask(passdb: Passdb) -> Result:
            nonlocal last, delayed, scheme_wanted
            if request.password_verified and delayed is None:
                delayed = last  # an earlier passdb has given them, and a rule went on
            last = None
            if not passdb.database.can_lookup:
                return Result.NO_SCHEME
            entry, _ = await self._entry(request, passdb)
            if isinstance(entry, Verdict):
                return self._judged(request, passdb, entry)
            self._take_fields(request, passdb, entry.fields)
            if "noauthenticate" in request.extra:
                return Result.NEXT
            if entry.password is None:
                if not scheme_wanted or delayed is not None:
                    return Result.OK
                log.info("%s: Requested %s scheme, but we have a NULL password", describe(request), scheme_wanted)
                return Result.NO_SCHEME
            scheme, stored = schemes.split(entry.password, passdb.database.default_scheme)
            user = (request.original_user or request.user or "") + suffix
            try:
                last = schemes.credentials(scheme, stored, scheme_wanted or scheme, user)
            except schemes.SchemeError as error:
                log.info("%s: %s", describe(request), error)
                return Result.NO_SCHEME
            scheme_wanted = scheme_wanted or scheme.partition(".")[0]  # another passdb has to have the same
            return Result.OK

        result = await self._passdbs.ask(request, ask)
        # A rule may make a success of a lookup without credentials: no mechanism takes b"" for any.
        return result, (last or delayed or b"") if result is Result.OK else None

    async def store(self, request: AuthRequest, scheme: str, text: str) -> Result:
        """Keep new credentials, in the first passdb that can."""
        for passdb in self._passdbs.normal:
            if passdb.database.can_store and not self._passdbs.skipped(request, passdb):
                self.cache.flush([request.user or ""])
                try:
                    await passdb.database.store(request, f"{{{scheme}}}{text}")
                except (DatabaseError, UnknownVariable, Busy) as error:
                    log.error("%s: %s", describe(request), error)
                    return Result.INTERNAL
                return Result.OK
        return Result.INTERNAL

    async def authorize(self, request: AuthRequest, principal: str, realm: str) -> Result:
        """Whether a Kerberos principal may be the user: by its name, or by the passdb's ``k5principals`` field."""
        result, _ = await self.credentials(request, "")
        if result is not Result.OK:
            return result
        listed = (request.extra.get("k5principals") or "").split(":")
        request.extra.remove("k5principals")
        if principal in listed or _is_own(principal, realm, request.user or ""):
            return Result.OK
        log.info("%s: authn_name not authorized: %s", describe(request), principal)
        return Result.MISMATCH

    async def exists(self, request: AuthRequest) -> bool:
        """Whether some passdb knows the user, whose name and fields it may change; raises DatabaseError when that
        cannot be told."""
        asking = request.database, request.verbose
        result, _ = await self.credentials(request, "")
        request.database, request.verbose = asking
        if result in (Result.INTERNAL, Result.NO_SCHEME, Result.NEXT):
            raise DatabaseError("passdb doesn't support lookups, can't verify user's existence")
        return result is Result.OK

    def _judged(self, request: AuthRequest, passdb: Passdb, verdict: Verdict) -> Result:
        """What a passdb says that has no entry to show."""
        self._take_fields(request, passdb, verdict.fields)
        if verdict.result is Result.OK and passdb.settings.deny:
            return Result.MISMATCH  # found is enough
        if verdict.result is Result.OK and "noauthenticate" in request.extra:
            return Result.NEXT
        return verdict.result

    def _take_fields(self, request: AuthRequest, passdb: Passdb, fields: Pairs) -> None:
        for name, value in fields:
            if value is None:
                request.set_null_field(name)
            else:
                request.set_field(name, request.expand(value) if passdb.database.templates else value)


def _remembered(answer: Entry | Verdict, password: bytes) -> Entry | Verdict:
    """What serves for a log-in the next time: of a password that the passdb itself has found right, a salted hash."""
    if isinstance(answer, Entry) or answer.result is not Result.OK:
        return answer
    return Entry(f"{{{CACHED_SCHEME}}}{schemes.generate(CACHED_SCHEME, password)}", answer.fields)


def _is_own(principal: str, realm: str, user: str) -> bool:
    """Whether the principal is the user's own: the same name in our realm, which is the user's domain if it has one.

    Another realm's alice is not ours, however much that realm is trusted.
    """
    local, at, domain = user.partition("@")
    return principal.lower() == f"{local}@{realm}".lower() and (not at or domain.lower() == realm.lower())
