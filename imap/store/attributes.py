"""What METADATA keeps (RFC 5464), in the dict of `mail_attribute_dict` as Dovecot does.

    priv/<GUID of the mailbox>/comment
    hello
    shared/<GUID of the mailbox>/vendor/x
    world

Entries of the server are kept with INBOX, below `vendor/vendor.dovecot/pvt/server/`.
"""

from collections.abc import Mapping

from imap.store.dictfile import DictFile
from imap.store.errors import LimitExceeded

# What a user hears who has no such dict.
NO_PLACE = "Mailbox attributes not enabled"

# Names of entries within one mailbox, `/private/comment`, are keys `priv/GUID/comment` in the file.
_SCOPES = {"/private": "priv", "/shared": "shared"}


def is_private(entry: str) -> bool:
    """Whether an entry is each user's own."""
    return f"{entry}/".startswith("/private/")


class Attributes:
    """The entries of one user's mailboxes."""

    def __init__(self, file: DictFile) -> None:
        self._file = file

    def read(self, guid: str) -> dict[str, bytes]:
        """The entries of a mailbox, in the order of the file."""
        found = {}
        for scope, key in _SCOPES.items():
            prefix = f"{key}/{guid}/"
            for name, value in self._file.read(prefix).items():
                found[f"{scope}/{name[len(prefix) :]}".removesuffix("/")] = value
        return found

    def change(self, guid: str, entries: Mapping[str, bytes | None]) -> None:
        """Set entries, None removes; all or none, durable when this returns. Raises LimitExceeded, InUse."""
        changes = {}
        for entry, value in entries.items():
            scope = next(scope for scope in _SCOPES if entry == scope or entry.startswith(scope + "/"))
            changes[f"{_SCOPES[scope]}/{guid}/{entry[len(scope) + 1 :]}"] = value
        try:
            self._file.change(changes)
        except LimitExceeded as error:
            raise LimitExceeded(code="METADATA TOOMANY") from error

    def forget(self, guid: str) -> None:
        """Remove all entries of a mailbox."""
        entries = self.read(guid)
        if entries:
            self.change(guid, dict.fromkeys(entries))
