"""Fields of a request: what passdb and userdb say of a user, with the marks to return to when a database fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Field:
    """One field; ``hidden`` ones are kept but not told to the client."""

    value: str | None
    hidden: bool = False


class Fields:
    """Ordered fields with unique names."""

    def __init__(self) -> None:
        self._fields: dict[str, Field] = {}
        self._kept: dict[str, Field] | None = None
        self._count = 0
        self._snapshotted = False

    def add(self, name: str, value: str | None, *, hidden: bool = False) -> None:
        """Set a field; ``value`` None is a bare word."""
        if name in self._fields:
            self._preserve()
        self._fields[name] = Field(value, hidden)

    def remove(self, name: str) -> None:
        """Drop a field if it is there."""
        if name in self._fields:
            self._preserve()
            del self._fields[name]

    def get(self, name: str) -> str | None:
        """The value, "" for a bare word, None when the field is not there."""
        found = self._fields.get(name)
        return None if found is None else found.value or ""

    def __contains__(self, name: str) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def snapshot(self) -> None:
        """Keep the present fields: a later ``rollback`` returns to them."""
        self._snapshotted = True
        if self._kept is None:
            self._count = len(self._fields)
        else:
            self._kept = dict(self._fields)

    def rollback(self) -> None:
        """Return to the last ``snapshot``, as Dovecot does: it copies the fields only before the first of them changes,
        so that what was added up to then stays."""
        if self._kept is not None:
            self._fields = dict(self._kept)
        else:
            self._fields = dict(list(self._fields.items())[: self._count])

    def _preserve(self) -> None:
        if self._snapshotted and self._kept is None:
            self._kept = dict(self._fields)

    def words(self) -> list[str]:
        """The visible fields as words of a reply."""
        return [
            name if field.value is None else f"{name}={field.value}"
            for name, field in self._fields.items()
            if not field.hidden
        ]

    def __repr__(self) -> str:
        return f"Fields({list(self._fields)})"
