"""The one interface of password and user databases, whatever stands behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from auth.request import AuthRequest

Pairs = Sequence[tuple[str, str]]


class DatabaseError(Exception):
    """The database cannot be asked now; the text is for the log, the client hears of a temporary failure."""


class BadArguments(Exception):
    """``args`` of a passdb or userdb block that its driver does not understand; the service does not start."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a passdb holds of a user: the stored password (``{SCHEME}text``), None for none, and extra fields."""

    password: str | None = field(repr=False)
    fields: Pairs


class PassDatabase:
    """A passdb driver. One that can only be asked "is it this password?" overrides ``verify``, sets ``can_lookup``."""

    driver: ClassVar[str] = ""
    can_lookup: ClassVar[bool] = True
    templates: ClassVar[bool] = False
    """Whether fields may hold ``%`` variables: true where the administrator writes them."""

    def __init__(self, default_scheme: str) -> None:
        self.default_scheme = default_scheme

    async def lookup(self, request: AuthRequest) -> Entry | None:
        """The user's entry, None for an unknown user. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} passdb doesn't support credentials lookups")

    async def verify(self, request: AuthRequest, password: bytes) -> bool | None:
        """Whether the password is right, None for an unknown user; only asked where ``can_lookup`` is false."""
        raise DatabaseError(f"{self.driver} passdb cannot verify passwords itself")

    def sample(self) -> str | None:
        """A stored password of the usual kind: unknown users cost as much work as its check does."""
        return None


class UserDatabase:
    """A userdb driver."""

    driver: ClassVar[str] = ""
    iterable: ClassVar[bool] = False
    templates: ClassVar[bool] = False
    """As for passdbs."""

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        """The user's fields (uid, gid, home ...), None for an unknown user. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} userdb doesn't support lookups")

    def users(self) -> AsyncIterator[str]:
        """All users. Raises DatabaseError."""
        raise DatabaseError(f"{self.driver} userdb doesn't support iteration")
