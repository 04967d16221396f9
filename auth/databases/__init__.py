"""Password and user databases by driver name. A driver is one class behind the interface of ``base``."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from auth import worker
from auth.hashing import FairPool
from auth.request import AuthRequest
from auth.settings import AuthSettings
from auth.worker.client import WorkerError, ask

from .base import BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict
from .checkpassword import CheckpasswordPassdb, CheckpasswordUserdb
from .dictionary import DictPassdb, DictSource, DictUserdb
from .passwd_file import PasswdFile, PasswdFilePassdb, PasswdFileUserdb
from .saslauthd import SaslauthdPassdb
from .sql import SqlPassdb, SqlSource, SqlUserdb
from .static import Exists, PrefetchUserdb, StaticPassdb, StaticUserdb
from .system import PamPassdb, PasswdPassdb, PasswdUserdb, ShadowPassdb

if TYPE_CHECKING:
    from .ldap import LdapSource
    from .oauth2 import OAuth2Passdb

__all__ = [
    "BadArguments",
    "DatabaseError",
    "Databases",
    "Entry",
    "Pairs",
    "PassDatabase",
    "UserDatabase",
    "Verdict",
]


def _ldap() -> ModuleType:
    """The LDAP driver, whose library is an extra."""
    try:
        return importlib.import_module("auth.databases.ldap")
    except ModuleNotFoundError as error:
        raise BadArguments(f"ldap: the driver needs the Python module {error.name}, see the README") from None


class Databases:
    """Opens databases; passdb and userdb blocks with the same arguments share what stands behind them."""

    def __init__(self, exists: Exists, settings: AuthSettings) -> None:
        self._settings = settings
        self._threads = FairPool(max(1, settings.worker_max_count), "database")
        self._files: dict[str, PasswdFile] = {}
        self._tokens: list[OAuth2Passdb] = []
        self._sources: dict[str, SqlSource] = {}
        self._directories: dict[str, LdapSource] = {}
        self._dictionaries: dict[str, DictSource] = {}
        self._passdbs: Mapping[str, Callable[[str], PassDatabase]] = {
            "checkpassword": lambda args: CheckpasswordPassdb(args, self._ask),
            "dict": lambda args: DictPassdb(self._dictionary(args)),
            "ldap": lambda args: _ldap().LdapPassdb(self._directory(args)),
            "oauth2": self._oauth2,
            "pam": lambda args: PamPassdb(args, self._ask),
            "passwd": lambda args: PasswdPassdb("passwd", args, self._ask),
            "passwd-file": lambda args: PasswdFilePassdb(self._file(args)),
            "saslauthd": lambda args: SaslauthdPassdb(args, self._threads.run),
            "shadow": lambda args: ShadowPassdb("shadow", args, self._ask),
            "sql": lambda args: SqlPassdb(self._source(args)),
            "static": StaticPassdb,
        }
        alone = len(settings.userdbs) == 1
        self._userdbs: Mapping[str, Callable[[str], UserDatabase]] = {
            "checkpassword": lambda args: CheckpasswordUserdb(args, self._ask),
            "dict": lambda args: DictUserdb(self._dictionary(args)),
            "ldap": lambda args: _ldap().LdapUserdb(self._directory(args)),
            "passwd": lambda args: PasswdUserdb(args, self._ask, settings.valid_ids),
            "passwd-file": lambda args: PasswdFileUserdb(self._file(args, userdb=True), alone=alone),
            "prefetch": lambda args: PrefetchUserdb(),
            "sql": lambda args: SqlUserdb(self._source(args)),
            "static": lambda args: StaticUserdb(args, exists),
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

    def _oauth2(self, args: str) -> PassDatabase:
        from .oauth2 import OAuth2Passdb  # PyJWT is loaded only where it is needed

        self._tokens.append(OAuth2Passdb(args))
        return self._tokens[-1]

    def files(self) -> list[Path]:
        """The files the opened databases read at any time; of a path with variables, the directory before them."""
        passwd = (Path(file.path) if file.fixed else file.directory for file in self._files.values())
        keys = (passdb.keys for passdb in self._tokens if passdb.keys is not None)
        tables = [source.file for source in self._sources.values() if source.file]
        return sorted({*passwd, *keys, *tables, *(source.file for source in self._dictionaries.values())})

    def written(self) -> list[Path]:
        """The files that credentials are stored in."""
        return sorted({source.file for source in self._sources.values() if source.file})

    def close(self) -> None:
        """Give up the threads."""
        self._threads.close()
        for passdb in self._tokens:
            passdb.close()
        for source in self._sources.values():
            source.close()
        for directory in self._directories.values():
            directory.close()

    def _file(self, args: str, *, userdb: bool = False) -> PasswdFile:
        if args not in self._files:
            self._files[args] = PasswdFile(args)
        found = self._files[args]
        same = [file for file in self._files.values() if file.path == found.path]
        userdb = userdb or any(file.userdb for file in same)
        for file in same:
            file.userdb = userdb
        return found

    def _source(self, args: str) -> SqlSource:
        if args not in self._sources:
            self._sources[args] = SqlSource(args)
        return self._sources[args]

    def _directory(self, args: str) -> LdapSource:
        if args not in self._directories:
            self._directories[args] = _ldap().LdapSource(args)
        return self._directories[args]

    def _dictionary(self, args: str) -> DictSource:
        if args not in self._dictionaries:
            self._dictionaries[args] = DictSource(args)
        return self._dictionaries[args]

    async def _ask(self, request: AuthRequest, question: Mapping[str, object]) -> dict[str, Any]:
        """Ask the auth worker, when the client's address has its turn. Raises DatabaseError."""
        path = self._settings.base_dir / worker.SOCKET
        try:
            return await self._threads.run(request.parameters.rip, lambda: ask(path, question))
        except WorkerError as error:
            raise DatabaseError(str(error)) from None
