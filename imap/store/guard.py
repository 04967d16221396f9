"""What fails below the store (disk, index database) becomes a typed error that may be shown to the client."""

import functools
import sqlite3
from collections.abc import Callable
from typing import ParamSpec, Protocol, TypeVar, runtime_checkable

from imap.store.errors import InUse, OverQuota, StoreError
from imap.store.maildir import disk_error

P = ParamSpec("P")
R = TypeVar("R")


@runtime_checkable
class Owner(Protocol):
    """An object that works with an index."""

    def damaged(self, reason: str) -> None:
        """The index is damaged: throw it away, the next use makes it anew."""
        ...


def guarded(method: Callable[P, R]) -> Callable[P, R]:
    """Wrap a method of an Owner: only StoreErrors come out of it."""

    @functools.wraps(method)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except sqlite3.Error as error:
            raise _index_error(error, args[0]) from error
        except OSError as error:
            raise disk_error(error) from error

    return wrapper


def _index_error(error: sqlite3.Error, owner: object) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return InUse(reason=f"index: {error}")
    if code == sqlite3.SQLITE_FULL:
        return OverQuota("Not enough disk space", reason=f"index: {error}")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) and isinstance(owner, Owner):
        owner.damaged(str(error))
        return InUse(reason=f"index: {error}")
    return StoreError(code="SERVERBUG", reason=f"index: {error}")
