"""static and prefetch: databases that need no file (doc/wiki PasswordDatabase/Static, UserDatabase/Prefetch)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from auth.request import AuthRequest
from auth.results import Result
from auth.settings import template

from .base import DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict


class StaticPassdb(PassDatabase):
    """Every user exists, with the same password (``password=``), with none (``nopassword=y``), or for lookups only."""

    driver = "static"
    immediate = True
    templates = True

    def __init__(self, args: str) -> None:
        super().__init__("PLAIN")
        self._fields = template(args)

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        password = next((value for name, value in self._fields if name == "password"), None)
        fields = [(name, value) for name, value in self._fields if name != "password"]
        if password is None and any(name == "nopassword" for name, _ in fields):
            return Entry(f"{{{self.default_scheme}}}", fields)
        if password is None and not request.password_verified:
            return Verdict(Result.MISMATCH, fields)
        return Entry(None if password is None else request.expand(password), fields)

    def stamp(self) -> object | None:
        return self._fields

    def sample(self) -> str | None:
        return next((value for name, value in self._fields if name == "password"), None)


Exists = Callable[[AuthRequest], Awaitable[bool]]


class StaticUserdb(UserDatabase):
    """The same template for every user; unless ``allow_all_users=yes`` the passdbs must know the user."""

    driver = "static"
    immediate = True
    templates = True

    def __init__(self, args: str, exists: Exists) -> None:
        pairs = template(args)
        self._allow_all = any(name == "allow_all_users" and value == "yes" for name, value in pairs)
        self._fields = tuple((name, value) for name, value in pairs if name != "allow_all_users")
        self._exists = exists

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        # Who has logged in is known; an anonymous user is so to no passdb.
        if not self._allow_all and not request.mechanism and not await self._exists(request):
            return None
        return self._fields


class PrefetchUserdb(UserDatabase):
    """The ``userdb_`` fields that the passdb lookup of this very log-in has brought; nothing for others."""

    driver = "prefetch"
    immediate = True

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        if request.prefetched:
            return []
        if not request.mechanism:
            return None
        raise DatabaseError("userdb prefetch used, but passdb didn't return userdb fields")
