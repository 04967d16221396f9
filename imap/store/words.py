"""The keywords of a mailbox: `dovecot-keywords` on disk, the table `keyword` in the index, letters in file names."""

import sqlite3
from collections.abc import Iterable, Sequence

from imap.store import filenames, keywords
from imap.store.errors import LimitExceeded
from imap.store.jail import Directory, file_stamp
from imap.store.rows import Row

# Each keyword costs a line in every FLAGS response; a client that makes more is broken or hostile.
KEYWORD_LIMIT = 1000


class KeywordTable:
    """Keeps file and table together. Methods that change something run inside Index.write()."""

    def __init__(self, control: Directory) -> None:
        self._control = control

    def names(self, db: sqlite3.Connection, row: Row) -> dict[int, str]:
        """Number to keyword."""
        return dict(db.execute("SELECT number, name FROM keyword WHERE mailbox = ? ORDER BY number", (row.id,)))

    def seen(self, db: sqlite3.Connection, row: Row) -> tuple[str, ...]:
        """The keywords that any message has ever had here."""
        found = db.execute("SELECT name FROM keyword WHERE mailbox = ? AND seen ORDER BY number", (row.id,))
        return tuple(name for (name,) in found)

    def _see(self, db: sqlite3.Connection, row: Row, words: Iterable[str]) -> None:
        db.executemany(
            "UPDATE keyword SET seen = 1 WHERE mailbox = ? AND name = ? AND NOT seen",
            [(row.id, word) for word in words],
        )

    def sync(self, db: sqlite3.Connection, row: Row) -> None:
        """Read `dovecot-keywords` if another program changed it."""
        stamp = file_stamp(self._control, keywords.NAME)
        if stamp == row.keywords:
            return
        before = self.names(db, row)
        after = keywords.read(self._control)
        self._replace(db, row, before | after)
        if any(before.get(number, name) != name for number, name in after.items()):
            self._reread(db, row)
        row.keywords = stamp

    def _replace(self, db: sqlite3.Connection, row: Row, names: dict[int, str]) -> None:
        seen = set(self.seen(db, row))
        db.execute("DELETE FROM keyword WHERE mailbox = ?", (row.id,))
        db.executemany(
            "INSERT INTO keyword (mailbox, number, name, seen) VALUES (?, ?, ?, ?)",
            [(row.id, number, name, name in seen) for number, name in names.items()],
        )

    def _reread(self, db: sqlite3.Connection, row: Row) -> None:
        """A letter got another meaning: take the keywords of all messages from their file names again."""
        names = self.names(db, row)
        row.modseq += 1
        for uid, file in db.execute("SELECT uid, file FROM message WHERE mailbox = ?", (row.id,)).fetchall():
            info = filenames.split(file[4:])[1]
            if filenames.keyword_numbers(info):
                db.execute(
                    "UPDATE message SET keywords = ?, modseq = ? WHERE mailbox = ? AND uid = ?",
                    (self.words(db, row, info, names, ""), row.modseq, row.id, uid),
                )

    def add(self, db: sqlite3.Connection, row: Row, wanted: Sequence[str]) -> dict[int, str]:
        """Make sure that these keywords have numbers; returns all of them, number to name."""
        names = self.names(db, row)
        missing = [word for word in wanted if keywords.number_of(names, word) is None]
        if missing:
            names |= self._write(db, row, names, missing)
        self._see(
            db, row, [names[number] for word in wanted if (number := keywords.number_of(names, word)) is not None]
        )
        return names

    def _write(
        self,
        db: sqlite3.Connection,
        row: Row,
        names: dict[int, str],
        missing: list[str],
        numbered: dict[int, str] | None = None,
    ) -> dict[int, str]:
        if len(names) + len(missing) > KEYWORD_LIMIT:
            raise LimitExceeded("Too many keywords in mailbox")
        names = names | keywords.add(self._control, missing, numbered)
        self._replace(db, row, names)
        row.keywords = file_stamp(self._control, keywords.NAME)
        return names

    def words(self, db: sqlite3.Connection, row: Row, info: str, names: dict[int, str], previous: str) -> str:
        """The keywords of a file name as text, together with those of `previous` that have no letter."""
        numbers = filenames.keyword_numbers(info)
        # A letter without a name was left by another program; Dovecot names it so, too.
        unknown = {number: f"unknown-{number}" for number in numbers if number not in names}
        if unknown:
            names.update(self._write(db, row, names, [], unknown))
        words = {names[number] for number in numbers}
        self._see(db, row, words)
        for number, name in names.items():
            if number >= filenames.KEYWORD_LETTERS and name in previous.split():
                words.add(name)
        return " ".join(sorted(words))
