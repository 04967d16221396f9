"""What can be wrong with a stored password; the texts never hold the password."""

from __future__ import annotations


class SchemeError(Exception):
    """The stored password cannot be used."""


class UnknownScheme(SchemeError):
    """No such scheme."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Unknown scheme {name}")


class InvalidHash(SchemeError):
    """The stored text is not what its scheme writes."""
