"""hosts.allow and hosts.deny on the disk: read at the start, and again when they change."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from auth.tcpwrap.access import Decision, decide, expand
from auth.tcpwrap.patterns import Request, needs_name
from auth.tcpwrap.syntax import Problem, Table, parse

log = logging.getLogger("hardmail.tcpwrap")

FILE_LIMIT: Final = 1 << 20
"""Octets of a table, of a `/file` pattern's file and of a banner; a larger file is none of them."""
LOOK_AGAIN_SECONDS: Final = 1.0
"""A change is seen at most so much later; until then a connection costs no system call."""


class FileError(ValueError):
    """A table that is there but cannot be read."""


@dataclass(slots=True)
class _File:
    """One file and what it said when it could last be read."""

    path: Path
    stamp: tuple[int, int, int] | None = None
    text: str = ""
    looked: float = float("-inf")
    failed: bool = False

    def read(self) -> bool:
        """Read it if it has changed; whether it has. A file that is not there is empty. Raises OSError, FileError."""
        self.looked = time.monotonic()
        try:
            status = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            changed, self.stamp, self.text = self.stamp is not None, None, ""
            return changed
        stamp = (status.st_ino, status.st_mtime_ns, status.st_size)
        if stamp == self.stamp:
            return False
        if status.st_size > FILE_LIMIT:
            raise FileError(f"{self.path}: larger than {FILE_LIMIT} octets")
        self.text = self.path.read_bytes()[:FILE_LIMIT].decode("utf-8", "replace")
        self.stamp = stamp
        return True

    def refresh(self) -> bool:
        """The same while clients wait: what cannot be read keeps its last contents, so that no hole opens."""
        if time.monotonic() - self.looked < LOOK_AGAIN_SECONDS:
            return False
        try:
            changed = self.read()
        except (OSError, FileError) as error:
            if not self.failed:
                log.warning("cannot read %s again, its last contents stay in force: %s", self.path, _reason(error))
            self.failed = True
            return False
        self.failed = False
        return changed


@dataclass(slots=True)
class AccessFiles:
    """Both tables. `decide` may be called for each connection."""

    allow: _File | None
    deny: _File | None
    _tables: tuple[Table, Table] = (Table(), Table())
    _named: dict[str, _File] = field(default_factory=dict)

    @classmethod
    def open(cls, allow: Path | None, deny: Path | None) -> AccessFiles:
        """Read both; None is a table without rules. What is wrong with them is in `problems`. Raises FileError."""
        files = cls(_File(allow) if allow else None, _File(deny) if deny else None)
        for each in (files.allow, files.deny):
            if each is not None:
                _read_first(each)
        files._parse()
        for path in files.named():
            files._named[path] = named = _File(Path(path))
            _read_first(named)
        return files

    @classmethod
    def of(cls, allow: str, deny: str) -> AccessFiles | None:
        """The same from two parameters; None when both are empty: nobody is asked then. Raises FileError."""
        if not allow and not deny:
            return None
        return cls.open(Path(allow) if allow else None, Path(deny) if deny else None)

    @property
    def tables(self) -> tuple[Table, Table]:
        """The rules in force: what grants, what refuses."""
        return self._tables

    @property
    def problems(self) -> Sequence[Problem]:
        """What is wrong with the tables, or asked for in vain. Changes that `decide` sees go to the log as well."""
        return [problem for table in self._tables for problem in table.problems]

    def decide(self, request: Request) -> Decision:
        """The verdict by the files as they are now. Raises nothing."""
        changed = [each.refresh() for each in (self.allow, self.deny) if each is not None]
        if any(changed):
            self._parse()
            for problem in self.problems:
                log.warning("%s", problem)
        return decide(*self._tables, request, self._words)

    def banner(self, decision: Decision, request: Request) -> bytes:
        """What the client gets to read first, with CRLF line ends; nothing where there is no file for the daemon."""
        if not decision.banners or "/" in request.daemon:
            return b""
        file = self._file(str(Path(decision.banners, request.daemon)))
        text = expand(file.text, request)
        return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()

    @property
    def asks_for_names(self) -> bool:
        """Whether a rule may depend on the client's name: looking names up takes time."""
        rules = (rule for table in self._tables for rule in table.rules)
        return any(needs_name(word) for rule in rules for word in rule.clients)

    def named(self) -> Sequence[str]:
        """The files that the rules name: `/file` patterns."""
        words = (word for table in self._tables for rule in table.rules for word in (*rule.daemons, *rule.clients))
        hosts = (word[word.find("@", 1) + 1 :] for word in words)
        return [host for host in dict.fromkeys(hosts) if host.startswith("/")]

    def banner_directories(self) -> Sequence[str]:
        """The directories that the rules name."""
        rules = (rule for table in self._tables for rule in table.rules)
        return [option.value for rule in rules for option in rule.options if option.name == "banners"]

    def _parse(self) -> None:
        first, second = (parse(each.text, str(each.path)) if each else Table() for each in (self.allow, self.deny))
        self._tables = first, second

    def _words(self, path: str) -> Sequence[str]:
        return self._file(path).text.split()

    def _file(self, path: str) -> _File:
        file = self._named.setdefault(path, _File(Path(path)))
        file.refresh()
        return file


def _read_first(file: _File) -> None:
    try:
        file.read()
    except OSError as error:
        raise FileError(f"{file.path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)
