"""Userdbs in order: what is known of a user, by Dovecot's rules (doc/wiki UserDatabase)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum

from .databases import DatabaseError, UserDatabase
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

    def __init__(self, userdbs: list[Userdb]) -> None:
        self._userdbs = userdbs
        self.immediate = all(userdb.database.immediate for userdb in userdbs)

    async def ask(self, request: AuthRequest) -> UserResult:
        """Fill ``request.userdb`` from the userdbs."""
        request.userdb_lookup = True
        success = internal = False
        index = 0
        while index < len(self._userdbs):
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

    async def _ask_one(self, request: AuthRequest, userdb: Userdb) -> UserResult:
        request.database = userdb.database.driver
        try:
            for name, value in userdb.settings.default_fields:
                request.set_userdb_field(name, request.expand(value))
            pairs = await userdb.database.lookup(request)
            if pairs is None:
                log.info("%s: unknown user", describe(request))
                return UserResult.UNKNOWN
            for name, found in pairs:
                if found is not None:
                    request.set_userdb_field(name, request.expand(found) if userdb.database.templates else found)
            for name, value in userdb.settings.override_fields:
                request.set_userdb_field(name, request.expand(value))
        except (DatabaseError, UnknownVariable) as error:
            log.error("%s: %s", describe(request), error)
            return UserResult.INTERNAL
        finally:
            request.database = ""
        return UserResult.OK

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        """All users of the userdbs that can list them. Raises DatabaseError when none can."""
        listable = [userdb.database for userdb in self._userdbs if userdb.database.iterable]
        if not listable:
            raise DatabaseError("Trying to iterate users, but userdbs don't support it")
        for database in listable:
            async for user in database.users(request):
                yield user
