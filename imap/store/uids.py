"""All UIDs of a big mailbox as one value in the index: reading a million rows takes longer than anyone waits for.

The value is as old as its mod-sequence says; what came and went since is put right when it is read.
"""

from __future__ import annotations

import sqlite3
from array import array
from itertools import chain

from imap.store.rows import Row

# A mailbox with fewer messages is read row by row.
BIG = 20_000
_KEY = "uids"
_STALE = 16  # the value is written anew when this fraction of it has changed


def load(db: sqlite3.Connection, row: Row) -> tuple[array[int], bool]:
    """The UIDs, ascending, and whether :func:`keep` should be called with them."""
    found = db.execute("SELECT value FROM cache WHERE mailbox = ? AND uid = 0 AND key = ?", (row.id, _KEY)).fetchone()
    uids = array("I")
    since = -1
    if found is not None:
        since = int.from_bytes(found[0][:8])
        uids.frombytes(found[0][8:])
    if since < row.floor:  # not all that went since is remembered
        del uids[:]
    known = len(uids)
    if uids:
        query = "SELECT uid FROM expunged WHERE mailbox = ? AND modseq > ?"
        gone = set(chain.from_iterable(db.execute(query, (row.id, since))))
        if gone:
            uids = array("I", [uid for uid in uids if uid not in gone])
    changed = known - len(uids)
    last = uids[-1] if uids else 0
    query = "SELECT uid FROM message WHERE mailbox = ? AND uid > ? ORDER BY uid"
    uids.extend(chain.from_iterable(db.execute(query, (row.id, last))))
    changed += len(uids) - (known - changed)
    return uids, len(uids) > BIG and changed > len(uids) // _STALE


def keep(db: sqlite3.Connection, row: Row, uids: array[int]) -> None:
    """Remember them; they are those of the row's mod-sequence, or newer."""
    value = row.modseq.to_bytes(8) + uids.tobytes()
    db.execute("INSERT OR REPLACE INTO cache (mailbox, uid, key, value) VALUES (?, 0, ?, ?)", (row.id, _KEY, value))


def forget(db: sqlite3.Connection, row: Row) -> None:
    """A message has come in between others: what is remembered would not have it."""
    db.execute("DELETE FROM cache WHERE mailbox = ? AND uid = 0 AND key = ?", (row.id, _KEY))
