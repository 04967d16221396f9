"""`mail_attribute_dict = file:PATH`: what METADATA keeps (RFC 5464), in Dovecot's file of keys and values.

    priv/<GUID of the mailbox>/comment
    hello
    shared/<GUID of the mailbox>/vendor/x
    world

Key and value stand on lines of their own, escaped as in `subscriptions`. Entries of the server are kept with INBOX,
below `vendor/vendor.dovecot/pvt/server/`.
"""

import os
from collections.abc import Mapping

from imap.store.dotlock import dotlock
from imap.store.errors import LimitExceeded
from imap.store.jail import Directory
from imap.store.subscriptions import escape, unescape

# The file is read whole for every command. Dovecot knows no limit.
MAX_FILE = 16 << 20

# What a user hears who has no such file.
NO_PLACE = "Mailbox attributes not enabled"

# Names of entries within one mailbox, `/private/comment`, are keys `priv/GUID/comment` in the file.
_SCOPES = {"/private": "priv", "/shared": "shared"}


class AttributeFile:
    """The file of one user. `path` is relative to the mail root."""

    def __init__(self, root: Directory, path: str) -> None:
        self._root = root
        self._parent, _, self._name = path.rpartition("/")

    def read(self, guid: str) -> dict[str, bytes]:
        """The entries of a mailbox, in the order of the file."""
        try:
            with self._root.directory(self._parent) as directory:
                everything = _parse(_content(directory, self._name))
        except FileNotFoundError:
            return {}
        found = {}
        for scope, key in _SCOPES.items():
            prefix = f"{key}/{guid}/"
            found.update(
                {
                    f"{scope}/{name[len(prefix) :]}".removesuffix("/"): value
                    for name, value in everything.items()
                    if name.startswith(prefix)
                }
            )
        return found

    def change(self, guid: str, entries: Mapping[str, bytes | None]) -> None:
        """Set entries, None removes; all or none, durable when this returns. Raises LimitExceeded, InUse."""
        changes = {}
        for entry, value in entries.items():
            scope = next(scope for scope in _SCOPES if entry == scope or entry.startswith(scope + "/"))
            changes[f"{_SCOPES[scope]}/{guid}/{entry[len(scope) + 1 :]}"] = value
        self._rewrite(changes)

    def forget(self, guid: str) -> None:
        """Remove all entries of a mailbox."""
        entries = self.read(guid)
        if entries:
            self.change(guid, dict.fromkeys(entries))

    def _rewrite(self, changes: Mapping[str, bytes | None]) -> None:
        with self._root.make_directories(self._parent) as directory, dotlock(directory, self._name):
            everything = _parse(_content(directory, self._name))
            for key, value in changes.items():
                if value is None:
                    everything.pop(key, None)
                else:
                    everything[key] = value
            text = b"".join(b"%b\n%b\n" % (_escaped(os.fsencode(key)), _escaped(v)) for key, v in everything.items())
            if len(text) > MAX_FILE:
                raise LimitExceeded(code="METADATA TOOMANY")
            temporary = f"{self._name}.tmp"
            directory.unlink(temporary, missing_ok=True)
            directory.write(temporary, text)
            directory.rename(temporary, directory, self._name)
            directory.sync()


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
