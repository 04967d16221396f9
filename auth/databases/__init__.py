"""Password and user databases by driver name. A driver is one class behind the interface of ``base``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from .base import BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase
from .passwd_file import PasswdFile, PasswdFilePassdb, PasswdFileUserdb
from .static import Exists, PrefetchUserdb, StaticPassdb, StaticUserdb

__all__ = [
    "BadArguments",
    "DatabaseError",
    "Databases",
    "Entry",
    "Pairs",
    "PassDatabase",
    "UserDatabase",
]


class Databases:
    """Opens databases; passdb and userdb blocks with the same passwd-file share what was read of it."""

    def __init__(self, exists: Exists, *, userdbs: int) -> None:
        self._exists = exists
        self._files: dict[str, PasswdFile] = {}
        self._passdbs: Mapping[str, Callable[[str], PassDatabase]] = {
            "passwd-file": lambda args: PasswdFilePassdb(self._file(args)),
            "static": StaticPassdb,
        }
        self._userdbs: Mapping[str, Callable[[str], UserDatabase]] = {
            "passwd-file": lambda args: PasswdFileUserdb(self._file(args), alone=userdbs == 1),
            "static": lambda args: StaticUserdb(args, self._exists),
            "prefetch": lambda args: PrefetchUserdb(),
        }

    def passdb(self, driver: str, args: str) -> PassDatabase:
        """Raises BadArguments for an unknown driver or arguments it does not take."""
        if driver not in self._passdbs:
            raise BadArguments(f"Unknown passdb driver '{driver}' (known: {', '.join(sorted(self._passdbs))})")
        return self._passdbs[driver](args)

    def userdb(self, driver: str, args: str) -> UserDatabase:
        """Raises BadArguments for an unknown driver or arguments it does not take."""
        if driver not in self._userdbs:
            raise BadArguments(f"Unknown userdb driver '{driver}' (known: {', '.join(sorted(self._userdbs))})")
        return self._userdbs[driver](args)

    def directories(self) -> list[Path]:
        """The directories the opened databases read files of (a file may be put in place anew)."""
        return sorted({file.directory for file in self._files.values()})

    def _file(self, args: str) -> PasswdFile:
        if args not in self._files:
            self._files[args] = PasswdFile(args)
        return self._files[args]
