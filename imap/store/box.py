"""One mailbox in the index: its row, and the reconciliation of index, maildir and `dovecot-uidlist`."""

import functools
import logging
import os
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

from imap.store import filenames, keywords, uidlist, uidvalidity
from imap.store.dotlock import dotlock
from imap.store.errors import Corrupt, LimitExceeded, StoreError
from imap.store.jail import CONTROL_FILE_LIMIT, Directory
from imap.store.maildir import SETTLE_NS, Maildir
from imap.store.types import SYSTEM_FLAGS

log = logging.getLogger("dovecot.store")

# The uidlist is written anew when this much of it may be lines of expunged mails.
_UIDLIST_SLACK = 64 * 1024
_UIDLIST_LINE = 80
# Expunged UIDs are remembered for QRESYNC up to this many per mailbox, then the older half is forgotten.
_EXPUNGED_LIMIT = 20_000
# Each keyword costs a line in every FLAGS response; a client that makes more is broken or hostile.
KEYWORD_LIMIT = 1000


@dataclass(slots=True)
class Row:
    """A row of the table `mailbox`."""

    id: int
    name: str
    inode: int
    guid: str
    uidvalidity: int
    uidnext: int
    first_recent: int
    modseq: int
    floor: int
    scanned: str
    unsettled: int
    uidlist: str
    keywords: str
    in_new: int


_COLUMNS = ", ".join(field.name for field in fields(Row))
_ASSIGN = ", ".join(f"{field.name} = ?" for field in fields(Row)[1:])


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message file that has its final name but no UID yet."""

    file: str
    bits: int
    keywords: str
    extra: str = ""
    size: int | None = None
    date: int | None = None


def load(connection: sqlite3.Connection, name: str) -> Row | None:
    """The row of a mailbox by its disk name."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM mailbox WHERE name = ?", (name,)).fetchone()  # noqa: S608
    return None if found is None else Row(*found)


def load_by_id(connection: sqlite3.Connection, row_id: int) -> Row | None:
    """The row of a mailbox that may have been renamed meanwhile."""
    found = connection.execute(f"SELECT {_COLUMNS} FROM mailbox WHERE id = ?", (row_id,)).fetchone()  # noqa: S608
    return None if found is None else Row(*found)


def save(connection: sqlite3.Connection, row: Row) -> None:
    """Write the row back."""
    connection.execute(f"UPDATE mailbox SET {_ASSIGN} WHERE id = ?", (*astuple(row)[1:], row.id))  # noqa: S608


def drop(connection: sqlite3.Connection, row_id: int) -> None:
    """Forget a mailbox."""
    for table in ("message", "expunged", "keyword", "cache"):
        connection.execute(f"DELETE FROM {table} WHERE mailbox = ?", (row_id,))  # noqa: S608
    connection.execute("DELETE FROM mailbox WHERE id = ?", (row_id,))


@functools.lru_cache(maxsize=4096)
def flag_set(flag_bits: int, words: str) -> frozenset[str]:
    """The flags of a message row as names; shared between messages with the same flags."""
    return frozenset([flag for flag in SYSTEM_FLAGS if filenames.BIT_OF[flag] & flag_bits] + words.split())


def split_flags(flags: Iterable[str]) -> tuple[int, list[str]]:
    """(system flag bits, keywords) of flag names; \\Recent and unknown system flags are left out."""
    flag_bits = 0
    words: list[str] = []
    system = {name.casefold(): bit for name, bit in filenames.BIT_OF.items()}
    for flag in flags:
        if flag.startswith("\\"):
            flag_bits |= system.get(flag.casefold(), 0)
        elif flag.casefold() not in {word.casefold() for word in words}:
            words.append(flag)
    return flag_bits, words


def file_stamp(directory: Directory, name: str) -> str:
    """Identity of a control file's content: inode, size and time; "" if it is missing."""
    try:
        status = directory.stat(name)
    except FileNotFoundError:
        return ""
    return f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}"


