"""Userdbs in order: what is known of a user, by Dovecot's rules (doc/wiki UserDatabase)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from .cache import EntryCache
from .databases import DatabaseError, Entry, Pairs, UserDatabase
from .databases.base import UNKNOWN
from .request import AuthRequest, UnknownVariable, describe
from .settings import DatabaseSettings

log = logging.getLogger("dovecot.auth")


class UserResult(Enum):
    """How a userdb lookup ended."""

    OK = "ok"
    UNKNOWN = "unknown user"
    INTERNAL = "internal failure"


@dataclass(frozen=True, slots=True)
class Userdb:
    """An opened userdb and its block's settings."""

    settings: DatabaseSettings
    database: UserDatabase


class Userdbs:
    """The userdbs of a configuration."""

    def __init__(self, userdbs: list[Userdb], cache: EntryCache) -> None:
        self._userdbs = userdbs
        self._cache = cache
        self.immediate = all(userdb.database.immediate for userdb in userdbs)

    async def ask(self, request: AuthRequest) -> UserResult:
        """Fill ``request.userdb`` from the userdbs."""
        request.userdb_lookup = True
        success = internal = False
        result = UserResult.UNKNOWN
        index: int | None = 0 if self._userdbs else None
        while index is not None:
            userdb = self._userdbs[index]
            settings = userdb.settings
            result = await self._ask_one(request, userdb)
            rule = {
                UserResult.OK: settings.result_success,
                UserResult.INTERNAL: settings.result_internalfail,
                UserResult.UNKNOWN: settings.result_failure,
            }[result]
            if rule in ("return-ok", "continue-ok"):
                success = True
            elif rule in ("return-fail", "continue-fail"):
                success = False
            index = self._next(index + 1, success=success) if rule.startswith("continue") else None
            if result is UserResult.OK or (index is None and success):
                result = self._override(request, userdb)
            if index is not None:
                internal = internal or result is UserResult.INTERNAL
                fields = request.userdb_fields()
                (fields.snapshot if result is UserResult.OK else fields.rollback)()
        if request.tempfailed or (success and result is UserResult.INTERNAL):
            return UserResult.INTERNAL
        if success:
            return UserResult.OK
        return UserResult.INTERNAL if internal or result is UserResult.INTERNAL else UserResult.UNKNOWN

    def _next(self, start: int, *, success: bool) -> int | None:
        """The next userdb that ``skip`` does not leave out."""
        left_out = "found" if success else "notfound"
        rest = range(start, len(self._userdbs))
        return next((n for n in rest if self._userdbs[n].settings.skip != left_out), None)

    @staticmethod
    def _override(request: AuthRequest, userdb: Userdb) -> UserResult:
        try:
            for name, value in userdb.settings.override_fields:
                request.set_userdb_field(name, request.expand(value))
        except UnknownVariable as error:
            log.error("%s: override_fields: %s", describe(request), error)
            return UserResult.INTERNAL
        return UserResult.OK

    async def _ask_one(self, request: AuthRequest, userdb: Userdb) -> UserResult:
        request.database, request.verbose = userdb.database.driver, userdb.settings.verbose
        try:
            for name, value in userdb.settings.default_fields:
                request.set_userdb_field(name, request.expand(value))
            pairs = await self._pairs(request, userdb)
            if pairs is None:
                log.info("%s: unknown user", describe(request))
                return UserResult.UNKNOWN
            for name, found in pairs:
                if found is not None:
                    request.set_userdb_field(name, request.expand(found) if userdb.database.templates else found)
        except (DatabaseError, UnknownVariable) as error:
            log.error("%s: %s", describe(request), error)
            return UserResult.INTERNAL
        finally:
            request.database, request.verbose = "", None
        return UserResult.OK

    async def _pairs(self, request: AuthRequest, userdb: Userdb) -> Pairs | None:
        """What a userdb says of a user, remembered or not. Raises DatabaseError, UnknownVariable."""
        key = userdb.database.cache_key(request) if self._cache.enabled else None
        if key is None:
            return await userdb.database.lookup(request)
        key = f"{self._userdbs.index(userdb)}U\0{key}"
        kept = self._cache.get(key)
        if kept is None or not self._cache.holds(kept):
            user = request.user or ""
            try:
                pairs = await userdb.database.lookup(request)
            except DatabaseError as error:
                if kept is None:
                    raise
                log.info("%s: %s: Falling back to expired data from cache", describe(request), error)
            else:
                self._cache.put(key, user, UNKNOWN if pairs is None else Entry(None, pairs))
                return pairs
        return kept.answer.fields if isinstance(kept.answer, Entry) else None

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        """All users of the userdbs that can list them. Raises DatabaseError when none can, or at the end one failed."""
        listable = [userdb.database for userdb in self._userdbs if userdb.database.iterable]
        if not listable:
            raise DatabaseError("Trying to iterate users, but userdbs don't support it")
        failure: DatabaseError | None = None
        for database in listable:
            try:
                async for user in database.users(request):
                    yield user
            except DatabaseError as error:
                failure = error
        if failure is not None:
            raise failure
