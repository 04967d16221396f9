"""STORE and EXPUNGE on an open mailbox: the files first, then the index, in one transaction."""

import os
import sqlite3
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from imap.store import filenames, keywords
from imap.store.access import may_set
from imap.store.errors import ReadOnly
from imap.store.rows import Row, flag_set, split_flags
from imap.store.types import SYSTEM_FLAGS, StoreMode, StoreResult

if TYPE_CHECKING:
    from imap.store.mailbox import Mailbox

_FEW = 500


class Found(NamedTuple):
    """What the index tells of a message."""

    uid: int
    file: str
    extra: str
    bits: int
    keywords: str
    modseq: int
    size: int | None
    date: int | None


def select(db: sqlite3.Connection, row: Row, uids: Iterable[int]) -> list[Found]:
    """The index rows of these UIDs that still exist, ascending."""
    wanted = set(uids)
    query = "SELECT uid, file, extra, bits, keywords, modseq, size, date FROM message WHERE mailbox = ?"
    if len(wanted) <= _FEW:
        query += f" AND uid IN ({', '.join('?' * len(wanted))}) ORDER BY uid"
        return [Found(*found) for found in db.execute(query, (row.id, *wanted))]
    return [Found(*found) for found in db.execute(query + " ORDER BY uid", (row.id,)) if found[0] in wanted]


def store(
    mailbox: "Mailbox", uids: Iterable[int], mode: StoreMode, flags: Iterable[str], unchanged_since: int | None
) -> StoreResult:
    """See Mailbox.store."""
    if mailbox.read_only:
        raise ReadOnly()
    bits, words = split_flags(flag for flag in flags if may_set(mailbox.rights, flag))
    if mode == "replace":  # what may not be set may not be taken away either
        others, _ = split_flags(flag for flag in SYSTEM_FLAGS if not may_set(mailbox.rights, flag))
        kept = others, not may_set(mailbox.rights, "keyword")
    else:
        kept = 0, False
    wanted = set(uids)
    changed: list[tuple[int, int, str]] = []
    modified: list[int] = []
    with mailbox.transaction() as (db, row):
        names = mailbox.box.words.add(db, row, words) if mode != "remove" else mailbox.box.words.names(db, row)
        words = [names[number] for word in words if (number := keywords.number_of(names, word)) is not None]
        numbers = {name: number for number, name in names.items()}
        found = select(db, row, wanted)
        for message in found:
            if unchanged_since is not None and message.modseq > unchanged_since:
                modified.append(message.uid)
                continue
            new_bits, new_words = _combine(mode, message, bits, words, kept)
            if (new_bits, new_words) == (message.bits, message.keywords):
                continue
            file = _rename(mailbox, message, new_bits, [numbers[word] for word in new_words.split()])
            if file is not None:
                changed.append((message.uid, new_bits, new_words))
                db.execute(
                    "UPDATE message SET file = ?, bits = ?, keywords = ?, modseq = ? WHERE mailbox = ? AND uid = ?",
                    (file, new_bits, new_words, row.modseq + 1, row.id, message.uid),
                )
        if changed:
            row.modseq += 1
            mailbox.box.settle(db, row)
        mailbox.keywords = mailbox.box.words.seen(db, row)
    for uid, new_bits, new_words in changed:
        mailbox.changed_here(uid, flag_set(new_bits, new_words), row.modseq)
    missing = wanted - {message.uid for message in found}
    return StoreResult(tuple(uid for uid, _, _ in changed), tuple(modified), tuple(sorted(missing)))


def _combine(mode: StoreMode, message: Found, bits: int, words: list[str], kept: tuple[int, bool]) -> tuple[int, str]:
    """The flags after the change, keywords as sorted text; ``kept``: bits, and whether keywords, that stay."""
    old = set(message.keywords.split())
    if mode == "replace":
        return bits | message.bits & kept[0], message.keywords if kept[1] else " ".join(sorted(words))
    if mode == "add":
        return message.bits | bits, " ".join(sorted(old | set(words)))
    return message.bits & ~bits, " ".join(sorted(old - set(words)))


def _rename(mailbox: "Mailbox", message: Found, bits: int, numbers: list[int]) -> str | None:
    """Write the flags into the file name. None if the file has gone: the next scan tells what became of it."""
    place, name = mailbox.box.maildir.locate(message.file)
    base, info = filenames.split(name)
    target = base + filenames.info(bits, numbers, info)
    if message.file == "cur/" + target:  # only keywords without a letter changed
        os.utime(mailbox.box.maildir.cur.fd)  # other sessions look at the time stamps
        return message.file
    try:
        place.rename(name, mailbox.box.maildir.cur, target)
    except FileNotFoundError:
        return None
    return "cur/" + target


def expunge(mailbox: "Mailbox", uids: Iterable[int] | None) -> tuple[int, ...]:
    """See Mailbox.expunge."""
    if mailbox.read_only:
        raise ReadOnly()
    wanted = None if uids is None else set(uids)
    with mailbox.transaction() as (db, row):
        query = "SELECT uid, file FROM message WHERE mailbox = ? AND bits & ? ORDER BY uid"
        found = [
            (uid, file)
            for uid, file in db.execute(query, (row.id, filenames.BIT_DELETED))
            if wanted is None or uid in wanted
        ]
        remove(mailbox, db, row, found)
    return tuple(uid for uid, _ in found)


def remove(mailbox: "Mailbox", db: sqlite3.Connection, row: Row, found: list[tuple[int, str]]) -> None:
    """Unlink these messages (UID, file) and take them out of the index and the view."""
    if not found:
        return
    for _, file in found:
        place, name = mailbox.box.maildir.locate(file)
        place.unlink(name, missing_ok=True)
    mailbox.box.expunge(db, row, [uid for uid, _ in found])
    mailbox.box.settle(db, row)
    for uid, _ in found:
        mailbox.messages.depart(uid)
