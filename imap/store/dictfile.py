"""A `file:` dict as Dovecot's: a line for each key, behind it a line for its value, both escaped (str_tabescape)."""

import contextlib
import os
from collections.abc import Iterator, Mapping

from imap.store.dotlock import dotlock
from imap.store.errors import LimitExceeded
from imap.store.jail import Directory
from imap.store.subscriptions import escape, unescape

# The file is read whole for every command. Dovecot knows no limit.
MAX_FILE = 16 << 20


class DictFile:
    """One file. `path` is relative to the mail root."""

    def __init__(self, root: Directory, path: str) -> None:
        self._root = root
        self._parent, _, self._name = path.rpartition("/")

    @contextlib.contextmanager
    def _directory(self, *, make: bool = False) -> Iterator[Directory]:
        if not self._parent:
            yield self._root
            return
        with (self._root.make_directories if make else self._root.directory)(self._parent) as directory:
            yield directory

    def read(self, prefix: str) -> dict[str, bytes]:
        """The keys that begin with a prefix, in the order of the file, and their values."""
        try:
            with self._directory() as directory:
                everything = _parse(_content(directory, self._name))
        except FileNotFoundError:
            return {}
        return {key: value for key, value in everything.items() if key.startswith(prefix)}

    def change(self, changes: Mapping[str, bytes | None]) -> None:
        """Set keys, None removes; all or none, durable when this returns. Raises LimitExceeded, InUse."""
        with self._directory(make=True) as directory, dotlock(directory, self._name):
            everything = _parse(_content(directory, self._name))
            for key, value in changes.items():
                if value is None:
                    everything.pop(key, None)
                else:
                    everything[key] = value
            text = b"".join(b"%b\n%b\n" % (_escaped(os.fsencode(key)), _escaped(v)) for key, v in everything.items())
            if len(text) > MAX_FILE:
                raise LimitExceeded()
            directory.replace(self._name, text)


def _escaped(value: bytes) -> bytes:
    return escape(value.decode("latin-1")).encode("latin-1")


def _content(directory: Directory, name: str) -> bytes:
    try:
        return directory.read(name, MAX_FILE + 1)
    except FileNotFoundError:
        return b""


def _parse(content: bytes) -> dict[str, bytes]:
    lines = [unescape(line.decode("latin-1")).encode("latin-1") for line in content.split(b"\n")]
    return {os.fsdecode(key): value for key, value in zip(lines[::2], lines[1::2], strict=False)}
