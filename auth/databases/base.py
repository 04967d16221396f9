"""The one interface of password and user databases, whatever stands behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from auth.request import AuthRequest
from auth.results import Result

Pairs = Sequence[tuple[str, str | None]]
"""Fields in order. None is SQL's NULL: the field is there and has no value."""


class DatabaseError(Exception):
    """The database cannot be asked now; the text is for the log, the client hears of a temporary failure."""


class BadArguments(Exception):
    """``args`` of a passdb or userdb block that its driver does not understand; the service does not start."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a passdb holds of a user: the stored password (``{SCHEME}text``), None for none, and extra fields."""

    password: str | None = field(repr=False)
    fields: Pairs


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a passdb says that checks passwords itself, or that has no entry to give: the result and extra fields."""

    result: Result
    fields: Pairs = ()


class PassDatabase:
    """A passdb driver. One that checks passwords itself sets ``verifies`` and overrides ``verify``; one that has no
    entries to show unsets ``can_lookup``."""

    driver: ClassVar[str] = ""
    immediate: ClassVar[bool] = False
    """Whether lookups never wait: for the network, a thread or another process."""
    can_lookup: bool = True
    can_store: bool = False
    """Whether it keeps new credentials: what one-time passwords need."""
    verifies: bool = False
    templates: ClassVar[bool] = False
    """Whether fields may hold ``%`` variables: true where the administrator writes them."""

    def __init__(self, default_scheme: str) -> None:
        self.default_scheme = default_scheme

    def cache_key(self, request: AuthRequest) -> str | None:
        """What an answer depends on, as text, for auth_cache_size; None where asking is cheap. Raises
        UnknownVariable."""
        return None

    def stamp(self) -> object | None:
        """What stays the same for as long as the answers do; None where only asking again tells. Raises
        DatabaseError."""
        return None

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        """The user's entry, or why there is none. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} passdb doesn't support credentials lookups")

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        """Whether the password is right; only asked where ``verifies`` is true. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} passdb cannot verify passwords itself")

    async def store(self, request: AuthRequest, stored: str) -> None:
        """Keep ``{SCHEME}text`` as the user's password; only asked if ``can_store``. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} passdb doesn't support credential updates")

    def sample(self) -> str | None:
        """A stored password of the usual kind: unknown users cost as much work as its check does."""
        return None


UNKNOWN = Verdict(Result.UNKNOWN)
"""The user is not in the database."""


class UserDatabase:
    """A userdb driver."""

    driver: ClassVar[str] = ""
    immediate: ClassVar[bool] = False
    """As for passdbs."""
    iterable: bool = False
    templates: ClassVar[bool] = False
    """As for passdbs."""

    def cache_key(self, request: AuthRequest) -> str | None:
        """As for passdbs."""
        return None

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        """The user's fields (uid, gid, home ...), None for an unknown user. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} userdb doesn't support lookups")

    def users(self, request: AuthRequest) -> AsyncIterator[str]:
        """All users; ``request`` gives the variables of what is asked. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} userdb doesn't support iteration")
