"""passwd-file: ``user:password:uid:gid:gecos:home:shell:extra fields`` (doc/wiki AuthDatabase/PasswdFile)."""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from auth import schemes, variables
from auth.identities import identities
from auth.request import AuthRequest

from .base import UNKNOWN, BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict

CHECK_INTERVAL = 1.0
"""Seconds between looks at the file's time stamp, as Dovecot does it."""

FILES_MAX = 256
"""Files kept in memory when the path has variables (one file per domain)."""

FILE_MAX = 256 << 20
"""Octets of one file; about two million users."""

_PAM_STYLE = re.compile(r"([^{$].*)\[(..)\]\Z", re.DOTALL)
_PAM_SCHEMES = {"34": "{PLAIN-MD5}", "56": "{DIGEST-MD5}"}


@dataclass(frozen=True, slots=True)
class User:
    """One line of the file."""

    name: str
    password: str | None = field(repr=False)
    uid: int | None = None
    gid: int | None = None
    home: str = ""
    extra: tuple[tuple[str, str], ...] = ()
    has_userdb: bool = False


def parse_line(line: str, *, userdb: bool = True) -> User | None:
    """A line's user, None for comments and lines without one. Ids that do not exist, and root's, make a line of a
    ``userdb`` none; for a passdb alone they mean nothing."""
    if not line or line[0] in ":#":
        return None
    name, *rest = line.split(":")
    password = rest[0] if rest else None
    if password is not None and (match := _PAM_STYLE.match(password)):
        # password[type], as libpam-pwdfile has it
        password = _PAM_SCHEMES.get(match[2], "{CRYPT}") + match[1]
    ids: list[int | None] = [None, None]
    for n, kind in enumerate(("uid", "gid")):
        word = rest[n + 1] if len(rest) > n + 1 else ""
        if word and userdb:
            ids[n] = identities.find(kind, word)
            if not ids[n]:
                return None
    if len(rest) < 3:
        return User(name, password)
    rest += [""] * (7 - len(rest))
    return User(name, password, ids[0], ids[1], rest[4], _extra(rest[6:]), has_userdb=True)


def _extra(parts: list[str]) -> tuple[tuple[str, str], ...]:
    if not parts[0] and len(parts) > 1 and parts[1]:
        # Dovecot 0.99: an empty field, then the mail location
        parts = ["userdb_mail=" + ":".join(parts[1:])]
    pairs = (word.partition("=") for word in ":".join(parts).split(" "))
    return tuple((name, value) for name, _, value in pairs if name)


@dataclass(slots=True)
class _Loaded:
    """What was read of a file. ``listed``: each line's user, and whether the line has more than a password."""

    users: dict[str, User]
    listed: list[tuple[str, bool]]
    stamp: tuple[int, int, int]
    checked: float
    sample: str | None


class PasswdFile:
    """One file, or one per value of the variables in its path; read again when it changes."""

    def __init__(self, args: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.scheme = "CRYPT"
        self.username_format = "%u"
        self.userdb = False
        """Whether some userdb reads it too."""
        self._clock = clock
        self._files: dict[str, _Loaded] = {}
        rest = args.strip()
        while match := re.match(r"(scheme|username_format)=(\S*)\s+", rest):
            if match[1] == "scheme":
                self.scheme = match[2].upper()
            else:
                self.username_format = match[2]
            rest = rest[match.end() :]
        if not rest:
            raise BadArguments("passwd-file: Missing args")
        self.path = rest

    @property
    def fixed(self) -> bool:
        """Whether the path has no variables."""
        return "%" not in self.path

    @property
    def directory(self) -> Path:
        """The directory that holds the file, or all files that the variables of the path can lead to."""
        return Path(self.path.partition("%")[0] + "x").parent

    def find(self, request: AuthRequest) -> User | None:
        """The user's line. Raises DatabaseError."""
        path = self.path if self.fixed else variables.expand(self.path, request.variable, _first_component)
        if not self.fixed and not Path(path).exists() and Path(path).parent.is_dir():
            return None  # a domain without a file has no users
        return self.load(path).users.get(request.expand(self.username_format))

    def load(self, path: str) -> _Loaded:
        """The file's users, read again when its time stamp has changed. Raises DatabaseError."""
        now = self._clock()
        loaded = self._files.get(path)
        if loaded is not None and now - loaded.checked < CHECK_INTERVAL:
            return loaded
        try:
            status = Path(path).stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if loaded is not None and loaded.stamp == stamp:
                loaded.checked = now
                return loaded
            if status.st_size > FILE_MAX:
                raise DatabaseError(f"passwd-file {path}: larger than {FILE_MAX} bytes")
            text = Path(path).read_bytes().decode("utf-8", "surrogateescape")
        except OSError as error:
            self._files.pop(path, None)
            raise DatabaseError(f"passwd-file {path}: open() failed: {os.strerror(error.errno or 0)}") from None
        if len(self._files) >= FILES_MAX:
            self._files.clear()
        users: dict[str, User] = {}
        listed: list[tuple[str, bool]] = []
        for line in text.split("\n"):
            line = line.rstrip("\r")
            if line and line[0] not in ":#":
                listed.append((line.partition(":")[0], line.count(":") > 1))
            user = parse_line(line, userdb=self.userdb)
            if user is not None:
                users.setdefault(user.name, user)
        self._files[path] = loaded = _Loaded(users, listed, stamp, now, _usual(users, self.scheme))
        return loaded


def _first_component(value: str) -> str:
    """A value in a path must not lead elsewhere."""
    return value.partition("/")[0]


def _usual(users: dict[str, User], default: str) -> str | None:
    """The stored password of a user with the most frequent scheme; what is cheap for one must be cheap for all."""
    names = Counter(schemes.split(user.password, default)[0] for user in users.values() if user.password)
    if not names:
        return None
    common = names.most_common(1)[0][0]
    return next(
        user.password for user in users.values() if user.password and schemes.split(user.password, default)[0] == common
    )


class PasswdFilePassdb(PassDatabase):
    """passwd-file as passdb."""

    driver = "passwd-file"
    immediate = True
    templates = True

    def __init__(self, file: PasswdFile) -> None:
        super().__init__(file.scheme)
        self._file = file

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        user = self._file.find(request)
        return UNKNOWN if user is None else Entry(user.password, user.extra)

    def stamp(self) -> object | None:
        return self._file.load(self._file.path).stamp if self._file.fixed else None

    def sample(self) -> str | None:
        if not self._file.fixed:
            return None
        try:
            return self._file.load(self._file.path).sample
        except DatabaseError:
            return None


class PasswdFileUserdb(UserDatabase):
    """passwd-file as userdb. Lines that have only a password are no users here; as the only userdb (``alone``) they are
    listed all the same, as Dovecot does, so that the administrator sees them."""

    driver = "passwd-file"
    immediate = True
    iterable = True
    templates = True

    def __init__(self, file: PasswdFile, *, alone: bool) -> None:
        self._file = file
        self._alone = alone

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        user = self._file.find(request)
        if user is None or not user.has_userdb:
            return None
        pairs = [(name, str(value)) for name, value in (("uid", user.uid), ("gid", user.gid)) if value is not None]
        if user.home:
            pairs.append(("home", user.home.replace("%", "%%")))  # variables are for the extra fields
        pairs += [(name.removeprefix("userdb_"), value) for name, value in user.extra if name.startswith("userdb_")]
        return pairs

    async def users(self, request: AuthRequest) -> AsyncIterator[str]:
        for name, has_userdb in self._file.load(self._file.path).listed:
            if has_userdb or self._alone:
                yield name
