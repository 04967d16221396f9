"""passwd, shadow and pam: the machine's own accounts, asked through the auth worker (wiki PasswordDatabase)."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, ClassVar

from auth.request import AuthRequest, describe
from auth.results import Result
from auth.settings import ValidIds, template

from .base import UNKNOWN, BadArguments, Entry, Pairs, PassDatabase, UserDatabase, Verdict

log = logging.getLogger("dovecot.auth")

Ask = Callable[[AuthRequest, Mapping[str, object]], Awaitable[dict[str, Any]]]
"""Asks the auth worker. Raises DatabaseError."""

RESULTS = {
    "ok": Result.OK,
    "unknown": Result.UNKNOWN,
    "mismatch": Result.MISMATCH,
    "expired": Result.EXPIRED,
}


class AccountPassdb(PassDatabase):
    """passwd and shadow: the crypt(3) hash of an account."""

    def __init__(self, driver: str, args: str, ask: Ask) -> None:
        super().__init__("CRYPT")
        if args not in ("", "blocking=no"):
            raise BadArguments(f"passdb {driver}: Unknown setting: {args}")
        self.name = driver
        self._ask = ask

    def cache_key(self, request: AuthRequest) -> str | None:
        return request.user

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        answer = await self._ask(request, {"ask": self.name, "user": request.user})
        if answer["result"] != "ok":
            return UNKNOWN
        password = str(answer["password"])
        if password[:1] in ("", "*", "!"):
            return Verdict(Result.DISABLED)
        # The name exactly as the machine has it.
        return Entry(password, [("user", str(answer["user"]))])


class PasswdPassdb(AccountPassdb):
    """passwd(5): of use only where it still holds the hashes."""

    driver = "passwd"


class ShadowPassdb(AccountPassdb):
    """shadow(5)."""

    driver = "shadow"


class PamPassdb(PassDatabase):
    """PAM: it checks the password and the account; nothing can be looked up."""

    driver = "pam"
    can_lookup = False
    verifies = True
    _words: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "-session": ("session", True),
        "session=yes": ("session", True),
        "setcred=yes": ("setcred", True),
    }

    def __init__(self, args: str, ask: Ask) -> None:
        super().__init__("PLAIN")
        self._ask = ask
        self._service = "dovecot"
        self._cache_key: str | None = None
        self._flags: dict[str, bool] = {}
        words = args.split()
        for n, word in enumerate(words):
            if word in self._words:
                name, value = self._words[word]
                self._flags[name] = value
            elif word == "*":
                self._service = "%Ls"
            elif word.startswith("cache_key="):
                self._cache_key = word.partition("=")[2]
            elif word.startswith(("blocking=", "failure_show_msg=", "max_requests=")):
                continue  # each question has a process of its own
            elif n == len(words) - 1:
                self._service = word
            else:
                raise BadArguments(f"pam: Unknown setting: {word}")

    def cache_key(self, request: AuthRequest) -> str | None:
        return None if self._cache_key is None else request.expand(self._cache_key)

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        question = {
            "ask": "pam",
            "service": request.expand(self._service),
            "user": request.user,
            "password": password.decode("utf-8", "surrogateescape"),
            "rhost": request.parameters.rip,
            **self._flags,
        }
        answer = await self._ask(request, question)
        result = RESULTS.get(str(answer.get("result")), Result.INTERNAL)
        if answer.get("said"):
            log.info("%s: %s", describe(request), answer["said"])
        return Verdict(result, [("user", str(answer["user"]))] if result is Result.OK else [])


class PasswdUserdb(UserDatabase):
    """passwd(5) as userdb; args are a template, for configurations of old."""

    driver = "passwd"
    iterable = True
    templates = True

    def __init__(self, args: str, ask: Ask, valid: ValidIds) -> None:
        self._ask = ask
        self._valid = valid
        self._fields = [(name, value) for name, value in template(args) if name != "blocking"]

    def cache_key(self, request: AuthRequest) -> str | None:
        return request.user

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        answer = await self._ask(request, {"ask": "passwd", "user": request.user})
        if answer["result"] != "ok":
            return None
        name, home = (str(answer[key]).replace("%", "%%") for key in ("user", "home"))
        return [
            ("user", name),
            ("system_groups_user", name),
            ("uid", str(answer["uid"])),
            ("gid", str(answer["gid"])),
            ("home", home),
            *self._fields,
        ]

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        answer = await self._ask(request, {"ask": "passwd-list"})
        for name, uid, gid in answer["users"]:
            if self._valid.user(uid, gid):
                yield str(name)
