"""Passdbs in order: which is asked next, and what a result means, by Dovecot's rules (doc/wiki PasswordDatabase)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from .databases import DatabaseError, PassDatabase
from .hashing import Busy
from .request import AuthRequest, UnknownVariable, describe
from .results import Result
from .settings import DatabaseSettings

log = logging.getLogger("dovecot.auth")


@dataclass(frozen=True, slots=True)
class Passdb:
    """An opened passdb and its block's settings."""

    settings: DatabaseSettings
    database: PassDatabase


Ask = Callable[[Passdb], Awaitable[Result]]


class Passdbs:
    """The passdbs of a configuration, master ones apart."""

    def __init__(self, passdbs: list[Passdb]) -> None:
        self.all = passdbs
        self.normal = [passdb for passdb in passdbs if not passdb.settings.master]
        self.master = [passdb for passdb in passdbs if passdb.settings.master]
        self.immediate = all(passdb.database.immediate for passdb in passdbs)

    def number(self, passdb: Passdb) -> int:
        """The place of a passdb in the configuration."""
        return self.all.index(passdb)

    def of(self, request: AuthRequest) -> list[Passdb]:
        """Those that are asked first: the master ones while a master user wants to be another."""
        return self.master if request.login_user is not None else self.normal

    async def ask(self, request: AuthRequest, ask: Ask) -> Result:
        """Ask one passdb after the other; ``result_*``, ``skip``, ``deny`` and ``master`` decide how far."""
        chain = self.of(request)
        if request.login_user is not None and not chain:
            log.info("%s: Attempted master login with no master passdbs", describe(request))
            return Result.UNKNOWN
        index = self._next(request, chain, 0)
        if index is None:
            log.error("%s: All password databases were skipped", describe(request))
            return Result.INTERNAL
        success = internal = unknown = False
        while True:
            passdb = chain[index]
            result = await self._ask_one(request, passdb, ask)
            rule, result = self._judge(request, passdb, result)
            if rule is None:
                return result
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
                chain, index = self.normal, self._next(request, self.normal, 0)
            else:
                index = self._next(request, chain, index + 1)
            request.keep_fields(kept=result in (Result.OK, Result.NEXT))
            if not goes_on or index is None:
                break
            internal = internal or result is Result.INTERNAL
            unknown = unknown or result is Result.UNKNOWN
        if result is Result.NEXT:
            log.error("%s: Last passdb had noauthenticate field, cannot authenticate user", describe(request))
            return Result.INTERNAL
        if success:
            return Result.OK
        if internal:
            return Result.INTERNAL
        if result is Result.NO_SCHEME and unknown:
            return Result.UNKNOWN  # one of the passdbs could have served the mechanism
        # The password may be right, and yet no rule made that a success (result_success=continue on the last one).
        request.failed = request.failed or result is Result.OK
        return result

    async def _ask_one(self, request: AuthRequest, passdb: Passdb, ask: Ask) -> Result:
        request.database, request.verbose = passdb.database.driver, passdb.settings.verbose
        try:
            for name, value in passdb.settings.default_fields:
                request.set_field(name, request.expand(value))
            result = await ask(passdb)
            if result is Result.UNKNOWN:
                log.info("%s: unknown user", describe(request))
            for name, value in passdb.settings.override_fields:
                request.set_field(name, request.expand(value))
        except (DatabaseError, UnknownVariable, Busy) as error:
            log.error("%s: %s", describe(request), error)
            return Result.INTERNAL
        finally:
            request.database, request.verbose = "", None
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
        if result is Result.EXPIRED:
            request.set_field("reason", "Password expired")
        if result in (Result.DISABLED, Result.EXPIRED):
            return None, result
        if result is Result.OK:
            return settings.result_success, result
        if result is Result.INTERNAL:
            return settings.result_internalfail, result
        return ("continue" if result is Result.NEXT else settings.result_failure), result

    def _next(self, request: AuthRequest, chain: list[Passdb], start: int) -> int | None:
        return next((n for n in range(start, len(chain)) if not self.skipped(request, chain[n])), None)

    @staticmethod
    def skipped(request: AuthRequest, passdb: Passdb) -> bool:
        """Whether the block's ``mechanisms``, ``username_filter`` or ``skip`` leave the passdb out."""
        settings = passdb.settings
        wanted = settings.mechanisms
        if wanted and (wanted == {"NONE"} or (request.mechanism or "NONE") not in wanted):
            return True
        if settings.username_filter and not _filtered(request.user or "", settings.username_filter):
            return True
        return {"authenticated": request.password_verified, "unauthenticated": not request.password_verified}.get(
            settings.skip, False
        )


def _filtered(user: str, patterns: tuple[str, ...]) -> bool:
    """``username_filter``: a pattern has to match, and none that begins with ``!`` may."""
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")]
    if any(_matches(user, pattern[1:]) for pattern in patterns if pattern.startswith("!")):
        return False
    return not wanted or any(_matches(user, pattern) for pattern in wanted)


def _matches(user: str, pattern: str) -> bool:
    """``*`` and ``?`` stand for characters; brackets for themselves."""
    return fnmatchcase(user, pattern.replace("[", "[[]"))
