"""UIDs for new files: from `dovecot-uidlist` if another program gave them, else the next ones, written there first."""

import logging
import os
import sqlite3

from imap.store import filenames, uidlist, uids, uidvalidity
from imap.store.dotlock import dotlock
from imap.store.errors import Corrupt, LimitExceeded
from imap.store.jail import CONTROL_FILE_LIMIT, Directory, file_stamp
from imap.store.maildir import Fsync
from imap.store.rows import Arrival, Row, base_of

log = logging.getLogger("dovecot.store")

# The uidlist is written anew when this much of it may be lines of expunged mails (octets, octets per line).
_UIDLIST_SLACK = 64 * 1024
_UIDLIST_LINE = 80


class Numbering:
    """The uidlist of one mailbox. `validity` is the directory of the counter for new UIDVALIDITYs."""

    def __init__(self, control: Directory, validity: Directory, fsync: Fsync) -> None:
        self._control = control
        self._validity = validity
        self._fsync = fsync

    def read(self) -> uidlist.UidList | None:
        try:
            return uidlist.parse(self._control.read(uidlist.NAME, CONTROL_FILE_LIMIT))
        except FileNotFoundError:
            return None
        except Corrupt as error:
            log.error("%s: %s", self._control.path, error.reason)
            return None

    def adopt(self, db: sqlite3.Connection, row: Row, arrivals: list[Arrival], *, sort: bool = False) -> list[int]:
        """Give UIDs to new files, in the uidlist first, then in the index; returns them in the order given.

        Files that the uidlist already knows (another program gave them UIDs) keep those. Runs with row.modseq as the
        mod-sequence of the new messages.
        """
        if sort:
            arrivals.sort(key=lambda arrival: filenames.arrival_key(arrival.file[4:]))
        following = row.uidnext
        with dotlock(self._control, uidlist.NAME):
            before = file_stamp(self._control, uidlist.NAME)
            rewrite = False
            listed: dict[str, uidlist.Entry] = {}
            if before != row.uidlist or not before:
                found = self.read()
                rewrite = self._take_over(db, row, found)
                listed = {entry.base: entry for entry in found.entries} if found else {}
            entries = self._number(db, row, arrivals, listed)
            self._insert(db, row, arrivals, entries)
            if any(entry.uid < following for entry in entries):
                uids.forget(db, row)
            self._write_uidlist(db, row, [entry for entry in entries if entry.base not in listed], rewrite)
        return [entry.uid for entry in entries]

    def _take_over(self, db: sqlite3.Connection, row: Row, found: uidlist.UidList | None) -> bool:
        """Learn UIDVALIDITY and UIDNEXT from the uidlist; returns whether it has to be written anew."""
        if found is None:
            if not row.uidvalidity:
                row.uidvalidity = uidvalidity.following(self._validity)
                row.first_recent = 1
            row.guid = row.guid or uidlist.new_guid()
            return True
        row.uidvalidity = found.uidvalidity
        row.uidnext = max(row.uidnext, found.uidnext)
        row.first_recent = row.first_recent or found.uidnext
        row.guid = found.guid or row.guid or uidlist.new_guid()
        listed = {entry.base for entry in found.entries}
        known = db.execute("SELECT file FROM message WHERE mailbox = ?", (row.id,))
        return found.truncated or not found.guid or any(base_of(file) not in listed for (file,) in known)

    def _number(
        self, db: sqlite3.Connection, row: Row, arrivals: list[Arrival], listed: dict[str, uidlist.Entry]
    ) -> list[uidlist.Entry]:
        """A uidlist entry for each arrival."""
        entries = []
        for arrival in arrivals:
            base = base_of(arrival.file)
            entry = listed.get(base)
            if entry is not None and not _used(db, row, entry.uid):
                entries.append(entry)
                if arrival.file.startswith("new/"):
                    row.first_recent = min(row.first_recent, entry.uid)
                continue
            listed.pop(base, None)
            if row.uidnext >= uidlist.UID_MAX:
                raise LimitExceeded("Mailbox has run out of UIDs")
            entries.append(uidlist.Entry(row.uidnext, base, arrival.extra))
            row.uidnext += 1
        return entries

    def _insert(self, db: sqlite3.Connection, row: Row, arrivals: list[Arrival], entries: list[uidlist.Entry]) -> None:
        db.executemany(
            "INSERT INTO message (mailbox, uid, file, extra, bits, keywords, modseq, size, date)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (row.id, entry.uid, a.file, entry.extra, a.bits, a.keywords, row.modseq, a.size or _size(entry), a.date)
                for a, entry in zip(arrivals, entries, strict=True)
            ],
        )

    def _write_uidlist(self, db: sqlite3.Connection, row: Row, new: list[uidlist.Entry], rewrite: bool) -> None:
        """Add the new entries, or write the whole file from the index."""
        control = self._control
        if not rewrite and new:
            (count,) = db.execute("SELECT COUNT(*) FROM message WHERE mailbox = ?", (row.id,)).fetchone()
            rewrite = control.stat(uidlist.NAME).st_size > _UIDLIST_SLACK + _UIDLIST_LINE * count * 2
        durable = self._fsync == "always"
        if rewrite:
            rows = db.execute("SELECT uid, file, extra FROM message WHERE mailbox = ? ORDER BY uid", (row.id,))
            whole = [uidlist.Entry(uid, base_of(file), extra) for uid, file, extra in rows]
            content = uidlist.UidList(row.uidvalidity, row.uidnext, row.guid, whole).format()
            temporary = f"{uidlist.NAME}.tmp"
            control.unlink(temporary, missing_ok=True)
            control.write(temporary, content, sync=durable)
            control.rename(temporary, control, uidlist.NAME)
        elif new:
            lines = "".join(entry.line() for entry in new).encode("utf-8", "surrogateescape")
            control.write(uidlist.NAME, lines, flags=os.O_APPEND, sync=durable)
        row.uidlist = file_stamp(control, uidlist.NAME)


def _size(entry: uidlist.Entry) -> int | None:
    """The CRLF size that a uidlist line tells, if it does."""
    values = {part[0]: part[1:] for part in entry.extra.split()}
    width = values.get("W", "")
    return int(width) if width.isascii() and width.isdigit() and len(width) < 19 else None


def _used(db: sqlite3.Connection, row: Row, uid: int) -> bool:
    """Whether a UID belongs, or belonged, to another message."""
    return any(
        db.execute(f"SELECT 1 FROM {table} WHERE mailbox = ? AND uid = ?", (row.id, uid)).fetchone()  # noqa: S608
        for table in ("message", "expunged")
    )
