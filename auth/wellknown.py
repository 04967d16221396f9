"""Passwords that everybody knows: empty ones, those that systems are shipped with, the user's own name.

A guesser tries these first, so a service that strangers can reach must not start with one of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from . import schemes
from .databases.base import DatabaseError
from .databases.passwd_file import PasswdFile
from .settings import AuthSettings, DatabaseSettings, template

WORDS = (
    "password", "passwort", "123456", "secret", "admin", "test", "12345678", "123456789", "1234", "12345", "qwerty",
    "changeme", "passw0rd", "letmein", "guest", "geheim", "root", "toor", "default", "welcome", "abc123", "111111",
    "test123", "testpass", "testpassword", "password1", "password123", "admin123", "iloveyou", "monkey", "dragon",
    "sunshine", "football", "master", "hallo", "hello", "mail", "postmaster", "postfix", "dovecot", "user", "pass",
    "change_me", "temp", "000000", "1234567", "1234567890", "qwertz", "qwerty123", "p@ssw0rd", "p@ssword",
)  # fmt: skip
"""The commonest first: with a slow hash there may be time for the first of them only."""

START_SECONDS = 1.0
"""What a start may spend on slow hashes."""

CHECK_SECONDS = 20.0
"""What ``hardmail check`` may spend on them."""

REPORTED_MAX = 20


@dataclass(frozen=True, slots=True)
class Weakness:
    """A user (or a whole passdb) with such a password. Says who and where, never which."""

    where: str
    user: str
    kind: str

    def __str__(self) -> str:
        return f"{self.where}: {self.user} has {self.kind}"


def weaknesses(settings: AuthSettings, seconds: float) -> Iterator[Weakness]:
    """The weak passwords of the configured passdbs, up to REPORTED_MAX; slow hashes get ``seconds`` in all."""
    budget = _Budget(seconds)
    count = 0
    for passdb in settings.passdbs:
        if passdb.deny or _only_certificates(passdb):
            continue
        for weakness in _static(passdb) if passdb.driver == "static" else _file(passdb, budget):
            yield weakness
            count += 1
            if count >= REPORTED_MAX:
                return


def _only_certificates(passdb: DatabaseSettings) -> bool:
    """Whether no password is ever asked for: EXTERNAL proves itself by a certificate."""
    return bool(passdb.mechanisms) and passdb.mechanisms <= {"EXTERNAL", "NONE"}


def _static(passdb: DatabaseSettings) -> Iterator[Weakness]:
    fields = dict(template(passdb.args))
    if fields.keys() & {"allow_nets", "proxy", "proxy_maybe"}:
        return
    stored = fields.get("password", "{PLAIN}" if "nopassword" in fields else None)
    if stored is not None and "%" not in stored:
        kind = _kind(stored, "PLAIN", "", _Budget(START_SECONDS))
        if kind:
            yield Weakness("passdb static", "every user", kind)


def _file(passdb: DatabaseSettings, budget: _Budget) -> Iterator[Weakness]:
    if passdb.driver != "passwd-file":
        return
    file = PasswdFile(passdb.args)
    if not file.fixed:
        return
    try:
        users = file.load(file.path).users.values()
    except DatabaseError:
        return  # the service will tell
    for user in users:
        names = {name for name, _ in user.extra}
        if names & {"allow_nets", "proxy", "proxy_maybe"}:
            continue
        kind = "no password" if "nopassword" in names else _kind(user.password or "", file.scheme, user.name, budget)
        if kind:
            yield Weakness(file.path, f"user {user.name}", kind)


def _kind(stored: str, default: str, name: str, budget: _Budget) -> str:
    """What is wrong with a stored password; "" for nothing that could be found."""
    scheme, text = schemes.split(stored, default)
    local = name.partition("@")[0]
    words = [("", "an empty password")]
    words += [(word, "its own name for a password") for word in {local, name, local[::-1], f"{local}123"} if word]
    words += [(word, "a well-known password") for word in WORDS]
    try:
        slow = schemes.find(scheme)[0].slow
        for word, kind in words:
            if slow and not budget.left():
                return ""
            for form in {word, word.capitalize()}:
                if schemes.verify(scheme, text, form.encode(), name):
                    return kind
    except schemes.SchemeError:
        pass  # such a password lets nobody in
    return ""


def stale(settings: AuthSettings, seconds: float, now: float) -> Iterator[str]:
    """Passwords that have not changed for ``seconds``, a line each: by the field ``userdb_password_changed=YYYY-MM-DD``
    of a passwd-file's user; where no user has one, by the time stamp of the file."""
    for passdb in settings.passdbs:
        if passdb.deny or passdb.driver != "passwd-file":
            continue
        file = PasswdFile(passdb.args)
        if not file.fixed:
            continue
        try:
            users, changed = file.load(file.path).users.values(), Path(file.path).stat().st_mtime
        except (DatabaseError, OSError):
            continue
        dates = {user.name: dict(user.extra).get("userdb_password_changed") for user in users}
        if users and not any(dates.values()) and now - changed > seconds:
            yield f"{file.path}: no password has changed for {_days(now - changed)}"
        for name, date in dates.items():
            age = None if date is None else _age(date, now)
            if date is not None and age is None:
                yield f"{file.path}: user {name}: userdb_password_changed={date} is no date"
            elif age is not None and age > seconds:
                yield f"{file.path}: user {name}: the password has not changed for {_days(age)}"


def _age(date: str, now: float) -> float | None:
    try:
        return now - datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _days(seconds: float) -> str:
    return f"{int(seconds // 86400)} days"


class _Budget:
    """Seconds that may be spent; they run from the first question."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: float | None = None

    def left(self) -> bool:
        """Whether some are left."""
        now = time.monotonic()
        if self._until is None:
            self._until = now + self._seconds
        return now < self._until
