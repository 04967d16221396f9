"""Counts and sizes of a mailbox that no session has open: for STATUS and quota."""

import sqlite3

from imap.store.box import Box
from imap.store.index import DELETED, UNSEEN, Index
from imap.store.maildir import crlf_size
from imap.store.rows import Row, load
from imap.store.types import Status


def _current(box: Box, index: Index) -> tuple[sqlite3.Connection, Row]:
    """The mailbox's row, brought up to date with the disk; new mail stays new."""
    index.refresh()
    row = load(index.connection, box.key)
    if row is None or not box.is_current(row, move_new=False):
        with index.write() as db:
            row = box.sync(db, move_new=False)
    return index.connection, row


def count(box: Box, index: Index, size: int | None) -> Status:
    """What STATUS tells; `size` is passed through."""
    db, row = _current(box, index)
    counts = [
        db.execute(f"SELECT COUNT(*) FROM message WHERE mailbox = ? AND {condition}", (row.id,)).fetchone()[0]  # noqa: S608
        for condition in ("TRUE", UNSEEN, DELETED, f"uid >= {row.first_recent}")
    ]
    messages, unseen, deleted, recent = counts
    return Status(
        messages=messages,
        recent=recent,
        unseen=unseen,
        deleted=deleted,
        uidnext=row.uidnext,
        uidvalidity=row.uidvalidity,
        highest_modseq=row.modseq,
        guid=row.guid,
        size=size,
    )


def measure(box: Box, index: Index) -> tuple[int, int]:
    """(octets with CRLF line ends, messages) of a mailbox; sizes not known yet are measured and remembered."""
    db, row = _current(box, index)
    query = "SELECT uid, file FROM message WHERE mailbox = ? AND size IS NULL"
    unknown = [
        (crlf_size(box.maildir.read(file)), row.id, uid)
        for uid, file in db.execute(query, (row.id,)).fetchall()
        if box.maildir.has(file)
    ]
    if unknown:
        with index.write() as db:
            db.executemany("UPDATE message SET size = ? WHERE mailbox = ? AND uid = ?", unknown)
    size, count = db.execute(
        "SELECT COALESCE(SUM(size), 0), COUNT(*) FROM message WHERE mailbox = ?", (row.id,)
    ).fetchone()
    return int(size), int(count)
