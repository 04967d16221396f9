"""APPEND, COPY and MOVE: messages get their file, then their UID, then their row, all of a command or none."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from imap.store import changes, filenames, replacing
from imap.store.access import may_set
from imap.store.acl import ALL
from imap.store.box import Box
from imap.store.errors import Expunged, ReadOnly
from imap.store.index import Index
from imap.store.maildir import Maildir, Saved, disk_error
from imap.store.rows import Arrival, Row, base_of, flag_set, load_by_id, split_flags
from imap.store.types import AppendResult, CopyResult, NewMail

if TYPE_CHECKING:
    from imap.store.mailbox import Mailbox


class Destinations(Protocol):
    """Opens mailboxes by name for writing into them: the user's store."""

    def destination(self, name: str) -> contextlib.AbstractContextManager[tuple[Box, Index]]:
        """The mailbox's box and index. Raises NonExistent, InvalidName."""
        ...

    def rights(self, name: str) -> frozenset[str]:
        """What the user may do there."""
        ...

    def admit(self, name: str, size: int, count: int) -> None:
        """Raises OverQuota."""
        ...


def append(
    box: Box, index: Index, mails: Sequence[NewMail], ready: Callable[[Saved], None] | None = None
) -> AppendResult:
    """Store new mails: all or none. They are durable when this returns.

    `ready` is told of each before it gets its name.
    """
    maildir = box.maildir
    saved = []
    try:
        for mail in mails:
            data, date = mail.data, mail.internal_date
            saved.append(maildir.save(data, date) if isinstance(data, bytes) else data.finish(date))
    except BaseException:
        for item in saved:
            maildir.forget(item)
        raise
    with index.write() as db:
        row = box.sync(db, move_new=False)
        row.modseq += 1
        arrivals: list[Arrival] = []
        with _undo_on_error(maildir, arrivals):
            for item, mail in zip(saved, mails, strict=True):
                bits, words = split_flags(mail.flags)
                names = box.words.add(db, row, words)
                file, text = _final_name(item.base, bits, words, names)
                if ready is not None:
                    ready(item)
                maildir.publish(item, file)
                arrivals.append(Arrival(file, bits, text, size=item.size, date=item.date))
            maildir.settle(*{arrival.file[:3] for arrival in arrivals})
            uids = box.numbering.adopt(db, row, arrivals)
        row.in_new += sum(arrival.file.startswith("new/") for arrival in arrivals)
        box.settle(db, row)
    return AppendResult(row.uidvalidity, tuple(uids))


def replace(mailbox: "Mailbox", uid: int, destinations: Destinations, name: str, mail: NewMail) -> AppendResult:
    """See Mailbox.replace."""
    if mailbox.read_only:
        raise ReadOnly()
    destinations.admit(name, mail.size, 1)
    rights = destinations.rights(name)
    mail = permitted(mail, rights)
    with destinations.destination(name) as (box, index), mailbox.transaction() as (db, row):
        found = changes.select(db, row, [uid])
        if not found:
            raise Expunged()
        source, old = mailbox.box.maildir, base_of(found[0].file)
        try:
            result = append(box, index, [mail], lambda saved: replacing.note(source, old, box.maildir, saved.base))
            row = load_by_id(db, row.id) or row  # it may be the mailbox that the new mail came into
            changes.remove(mailbox, db, row, [(uid, found[0].file)])
        finally:
            replacing.done(source)
    return appended(result, rights)


def permitted(mail: NewMail, rights: frozenset[str]) -> NewMail:
    """A mail with the flags that may be set where it goes."""
    return mail if rights == ALL else dataclasses.replace(mail, flags=[f for f in mail.flags if may_set(rights, f)])


def appended(result: AppendResult, rights: frozenset[str]) -> AppendResult:
    """The result for a client who may not be allowed to see what became of his mail."""
    return result if "r" in rights else dataclasses.replace(result, uids=())


def _final_name(base: str, bits: int, words: Sequence[str], names: dict[int, str]) -> tuple[str, str]:
    """The file for these flags, and the keywords as text. A mail without flags goes to new/, as Dovecot does."""
    numbers = {name.casefold(): number for number, name in names.items()}
    chosen = sorted({names[numbers[word.casefold()]] for word in words})
    if not bits and not words:
        return "new/" + base, ""
    return "cur/" + base + filenames.info(bits, [numbers[word.casefold()] for word in words]), " ".join(chosen)


