"""An open mailbox as one session sees it: its messages, their text, and what other sessions do to it."""

import contextlib
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self, TypeVar

from imap.store import changes, transfer, uids
from imap.store.access import is_read_only
from imap.store.acl import ALL
from imap.store.box import Box
from imap.store.errors import MailboxDeleted, NoPermission
from imap.store.guard import guarded
from imap.store.index import UNSEEN, Index
from imap.store.messages import Messages
from imap.store.rows import Row, flag_set, load_by_id
from imap.store.stream import Outgoing
from imap.store.texts import Texts
from imap.store.transfer import Destinations
from imap.store.types import AppendResult, Changes, CopyResult, Message, NewMail, StoreMode, StoreResult
from imap.store.watch import Watch

T = TypeVar("T")

_COLUMNS = "uid, bits, keywords, modseq, size, date"
_FEW = 500  # so many UIDs are named in a statement; for more the whole mailbox is read
_NOTHING = Changes()


class Mailbox:
    """See the interface in the package's docstring. Made by UserStore.open()."""

    def __init__(
        self, name: str, box: Box, index: Index, destinations: Destinations, *, read_only: bool,
        rights: frozenset[str] = ALL,
    ) -> None:  # fmt: skip
        self.name = name
        self.rights = rights  # what the user may do here (RFC 4314)
        self.examined = read_only
        self.read_only = read_only or is_read_only(rights)
        self.messages = Messages(self._read, self._measure)
        self.keywords: tuple[str, ...] = ()
        self.box = box
        self.index = index
        self.texts = Texts(self)
        self._destinations = destinations
        self.row_id = 0
        self._modseq = -1
        self._recent: list[range] = []  # UIDs; sessions take turns in claiming them
        self._own: dict[int, int] = {}  # changed here since the last sync() and not held: UID and mod-sequence
        self._ahead: set[int] = set()  # read with a change that sync() has not told yet
        self._seen: tuple[int, ...] | None = None  # the signs under which the last sync() told all there was
        row = self._current_row()
        self.row_id = row.id
        self.uidvalidity, self.uidnext, self.guid = row.uidvalidity, row.uidnext, row.guid
        self.highest_modseq = self._modseq = row.modseq
        self._begin(row)

    # -- following what others do -------------------------------------------------------------------------------------

    @guarded
    def sync(self) -> Changes:
        """Apply what happened since the last call. Raises MailboxDeleted when the mailbox is no longer this one."""
        signs = self._signs()
        if signs == self._seen and not self.texts.pending:
            return _NOTHING
        self.texts.flush()
        row = self._current_row()
        if row.uidvalidity != self.uidvalidity:
            raise MailboxDeleted()
        if row.id != self.row_id:  # the index was built anew: everything is compared
            self.row_id, self._modseq = row.id, -1
        changes = self._apply(row)
        settled = not row.unsettled and (self.examined or not row.in_new)
        self._seen = signs if settled else None
        return changes

    def _signs(self) -> tuple[int, int, int, int]:
        """Other values whenever something has happened: the usual case is that nothing has.

        The index repeats what the directories hold. Control files are replaced, or added to under a lock file beside
        them, so that their directory's time tells; where the index lies, that it was thrown away.
        """
        maildir = self.box.maildir
        return (
            os.fstat(maildir.cur.fd).st_mtime_ns,
            os.fstat(maildir.new.fd).st_mtime_ns,
            os.fstat(maildir.control.fd).st_mtime_ns,
            self.index.changed(),
        )

    def _current_row(self) -> Row:
        """The row, brought up to date with the disk; a session that may write claims \\Recent."""
        try:
            self.index.refresh()
            row = load_by_id(self.index.connection, self.row_id)
            claimed = row is not None and (self.examined or row.first_recent >= row.uidnext)
            if row is not None and claimed and self._is_current(row):
                return row
            with self.transaction() as (db, row):
                if not self.examined and row.first_recent < row.uidnext:
                    self._recent.append(range(row.first_recent, row.uidnext))
                    row.first_recent = row.uidnext
                    db.execute("UPDATE mailbox SET first_recent = ? WHERE id = ?", (row.uidnext, row.id))
                elif self.examined:
                    self._recent = [range(row.first_recent, row.uidnext)]
            return row
        except FileNotFoundError as error:
            raise MailboxDeleted() from error

    def _is_current(self, row: Row) -> bool:
        self.box.key = row.name  # it may have been renamed
        return self.box.is_current(row, move_new=not self.examined)

    @contextlib.contextmanager
    def transaction(self, *, force: bool = False) -> Iterator[tuple[sqlite3.Connection, Row]]:
        """A write transaction with the row as it is on disk now."""
        with self.index.write() as db:
            if self.row_id:
                row = load_by_id(db, self.row_id)
                if row is not None:
                    self.box.key = row.name
                elif not self.box.is_in_place():
                    raise MailboxDeleted()
            try:
                row = self.box.sync(db, move_new=not self.examined, force=force)
            except FileNotFoundError as error:
                raise MailboxDeleted() from error
            yield db, row

    @guarded
    def _begin(self, row: Row) -> None:
        """Learn of all messages there are."""
        found, stale = uids.load(self.index.connection, row)
        if stale:
            with self.index.write() as db:
                uids.keep(db, row, found)
        self.keywords = self.box.words.seen(self.index.connection, row)
        self.messages.begin(found)

    @guarded
    def _read(self, first: int, last: int) -> list[Message]:
        """The messages with UIDs from `first` to `last`, as they are in the index now."""
        query = f"SELECT {_COLUMNS} FROM message WHERE mailbox = ? AND uid BETWEEN ? AND ? ORDER BY uid"  # noqa: S608
        found = self.index.connection.execute(query, (self.row_id, first, last)).fetchall()
        self._ahead.update(uid for uid, _, _, modseq, _, _ in found if modseq > self._modseq)
        return [self._message(*values) for values in found]

    def _message(self, uid: int, bits: int, words: str, modseq: int, size: int | None, date: int | None) -> Message:
        flags, recent = flag_set(bits, words), self.is_recent(uid)
        return Message(uid, flags, modseq, self._measure, size=size, internal_date=date, recent=recent)

    def _apply(self, row: Row) -> Changes:
        """Bring .messages up to the row's mod-sequence."""
        if row.modseq == self._modseq and row.id == self.row_id:
            return Changes()
        db = self.index.connection
        expunged, restated = self._apply_expunged(db, row)
        appended: list[int] = []
        changed: list[int] = []
        query = f"SELECT {_COLUMNS} FROM message WHERE mailbox = ? AND modseq > ? ORDER BY uid"  # noqa: S608
        for uid, bits, words, modseq, size, date in db.execute(query, (row.id, self._modseq)):
            message = self.messages.held(uid)
            if message is not None:
                flags = flag_set(bits, words)
                if message.flags != flags or uid in self._ahead:
                    changed.append(uid)
                message.flags, message.modseq = flags, modseq
            elif uid not in self.messages:
                self.messages.add(self._message(uid, bits, words, modseq, size, date))
                appended.append(uid)
            elif self._own.get(uid) != modseq and self._modseq >= 0:
                changed.append(uid)
        self._own.clear()
        self._ahead.clear()
        known = self.keywords
        self.keywords = self.box.words.seen(db, row)
        self.uidnext, self.highest_modseq, self._modseq = row.uidnext, row.modseq, row.modseq
        return Changes(
            tuple(expunged),
            tuple(appended),
            tuple(changed),
            keywords=not set(self.keywords) <= set(known),
            restated=tuple(restated),
        )

    def _apply_expunged(self, db: sqlite3.Connection, row: Row) -> tuple[list[int], list[int]]:
        """Take expunged messages out of the view; their UIDs, and those that had other flags in the end."""
        restated: list[int] = []
        if not self.messages:
            return [], []
        if self._modseq < row.floor:  # not all expunges since are remembered: compare
            present = set(uids.load(db, row)[0])
            gone = {uid: 0 for uid in self.messages if uid not in present}
        else:
            query = "SELECT uid, bits FROM expunged WHERE mailbox = ? AND modseq > ? ORDER BY uid"
            gone = {uid: bits for uid, bits in db.execute(query, (row.id, self._modseq)) if uid in self.messages}
            for uid, bits in gone.items():
                message = self.messages.held(uid)
                if message is None:
                    continue
                flags = flag_set(bits, " ".join(sorted(flag for flag in message.flags if not flag.startswith("\\"))))
                if flags != message.flags:
                    message.flags = flags
                    restated.append(uid)
        for uid, bits in gone.items():
            self.messages.depart(uid, flag_set(bits, ""))
        return list(gone), restated

    def changed_here(self, uid: int, flags: frozenset[str], modseq: int) -> None:
        """Note what this session itself has made of a message: sync() does not tell it."""
        message = self.messages.held(uid)
        if message is None:
            self._own[uid] = modseq
        else:
            message.flags, message.modseq = flags, modseq

    def is_recent(self, uid: int) -> bool:
        """Whether a message is \\Recent in this session."""
        return any(uid in claimed for claimed in self._recent)

    def count_recent(self) -> int:
        """How many messages are."""
        return sum(self.messages.count(claimed) for claimed in self._recent)

    @guarded
    def unseen(self) -> tuple[int, int]:
        """How many messages are without \\Seen, and the UID of the first (0: none)."""
        last = self.messages.uids[-1] if self.messages.uids else 0
        query = f"SELECT COUNT(*), COALESCE(MIN(uid), 0) FROM message WHERE mailbox = ? AND uid <= ? AND {UNSEEN}"  # noqa: S608
        count, first = self.index.connection.execute(query, (self.row_id, last)).fetchone()
        return count, first

    @guarded
    def changed_since(self, modseq: int) -> list[int]:
        """UIDs of messages that are new or changed after `modseq`, ascending (RFC 7162)."""
        query = "SELECT uid FROM message WHERE mailbox = ? AND modseq > ? ORDER BY uid"
        found = self.index.connection.execute(query, (self.row_id, modseq))
        return [uid for (uid,) in found if uid in self.messages]

    @guarded
    def vanished(self, modseq: int) -> list[int] | None:
        """UIDs expunged after `modseq`, ascending (RFC 7162); None if the index does not go back so far."""
        db = self.index.connection
        row = load_by_id(db, self.row_id)
        if row is None or modseq < row.floor:
            return None
        found = db.execute(
            "SELECT uid FROM expunged WHERE mailbox = ? AND modseq > ? ORDER BY uid", (self.row_id, modseq)
        )
        return [uid for (uid,) in found]

    @guarded
    def rest(self) -> None:
        """Keep nothing open that can be opened again: the session only waits."""
        self.texts.flush()
        self.index.rest()

    def watch(self) -> Watch:
        """Be told of changes while idle."""
        return Watch([self.box.maildir.cur, self.box.maildir.new])

    # -- reading ------------------------------------------------------------------------------------------------------

    @guarded
    def read(self, uid: int) -> bytes:
        """The whole message with CRLF line ends. Raises Expunged."""
        return self.texts.read(uid)

    @guarded
    def read_header(self, uid: int) -> bytes:
        """The header and the empty line behind it, with CRLF line ends. Raises Expunged."""
        return self.texts.read_header(uid)

    @guarded
    def outgoing(self, uid: int) -> Outgoing:
        """A message to be read in pieces. Raises Expunged."""
        return self.texts.outgoing(uid)

    @guarded
    def save_date(self, uid: int) -> int:
        """SAVEDATE (RFC 8514): when the mail came into this mailbox, seconds since the epoch. Raises Expunged."""
        return self.texts.save_date(uid)

    @guarded
    def _measure(self, message: Message) -> tuple[int, int, str]:
        """Size, date and GUID of a message."""
        return self.texts.measure(message)

    @guarded
    def pop3_fields(self) -> dict[int, tuple[int, str]]:
        """UID -> (order or 0, UIDL or "") where the uidlist has any: of mail from another POP3 server."""
        query = "SELECT uid, extra FROM message WHERE mailbox = ? AND extra != ''"
        found: dict[int, tuple[int, str]] = {}
        for uid, extra in self.index.connection.execute(query, (self.row_id,)):
            fields = {part[0]: part[1:] for part in extra.split()}
            order = fields.get("O", "")
            found[uid] = int(order) if re.fullmatch("[0-9]{1,10}", order) else 0, fields.get("P", "")
        return found

    # -- values that the protocol side computed -----------------------------------------------------------------------

    @guarded
    def cached(self, key: str, uids: Iterable[int]) -> dict[int, bytes]:
        """The values put under `key` for these UIDs, as far as there are any."""
        wanted = set(uids)
        query = "SELECT uid, value FROM cache WHERE mailbox = ? AND key = ?"
        parameters: list[object] = [self.row_id, key]
        if len(wanted) <= _FEW:
            query += f" AND uid IN ({', '.join('?' * len(wanted))})"
            parameters += wanted
        else:
            query += " AND uid BETWEEN ? AND ?"
            parameters += (min(wanted), max(wanted))
        return {uid: value for uid, value in self.index.connection.execute(query, parameters) if uid in wanted}

    @guarded
    def cache(self, key: str, values: Mapping[int, bytes]) -> None:
        """Keep a value for each UID until the message is expunged or the index is built anew."""
        with self.index.write() as db:
            db.executemany(
                "INSERT OR REPLACE INTO cache (mailbox, uid, key, value) VALUES (?, ?, ?, ?)",
                [(self.row_id, uid, key, value) for uid, value in values.items() if uid in self.messages],
            )

    # -- changing -----------------------------------------------------------------------------------------------------

    @guarded
    def store(
        self, uids: Iterable[int], mode: StoreMode, flags: Iterable[str], unchanged_since: int | None = None
    ) -> StoreResult:
        """Change flags and keywords. Raises NoPermission if read-only, LimitExceeded for too many keywords."""
        if self.read_only and not self.examined:
            return StoreResult()  # as if the flags had been refused one by one
        return changes.store(self, uids, mode, flags, unchanged_since)

    @guarded
    def expunge(self, uids: Iterable[int] | None = None) -> tuple[int, ...]:
        """Remove the messages that are \\Deleted (among `uids`, if given); returns their UIDs, ascending."""
        if "e" not in self.rights and not self.read_only:
            raise NoPermission()
        return changes.expunge(self, uids)

    @guarded
    def copy(self, uids: Iterable[int], destination: str) -> CopyResult:
        """Copy messages with flags, keywords and dates: all or none. Raises Expunged, NonExistent and the like."""
        return transfer.copy(self, self._destinations, uids, destination, move=False)

    @guarded
    def move(self, uids: Iterable[int], destination: str) -> CopyResult:
        """Copy and expunge in one step (RFC 6851)."""
        if "e" not in self.rights:
            raise NoPermission()
        return transfer.copy(self, self._destinations, uids, destination, move=True)

    @guarded
    def replace(self, uid: int, destination: str, mail: NewMail) -> AppendResult:
        """Append a mail and expunge a message, in one step (RFC 8508). Raises Expunged, NonExistent and the like."""
        if not {"t", "e"} <= self.rights:
            raise NoPermission()
        return transfer.replace(self, uid, self._destinations, destination, mail)

    def damaged(self, reason: str) -> None:
        """Throw the damaged index away; the next use makes it anew."""
        self.index.discard(reason)

    def close(self) -> None:
        """Give descriptors back and write what was measured."""
        with contextlib.suppress(sqlite3.Error):
            self.texts.flush()
        self.box.maildir.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
