"""The messages of an open mailbox as octets, and what is measured of them: size, date, GUID."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from imap.store import filenames
from imap.store.errors import Expunged
from imap.store.maildir import crlf, crlf_size
from imap.store.stream import Mark, Outgoing
from imap.store.types import Message

if TYPE_CHECKING:
    from imap.store.mailbox import Mailbox

T = TypeVar("T")

_HEADER_CHUNK = 16 * 1024  # most headers fit
_PENDING_LIMIT = 512  # measured sizes and dates are written to the index in lots of this many


class Texts:
    """Reads the messages of a mailbox, wherever other programs have renamed their files to."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox
        self._marked = 0, Mark()  # the big message that was read in pieces last, and how far
        self.pending: dict[int, tuple[int, int]] = {}  # size and date by UID, not yet in the index

    def read(self, uid: int) -> bytes:
        """The whole message with CRLF line ends. Raises Expunged."""
        return crlf(self._stored(uid))

    def read_header(self, uid: int) -> bytes:
        """The header and the empty line behind it, with CRLF line ends. Raises Expunged."""
        head = self._stored(uid, _HEADER_CHUNK)
        end = _header_end(head)
        if end < 0 and len(head) == _HEADER_CHUNK:
            head = self._stored(uid)
            end = _header_end(head)
        return crlf(head if end < 0 else head[:end])

    def outgoing(self, uid: int) -> Outgoing:
        """A message to be read in pieces. Raises Expunged."""
        if uid != self._marked[0]:
            self._marked = uid, Mark()
        return Outgoing(self._found(uid, self._mailbox.box.maildir.open), self._marked[1])

    def _stored(self, uid: int, count: int | None = None) -> bytes:
        return self._found(uid, lambda file: self._mailbox.box.maildir.read(file, count))

    def _found(self, uid: int, look: Callable[[str], T]) -> T:
        """What `look` makes of the message's file. Raises Expunged."""
        for attempt in range(3):
            file, _ = self._file(uid)
            try:
                return look(file)
            except FileNotFoundError:
                with self._mailbox.transaction(force=attempt > 0):  # renamed by another program: look again
                    pass
        raise Expunged()

    def _file(self, uid: int) -> tuple[str, str]:
        found: tuple[str, str] | None = self._mailbox.index.connection.execute(
            "SELECT file, extra FROM message WHERE mailbox = ? AND uid = ?", (self._mailbox.row_id, uid)
        ).fetchone()
        if found is None:
            raise Expunged()
        return found

    def measure(self, message: Message) -> tuple[int, int, str]:
        """Size, date and GUID of a message; what was not known goes to the index."""
        uid = message.uid
        size, date = self._mailbox.index.connection.execute(
            "SELECT size, date FROM message WHERE mailbox = ? AND uid = ?", (self._mailbox.row_id, uid)
        ).fetchone() or (None, None)
        size, date = self.pending.get(uid, (size, date))
        if size is None:
            size = crlf_size(self._stored(uid))
        if date is None:
            date = self._date(uid)
            self.pending[uid] = (size, date)
            if len(self.pending) >= _PENDING_LIMIT:
                self.flush()
        file, extra = self._file(uid)
        fields = {part[0]: part[1:] for part in extra.split()}
        return size, date, fields.get("G") or filenames.split(file[4:])[0]

    def _date(self, uid: int) -> int:
        for _ in range(2):
            place, name = self._mailbox.box.maildir.locate(self._file(uid)[0])
            try:
                return int(place.stat(name).st_mtime)
            except FileNotFoundError:
                with self._mailbox.transaction(force=True):
                    pass
        raise Expunged()

    def save_date(self, uid: int) -> int:
        """SAVEDATE (RFC 8514): when the mail came into this mailbox, seconds since the epoch. Raises Expunged."""
        place, name = self._mailbox.box.maildir.locate(self._file(uid)[0])
        try:
            return int(place.stat(name).st_ctime)
        except FileNotFoundError:
            raise Expunged() from None

    def flush(self) -> None:
        """Write measured sizes and dates to the index."""
        if self.pending:
            pending, self.pending = self.pending, {}
            with self._mailbox.index.write() as db:
                db.executemany(
                    "UPDATE message SET size = ?, date = ? WHERE mailbox = ? AND uid = ?",
                    [(size, date, self._mailbox.row_id, uid) for uid, (size, date) in pending.items()],
                )


def _header_end(stored: bytes) -> int:
    """Where the body begins in stored octets; -1 if the header does not end here."""
    if stored.startswith(b"\n"):
        return 1
    if stored.startswith(b"\r\n"):
        return 2
    ends = [end + len(mark) for mark in (b"\n\n", b"\n\r\n") if (end := stored.find(mark)) >= 0]
    return min(ends, default=-1)