@contextmanager
def _undo_on_error(maildir: Maildir, arrivals: list[Arrival]) -> Iterator[None]:
    """Take published files back if the command fails."""
    try:
        yield
    except BaseException as error:
        for arrival in arrivals:
            place, name = maildir.locate(arrival.file)
            place.unlink(name, missing_ok=True)
        if isinstance(error, OSError):
            raise disk_error(error) from error
        raise


def copy(
    mailbox: "Mailbox", destinations: Destinations, uids: Iterable[int], destination: str, *, move: bool
) -> CopyResult:
    """See Mailbox.copy and Mailbox.move."""
    uids = {uid for uid in uids if mailbox.messages.position(uid) >= 0}
    if move and mailbox.read_only:
        raise ReadOnly()
    rights = destinations.rights(destination)
    with destinations.destination(destination) as (box, index):
        if not move:  # a move needs no room
            sizes = [view.size for uid in uids if (view := mailbox.messages.get(uid)) is not None]
            destinations.admit(destination, sum(sizes), len(sizes))
        if index is not mailbox.index:
            return _copy_across(mailbox, box, index, uids, rights, move=move)
        with mailbox.transaction() as (db, row):
            same = box.key == mailbox.box.key
            target = row if same else box.sync(db, move_new=False)
            found = changes.select(db, row, uids)
            if len(found) < len(uids):
                raise Expunged()
            target.modseq += 1
            arrivals: list[Arrival] = []
            with _undo_on_error(box.maildir, arrivals):
                for message in found:
                    arrivals.append(_link(mailbox, db, box, target, _allowed(message, rights)))
                box.maildir.settle(*{arrival.file[:3] for arrival in arrivals})
                new = box.numbering.adopt(db, target, arrivals)
            target.in_new += sum(arrival.file.startswith("new/") for arrival in arrivals)
            box.settle(db, target)
            if move:
                changes.remove(mailbox, db, row, [(message.uid, message.file) for message in found])
    return _copied(target.uidvalidity, [message.uid for message in found], new, rights)


def _link(mailbox: "Mailbox", db: object, box: Box, target: Row, message: changes.Found) -> Arrival:
    """Give a message's file a second name in the destination: no octet is copied, the date stays."""
    base, _ = filenames.split(message.file[4:])
    known, size = filenames.sizes(base)
    size = message.size if message.size is not None else size
    new_base = filenames.unique.next()
    if known is not None:
        new_base += f",S={known}"
    if size is not None:
        new_base += f",W={size}"
    fields = {part[0]: part[1:] for part in message.extra.split()}
    guid = fields.get("G") or base
    words = message.keywords.split()
    names = box.words.add(mailbox.index.connection, target, words)
    file, text = _final_name(new_base, message.bits, words, names)
    source, name = mailbox.box.maildir.locate(message.file)
    place, new_name = box.maildir.locate(file)
    try:
        source.link(name, place, new_name)
    except FileNotFoundError as error:
        raise Expunged() from error
    return Arrival(file, message.bits, text, f"G{guid}", size, message.date)


def _copied(uidvalidity: int, source: Sequence[int], new: Sequence[int], rights: frozenset[str]) -> CopyResult:
    """The result for the client, who may not be allowed to see what became of his copies."""
    return CopyResult(uidvalidity, tuple(source), tuple(new) if "r" in rights else ())


def _allowed(message: changes.Found, rights: frozenset[str]) -> changes.Found:
    """A message with the flags that may be set where it goes."""
    if rights == ALL:
        return message
    bits, words = split_flags(flag for flag in flag_set(message.bits, message.keywords) if may_set(rights, flag))
    return message._replace(bits=bits, keywords=" ".join(sorted(words)))


def _copy_across(
    mailbox: "Mailbox", box: Box, index: Index, uids: set[int], rights: frozenset[str], *, move: bool
) -> CopyResult:
    """Copy into another location, which has an index of its own."""
    present = sorted(uids)
    if any(uid not in mailbox.messages for uid in uids):
        raise Expunged()
    mails = [
        NewMail(
            mailbox.read(uid),
            [flag for flag in mailbox.messages[uid].flags if may_set(rights, flag)],
            mailbox.messages[uid].internal_date,
        )
        for uid in present
    ]
    result = append(box, index, mails)
    if move:
        with mailbox.transaction() as (db, row):
            found = changes.select(db, row, present)
            changes.remove(mailbox, db, row, [(message.uid, message.file) for message in found])
    return _copied(result.uidvalidity, present, result.uids, rights)
