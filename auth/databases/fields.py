"""What drivers with fields of their own (SQL, LDAP, dict) make of an answer's ``password`` and other fields."""

from __future__ import annotations

from collections.abc import Iterable

from auth.request import AuthRequest
from auth.results import Result

from .base import Entry, Verdict


def entry_of(
    pairs: Iterable[tuple[str, str | None]], scheme: str, request: AuthRequest, *, required: bool = True
) -> Entry | Verdict:
    """The entry of an answer. A user without a password, or ``nopassword``, cannot log in where it is ``required``."""
    password: str | None = None
    fields = list[tuple[str, str | None]]()
    for name, value in pairs:
        if name == "password" and value is not None:
            password = value
        elif name == "password_noscheme" and value is not None:
            password = f"{{{scheme}}}{value}"
        elif name not in ("", "password", "password_noscheme"):
            fields.append((name, value))
    open_to_all = any(name in ("nopassword", "noauthenticate") and value is not None for name, value in fields)
    if password is None and required and not open_to_all and not request.password_verified:
        return Verdict(Result.MISMATCH, fields)
    return Entry(password, fields)