class Box:
    """A maildir together with its row. All methods that change something run inside Index.write().

    `root` is the mail root; `validity_directory` holds the counter for new UIDVALIDITYs.
    """

    def __init__(self, root: Directory, maildir: Maildir, validity_directory: Directory) -> None:
        self.maildir = maildir
        self._root = root
        self._validity_directory = validity_directory
        self.key = maildir.folder.key

    # -- looking ------------------------------------------------------------------------------------------------------

    def is_current(self, row: Row, *, move_new: bool) -> bool:
        """Whether the row still tells the truth about the disk."""
        maildir = self.maildir
        if row.scanned != maildir.stamp() or (move_new and row.in_new):
            return False
        if row.unsettled and time.time_ns() - row.unsettled > SETTLE_NS:
            return False
        return row.uidlist == file_stamp(maildir.control, uidlist.NAME) and row.keywords == file_stamp(
            maildir.control, keywords.NAME
        )

    def is_in_place(self) -> bool:
        """Whether the open directory is still the one of its name."""
        try:
            with self._root.directory(self.maildir.folder.mail) as now:
                return now.stat().st_ino == self.maildir.mail.stat().st_ino
        except (OSError, StoreError):
            return False

    def keyword_names(self, db: sqlite3.Connection, row: Row) -> dict[int, str]:
        """Number to keyword."""
        return dict(db.execute("SELECT number, name FROM keyword WHERE mailbox = ? ORDER BY number", (row.id,)))

    def seen_keywords(self, db: sqlite3.Connection, row: Row) -> tuple[str, ...]:
        """The keywords that any message has ever had here."""
        found = db.execute("SELECT name FROM keyword WHERE mailbox = ? AND seen ORDER BY number", (row.id,))
        return tuple(name for (name,) in found)

    def _see(self, db: sqlite3.Connection, row: Row, words: Iterable[str]) -> None:
        db.executemany(
            "UPDATE keyword SET seen = 1 WHERE mailbox = ? AND name = ? AND NOT seen",
            [(row.id, word) for word in words],
        )

    # -- reconciliation -----------------------------------------------------------------------------------------------

    def sync(self, db: sqlite3.Connection, *, move_new: bool, force: bool = False) -> Row:
        """Bring the row up to date with the disk; `move_new` also moves mails from new/ to cur/."""
        row = load(db, self.key)
        if row is not None and not force and self.is_current(row, move_new=move_new):
            return row
        row = self._claim(db, row)
        self._sync_keywords(db, row)
        files, _ = self.maildir.scan()
        known: dict[str, int] = dict(db.execute("SELECT file, uid FROM message WHERE mailbox = ?", (row.id,)))
        fresh = self._without_duplicates(files - known.keys(), files & known.keys())
        gone = {_base(file): uid for file, uid in known.items() if file not in files}
        row.modseq += 1
        changed = self._renamed(db, row, fresh, gone)
        if gone:
            self._expunged(db, row, gone.values())
        arrivals = [self._arrival(db, row, file) for file in fresh.values()]
        stamp = file_stamp(self.maildir.control, uidlist.NAME)
        if arrivals or not stamp or stamp != row.uidlist:
            self.adopt(db, row, arrivals, sort=True)
        if not (changed or gone or arrivals):
            row.modseq -= 1
        if move_new:
            self._move_new(db, row)
        (row.in_new,) = db.execute(
            "SELECT COUNT(*) FROM message WHERE mailbox = ? AND file >= 'new/' AND file < 'new0'", (row.id,)
        ).fetchone()
        self.settle(db, row)
        return row

    def settle(self, db: sqlite3.Connection, row: Row) -> None:
        """Take note of the directories' present stamps, after our own changes or a scan, and save the row."""
        row.scanned = self.maildir.stamp()
        row.unsettled = 0 if self.maildir.settled() else time.time_ns()
        save(db, row)

    def _claim(self, db: sqlite3.Connection, row: Row | None) -> Row:
        """The row to work on: made if there is none, reset if the maildir is another one than it was."""
        maildir = self.maildir
        inode = maildir.mail.stat().st_ino
        if row is not None:
            if row.uidlist == file_stamp(maildir.control, uidlist.NAME) and row.inode == inode:
                return row
            listed = self._read_uidlist()
            if (listed is None and row.inode == inode) or (listed and listed.uidvalidity == row.uidvalidity):
                row.inode = inode
                return row
            drop(db, row.id)
        # Where an index was lost, mod-sequences must not begin again below those that clients know.
        modseq = 1 if maildir.control.exists(uidlist.NAME) is False else time.time_ns() // 1_000_000
        new = Row(0, self.key, inode, "", 0, 1, 0, modseq, modseq, "", 0, "", "", 0)
        cursor = db.execute(
            f"INSERT INTO mailbox ({_COLUMNS}) VALUES ({', '.join('?' * len(fields(Row)))})",  # noqa: S608
            (None, *astuple(new)[1:]),
        )
        assert cursor.lastrowid is not None
        new.id = cursor.lastrowid
        return new

    def _without_duplicates(self, fresh: set[str], known: set[str]) -> dict[str, str]:
        """New files by base name. A second file of the same base is dropped or gets a name of its own."""
        result: dict[str, str] = {}
        if not fresh:
            return result
        taken = {_base(file): file for file in known}
        for file in sorted(fresh):
            base = _base(file)
            other = taken.get(base) or result.get(base)
            if other is not None:
                renamed = self._second_file(other, file)
                if renamed is None:
                    continue
                base, file = _base(renamed), renamed
            result[base] = file
        return result

    def _second_file(self, first: str, second: str) -> str | None:
        """Two files of one base name: the same mail linked twice (then one goes), or two mails (one is renamed)."""
        place, name = self.maildir.locate(second)
        other_place, other_name = self.maildir.locate(first)
        try:
            if place.stat(name).st_ino == other_place.stat(other_name).st_ino:
                place.unlink(name)
                return None
            info = filenames.split(name)[1]
            new_name = filenames.unique.next() + info
            place.rename(name, place, new_name)
        except FileNotFoundError:
            return None
        return second[:4] + new_name

    def _renamed(self, db: sqlite3.Connection, row: Row, fresh: dict[str, str], gone: dict[str, int]) -> int:
        """Files that others renamed: other flags, or moved from new/ to cur/. Takes them out of both maps."""
        both = fresh.keys() & gone.keys()
        names = self.keyword_names(db, row) if both else {}
        for base in both:
            file, uid = fresh.pop(base), gone.pop(base)
            info = filenames.split(file[4:])[1]
            old_bits, old_words = db.execute(
                "SELECT bits, keywords FROM message WHERE mailbox = ? AND uid = ?", (row.id, uid)
            ).fetchone()
            words = self._words(db, row, info, names, old_words)
            if filenames.bits(info) == old_bits and words == old_words:
                db.execute("UPDATE message SET file = ? WHERE mailbox = ? AND uid = ?", (file, row.id, uid))
                continue
            db.execute(
                "UPDATE message SET file = ?, bits = ?, keywords = ?, modseq = ? WHERE mailbox = ? AND uid = ?",
                (file, filenames.bits(info), words, row.modseq, row.id, uid),
            )
        return len(both)

    def _arrival(self, db: sqlite3.Connection, row: Row, file: str) -> Arrival:
        base, info = filenames.split(file[4:])
        words = self._words(db, row, info, self.keyword_names(db, row), "") if filenames.keyword_numbers(info) else ""
        return Arrival(file, filenames.bits(info), words, size=filenames.sizes(base)[1])

    def _move_new(self, db: sqlite3.Connection, row: Row) -> None:
        """Move mails from new/ to cur/, as a mail reader does on looking at them."""
        found = db.execute(
            "SELECT uid, file, bits, keywords FROM message WHERE mailbox = ? AND file >= 'new/' AND file < 'new0'",
            (row.id,),
        ).fetchall()
        for uid, file, _, _ in found:
            name = file[4:]
            target = name if ":" in name else name + ":2,"
            try:
                self.maildir.new.rename(name, self.maildir.cur, target)
            except FileNotFoundError:
                continue  # another program was faster; the next scan tells
            db.execute("UPDATE message SET file = ? WHERE mailbox = ? AND uid = ?", ("cur/" + target, row.id, uid))

    def _expunged(self, db: sqlite3.Connection, row: Row, uids: Iterable[int]) -> None:
        """Take messages out of the index and remember their UIDs for other sessions."""
        keys = [(row.id, uid) for uid in uids]
        db.executemany("DELETE FROM message WHERE mailbox = ? AND uid = ?", keys)
        db.executemany("DELETE FROM cache WHERE mailbox = ? AND uid = ?", keys)
        db.executemany(
            "INSERT OR REPLACE INTO expunged (mailbox, uid, modseq) VALUES (?, ?, ?)",
            [(*key, row.modseq) for key in keys],
        )
        (count,) = db.execute("SELECT COUNT(*) FROM expunged WHERE mailbox = ?", (row.id,)).fetchone()
        if count > _EXPUNGED_LIMIT:
            (row.floor,) = db.execute(
                "SELECT modseq FROM expunged WHERE mailbox = ? ORDER BY modseq LIMIT 1 OFFSET ?", (row.id, count // 2)
            ).fetchone()
            db.execute("DELETE FROM expunged WHERE mailbox = ? AND modseq <= ?", (row.id, row.floor))

    def expunge(self, db: sqlite3.Connection, row: Row, uids: Iterable[int]) -> None:
        """Like _expunged, as the next mod-sequence."""
        row.modseq += 1
        self._expunged(db, row, uids)

    # -- keywords -----------------------------------------------------------------------------------------------------

    def _sync_keywords(self, db: sqlite3.Connection, row: Row) -> None:
        """Read `dovecot-keywords` if another program changed it."""
        stamp = file_stamp(self.maildir.control, keywords.NAME)
        if stamp == row.keywords:
            return
        before = self.keyword_names(db, row)
        after = keywords.read(self.maildir.control)
        self._replace_keywords(db, row, before | after)
        if any(before.get(number, name) != name for number, name in after.items()):
            self._reread_keywords(db, row)
        row.keywords = stamp

    def _replace_keywords(self, db: sqlite3.Connection, row: Row, names: dict[int, str]) -> None:
        seen = set(self.seen_keywords(db, row))
        db.execute("DELETE FROM keyword WHERE mailbox = ?", (row.id,))
        db.executemany(
            "INSERT INTO keyword (mailbox, number, name, seen) VALUES (?, ?, ?, ?)",
            [(row.id, number, name, name in seen) for number, name in names.items()],
        )

    def _reread_keywords(self, db: sqlite3.Connection, row: Row) -> None:
        """A letter got another meaning: take the keywords of all messages from their file names again."""
        names = self.keyword_names(db, row)
        row.modseq += 1
        for uid, file in db.execute("SELECT uid, file FROM message WHERE mailbox = ?", (row.id,)).fetchall():
            info = filenames.split(file[4:])[1]
            if filenames.keyword_numbers(info):
                db.execute(
                    "UPDATE message SET keywords = ?, modseq = ? WHERE mailbox = ? AND uid = ?",
                    (self._words(db, row, info, names, ""), row.modseq, row.id, uid),
                )

    def add_keywords(self, db: sqlite3.Connection, row: Row, wanted: Sequence[str]) -> dict[int, str]:
        """Make sure that these keywords have numbers; returns all of them, number to name."""
        names = self.keyword_names(db, row)
        missing = [word for word in wanted if keywords.number_of(names, word) is None]
        if missing:
            names |= self._write_keywords(db, row, names, missing)
        self._see(
            db, row, [names[number] for word in wanted if (number := keywords.number_of(names, word)) is not None]
        )
        return names

    def _write_keywords(
        self,
        db: sqlite3.Connection,
        row: Row,
        names: dict[int, str],
        missing: list[str],
        numbered: dict[int, str] | None = None,
    ) -> dict[int, str]:
        if len(names) + len(missing) > KEYWORD_LIMIT:
            raise LimitExceeded("Too many keywords in mailbox")
        names = names | keywords.add(self.maildir.control, missing, numbered)
        self._replace_keywords(db, row, names)
        row.keywords = file_stamp(self.maildir.control, keywords.NAME)
        return names

    def _words(self, db: sqlite3.Connection, row: Row, info: str, names: dict[int, str], previous: str) -> str:
        """The keywords of a file name as text, together with those of `previous` that have no letter."""
        numbers = filenames.keyword_numbers(info)
        # A letter without a name was left by another program; Dovecot names it so, too.
        unknown = {number: f"unknown-{number}" for number in numbers if number not in names}
        if unknown:
            names.update(self._write_keywords(db, row, names, [], unknown))
        words = {names[number] for number in numbers}
        self._see(db, row, words)
        for number, name in names.items():
            if number >= filenames.KEYWORD_LETTERS and name in previous.split():
                words.add(name)
        return " ".join(sorted(words))

    # -- the uidlist --------------------------------------------------------------------------------------------------

    def _read_uidlist(self) -> uidlist.UidList | None:
        try:
            return uidlist.parse(self.maildir.control.read(uidlist.NAME, CONTROL_FILE_LIMIT))
        except FileNotFoundError:
            return None
        except Corrupt as error:
            log.error("%s: %s", self.maildir.control.path, error.reason)
            return None

    def adopt(self, db: sqlite3.Connection, row: Row, arrivals: list[Arrival], *, sort: bool = False) -> list[int]:
        """Give UIDs to new files, in the uidlist first, then in the index; returns them in the order given.

        Files that the uidlist already knows (another program gave them UIDs) keep those. Runs with row.modseq as the
        mod-sequence of the new messages.
        """
        if sort:
            arrivals.sort(key=lambda arrival: filenames.arrival_key(arrival.file[4:]))
        with dotlock(self.maildir.control, uidlist.NAME):
            before = file_stamp(self.maildir.control, uidlist.NAME)
            rewrite = False
            listed: dict[str, uidlist.Entry] = {}
            if before != row.uidlist or not before:
                found = self._read_uidlist()
                rewrite = self._take_over(db, row, found)
                listed = {entry.base: entry for entry in found.entries} if found else {}
            entries = self._number(db, row, arrivals, listed)
            self._insert(db, row, arrivals, entries)
            self._write_uidlist(db, row, [entry for entry in entries if entry.base not in listed], rewrite)
        return [entry.uid for entry in entries]

    def _take_over(self, db: sqlite3.Connection, row: Row, found: uidlist.UidList | None) -> bool:
        """Learn UIDVALIDITY and UIDNEXT from the uidlist; returns whether it has to be written anew."""
        if found is None:
            if not row.uidvalidity:
                row.uidvalidity = uidvalidity.following(self._validity_directory)
                row.first_recent = 1
            row.guid = row.guid or uidlist.new_guid()
            return True
        row.uidvalidity = found.uidvalidity
        row.uidnext = max(row.uidnext, found.uidnext)
        row.first_recent = row.first_recent or found.uidnext
        row.guid = found.guid or row.guid or uidlist.new_guid()
        listed = {entry.base for entry in found.entries}
        known = db.execute("SELECT file FROM message WHERE mailbox = ?", (row.id,))
        return found.truncated or not found.guid or any(_base(file) not in listed for (file,) in known)

    def _number(
        self, db: sqlite3.Connection, row: Row, arrivals: list[Arrival], listed: dict[str, uidlist.Entry]
    ) -> list[uidlist.Entry]:
        """A uidlist entry for each arrival."""
        entries = []
        for arrival in arrivals:
            base = _base(arrival.file)
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
        control = self.maildir.control
        if not rewrite and new:
            (count,) = db.execute("SELECT COUNT(*) FROM message WHERE mailbox = ?", (row.id,)).fetchone()
            rewrite = control.stat(uidlist.NAME).st_size > _UIDLIST_SLACK + _UIDLIST_LINE * count * 2
        durable = self.maildir.fsync == "always"
        if rewrite:
            rows = db.execute("SELECT uid, file, extra FROM message WHERE mailbox = ? ORDER BY uid", (row.id,))
            whole = [uidlist.Entry(uid, _base(file), extra) for uid, file, extra in rows]
            content = uidlist.UidList(row.uidvalidity, row.uidnext, row.guid, whole).format()
            temporary = f"{uidlist.NAME}.tmp"
            control.unlink(temporary, missing_ok=True)
            control.write(temporary, content, sync=durable)
            control.rename(temporary, control, uidlist.NAME)
        elif new:
            lines = "".join(entry.line() for entry in new).encode("utf-8", "surrogateescape")
            control.write(uidlist.NAME, lines, flags=os.O_APPEND, sync=durable)
        row.uidlist = file_stamp(control, uidlist.NAME)


def _base(file: str) -> str:
    """The base name of "cur/BASE:2,FLAGS"."""
    return file[4:].partition(":")[0]


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
