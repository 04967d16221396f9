"""One mailbox in the index: the reconciliation of index, maildir and control files."""

import sqlite3
import time
from collections.abc import Iterable

from imap.store import filenames, keywords, replacing, uidlist
from imap.store.errors import StoreError
from imap.store.jail import Directory, file_stamp
from imap.store.maildir import SETTLE_NS, Maildir
from imap.store.numbering import Numbering
from imap.store.rows import Arrival, Row, base_of, drop, insert, load, save
from imap.store.words import KeywordTable

# Expunged UIDs are remembered for QRESYNC up to this many per mailbox, then the older half is forgotten.
_EXPUNGED_LIMIT = 20_000


class Box:
    """A maildir together with its row. All methods that change something run inside Index.write().

    `root` is the mail root; `validity_directory` holds the counter for new UIDVALIDITYs.
    """

    def __init__(self, root: Directory, maildir: Maildir, validity_directory: Directory) -> None:
        self.maildir = maildir
        self.words = KeywordTable(maildir.control)
        self.numbering = Numbering(maildir.control, validity_directory, maildir.fsync)
        self._root = root
        self.key = maildir.folder.key

    # -- looking ------------------------------------------------------------------------------------------------------

    def is_current(self, row: Row, *, move_new: bool) -> bool:
        """Whether the row still tells the truth about the disk."""
        maildir = self.maildir
        if (move_new and row.in_new) or row.scanned != maildir.stamp():
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

    # -- reconciliation -----------------------------------------------------------------------------------------------

    def sync(self, db: sqlite3.Connection, *, move_new: bool, force: bool = False) -> Row:
        """Bring the row up to date with the disk; `move_new` also moves mails from new/ to cur/."""
        row = load(db, self.key)
        if row is not None and not force and self.is_current(row, move_new=move_new):
            return row
        replacing.finish(self.maildir, self._root)
        row = self._claim(db, row)
        self.words.sync(db, row)
        known: dict[str, int] = dict(db.execute("SELECT file, uid FROM message WHERE mailbox = ?", (row.id,)))
        files = self._list(known)
        fresh = self._without_duplicates(files - known.keys(), files & known.keys())
        gone = {base_of(file): uid for file, uid in known.items() if file not in files}
        row.modseq += 1
        changed = self._renamed(db, row, fresh, gone)
        if gone:
            self._expunged(db, row, gone.values())
        arrivals = [self._arrival(db, row, file) for file in fresh.values()]
        stamp = file_stamp(self.maildir.control, uidlist.NAME)
        if arrivals or not stamp or stamp != row.uidlist:
            self.numbering.adopt(db, row, arrivals, sort=True)
        if not (changed or gone or arrivals):
            row.modseq -= 1
        if move_new:
            self._move_new(db, row)
        (row.in_new,) = db.execute(
            "SELECT COUNT(*) FROM message WHERE mailbox = ? AND file >= 'new/' AND file < 'new0'", (row.id,)
        ).fetchone()
        self.settle(db, row)
        return row

    def _list(self, known: Iterable[str]) -> set[str]:
        """The mail files. A file that another program renames during the listing can be missed by it (readdir(3)), and
        within one timer tick the directory's time stamp does not tell: before mail counts as gone, look once more.
        """
        files, _ = self.maildir.scan()
        bases = {base_of(file) for file in files}
        if not self.maildir.settled() and any(base_of(file) not in bases for file in known if file not in files):
            time.sleep(SETTLE_NS / 1e9)
            files, _ = self.maildir.scan()
        return files

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
            listed = self.numbering.read()
            if (listed is None and row.inode == inode) or (listed and listed.uidvalidity == row.uidvalidity):
                row.inode = inode
                return row
            drop(db, row.id)
        # Where an index was lost, mod-sequences must not begin again below those that clients know.
        modseq = 1 if maildir.control.exists(uidlist.NAME) is False else time.time_ns() // 1_000_000
        return insert(db, Row(0, self.key, inode, "", 0, 1, 0, modseq, modseq, "", 0, "", "", 0))

    def _without_duplicates(self, fresh: set[str], known: set[str]) -> dict[str, str]:
        """New files by base name. A second file of the same base is dropped or gets a name of its own."""
        result: dict[str, str] = {}
        if not fresh:
            return result
        taken = {base_of(file): file for file in known}
        for file in sorted(fresh):
            base = base_of(file)
            other = taken.get(base) or result.get(base)
            if other is not None:
                renamed = self._second_file(other, file)
                if renamed is None:
                    continue
                base, file = base_of(renamed), renamed
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
        names = self.words.names(db, row) if both else {}
        for base in both:
            file, uid = fresh.pop(base), gone.pop(base)
            info = filenames.split(file[4:])[1]
            old_bits, old_words = db.execute(
                "SELECT bits, keywords FROM message WHERE mailbox = ? AND uid = ?", (row.id, uid)
            ).fetchone()
            words = self.words.words(db, row, info, names, old_words)
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
        words = (
            self.words.words(db, row, info, self.words.names(db, row), "") if filenames.keyword_numbers(info) else ""
        )
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
        """Take messages out of the index and remember their UIDs and last flags for other sessions."""
        keys = [(row.id, uid) for uid in uids]
        db.executemany(
            "INSERT OR REPLACE INTO expunged (mailbox, uid, modseq, bits) "
            "SELECT mailbox, uid, ?, bits FROM message WHERE mailbox = ? AND uid = ?",
            [(row.modseq, *key) for key in keys],
        )
        db.executemany("DELETE FROM message WHERE mailbox = ? AND uid = ?", keys)
        db.executemany("DELETE FROM cache WHERE mailbox = ? AND uid = ?", keys)
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
