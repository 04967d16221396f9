"""Where verification results are kept: address_verify_map, as a file in LMDB's format or in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.tables import TableError
from mta.tables.lmdb import built_file
from mta.tables.lmdbfile import DatabaseFile, Duplicate, Locked, decode, remove, write

FILE_TYPES: Final = ("lmdb", "btree", "hash")
"""Types whose name stands for our own file: those of Postfix that can be written."""

FILE_MODE: Final = 0o600
PATIENCE: Final = 1.0
"""Seconds that a look into the file may wait for another process that writes it."""


class Store(Protocol):
    """Keys and values."""

    name: str

    def get(self, key: str) -> str | None: ...
    def put(self, key: str, value: str) -> None: ...
    def delete(self, key: str) -> None: ...
    def items(self) -> Iterator[tuple[str, str]]: ...


class MemoryStore:
    """Forgets everything when the process ends (address_verify_map empty)."""

    name = "internal"

    def __init__(self) -> None:
        self._values: dict[str, str] = {}

    def get(self, key: str) -> str | None:
        return self._values.get(key)

    def put(self, key: str, value: str) -> None:
        self._values[key] = value

    def delete(self, key: str) -> None:
        self._values.pop(key, None)

    def items(self) -> Iterator[tuple[str, str]]:
        yield from list(self._values.items())


class FileStore:
    """One file that this process alone writes. Case does not count in keys, as in other tables of this kind.

    Raises TableError.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path

    def get(self, key: str) -> str | None:
        if not self._path.exists():
            return None
        deadline = time.monotonic() + PATIENCE
        while True:
            file = DatabaseFile.open(self._path)
            try:
                return file.get(key)
            except Locked as error:
                if time.monotonic() > deadline:
                    raise TableError(f"{self._path}: another process has locked the table for too long") from error
                time.sleep(0.01)
            finally:
                file.close()

    def put(self, key: str, value: str) -> None:
        write(self._path, [(key.casefold(), value)], duplicate=Duplicate.REPLACE, mode=FILE_MODE)

    def delete(self, key: str) -> None:
        if self._path.exists():
            remove(self._path, [key])

    def items(self) -> Iterator[tuple[str, str]]:
        if not self._path.exists():
            return
        file = DatabaseFile.open(self._path)
        try:
            with file.reading() as transaction:
                found = [(decode(key), decode(value)) for key, value in transaction.cursor()]
        except Locked as error:
            raise TableError(f"{self._path}: another process has locked the table") from error
        finally:
            file.close()
        yield from found


def open_store(config: MainConfig) -> Store:
    """The store that address_verify_map names. Raises ConfigErrors."""
    name = config.str("address_verify_map").strip()
    kind, _, path = name.removeprefix("proxy:").partition(":")
    if not name:
        return MemoryStore()
    if kind not in FILE_TYPES or not path.startswith("/"):
        text = (
            f"address_verify_map: {name}: a table that can be written is needed: {':, '.join(FILE_TYPES)}: and a path"
        )
        raise ConfigErrors([ConfigError(config.where("address_verify_map"), text)])
    return FileStore(name, built_file(Path(path)))
