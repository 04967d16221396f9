"""A session's view of the selected mailbox: sequence numbers, and what the client has been told (RFC 3501 section 5.5).

The store knows messages by UID. The client counts them from 1, and may only be told that numbers moved when the
command at hand allows it; until then an expunged message keeps its number here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

from imap.imap4 import sequence
from imap.imap4.search.update import Updates
from imap.imap4.sequence import SequenceSet
from imap.store import Mailbox, Message
from imap.store.access import may_set

Write = Callable[[bytes], None]

# Mailboxes have few different sets of flags; so many are remembered as they are written.
MAX_WRITTEN = 256

# Keywords that a client may name without giving them to a message, and that are told it as known.
MAX_MENTIONED = 32

_SYSTEM = ("\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft")


def flag_list(names: Iterable[str]) -> bytes:
    """``(\\Seen kw)``, in the order given."""
    return b"(" + " ".join(names).encode() + b")"


class View:
    """One session's sequence numbers over one open mailbox."""

    def __init__(
        self, mailbox: Mailbox, *, condstore: bool, qresync: bool, extensions: bool = False, rev2: bool = False
    ) -> None:
        self.mailbox = mailbox
        for uid in list(mailbox.messages.departed):  # before the client had counted anything
            mailbox.messages.forget(uid)
        self.rev2 = rev2  # whether the client speaks IMAP4rev2, which has no \\Recent
        self.extensions = extensions  # whether the client may ask for what Dovecot has not
        self.condstore = condstore
        self.qresync = qresync
        self.recent = mailbox.count_recent()
        self._recent_told = self.recent
        self.updates = Updates(self)
        self._touched: set[int] = set()  # flags changed by this session itself since the last sync
        self.saved: list[int] = []  # UIDs of the last SEARCH RETURN (SAVE), RFC 5182
        self._whole_modseq = mailbox.highest_modseq  # up to which the client has been told everything
        self._told_modseq = 0  # the highest MODSEQ sent since the last sync
        self._written: dict[tuple[frozenset[str], bool], bytes] = {}  # FLAGS lists by what they say
        self._gone: list[int] = []  # expunged, the client not yet told
        self._mentioned: list[str] = []  # keywords that the client named and no message has
        self._keywords_told = True

    @property
    def uids(self) -> array[int]:
        """The UIDs in the order of their numbers, as the client counts them."""
        return self.mailbox.messages.uids

    def __len__(self) -> int:
        return len(self.uids)

    def number(self, uid: int) -> int:
        """The sequence number of a UID, 0 when the view has none."""
        return self.mailbox.messages.position(uid) + 1

    def message(self, number: int) -> Message | None:
        """The message with that number, expunged ones too as long as the client does not know (RFC 2180 section 4.1).

        None when nothing is known of it any more.
        """
        uid = self.uids[number - 1]
        return self.mailbox.messages.get(uid) or self.mailbox.messages.departed.get(uid)

    def messages(self, numbers: range) -> list[Message] | None:
        """The messages with these numbers, which are there; None where one of them was expunged."""
        return self.mailbox.messages.select(self.uids[numbers.start - 1 : numbers.stop - 1])

    def ranges(self, text: bytes, *, uid: bool) -> list[range]:
        """The sequence numbers of a set as the client wrote it, ascending. Raises Bad."""
        if text == b"$":
            return [range(number, number + 1) for number in map(self.number, self.saved) if number]
        parsed = SequenceSet.parse(text, "Invalid UID messageset" if uid else "Invalid messageset")
        return parsed.uid_positions(self.uids) if uid else parsed.positions(len(self.uids))

    def numbers(self, text: bytes, *, uid: bool) -> Iterator[int]:
        """As :meth:`ranges`, one by one."""
        return (number for each in self.ranges(text, uid=uid) for number in each)

    # What the client is told

    def flags(self, message: Message) -> bytes:
        """The FLAGS list of a message, \\Recent included."""
        recent = message.recent and not self.rev2
        known = self._written.get((message.flags, recent))
        if known is None:
            if len(self._written) >= MAX_WRITTEN:
                self._written.clear()
            known = self._written[message.flags, recent] = self._write_flags(message, recent=recent)
        return known

    @staticmethod
    def _write_flags(message: Message, *, recent: bool) -> bytes:
        names = [name for name in _SYSTEM if name in message.flags]
        if recent:
            names.append("\\Recent")
        if len(message.flags) > len(names) - recent:
            names += sorted(name for name in message.flags if not name.startswith("\\"))
        return flag_list(names)

    def mention(self, names: Iterable[str]) -> None:
        """The client named these flags: as with Dovecot, FLAGS lists the keywords among them from now on."""
        have = {name.lower() for name in (*self.mailbox.keywords, *self._mentioned)}
        for name in names:
            if name.lower() not in have and not name.startswith("\\") and len(self._mentioned) < MAX_MENTIONED:
                self._mentioned.append(name)
                have.add(name.lower())
                self._keywords_told = False

    def tell_keywords(self, write: Write) -> None:
        """FLAGS and PERMANENTFLAGS, as at SELECT and whenever a keyword is new."""
        self._keywords_told = True
        have = {name.lower() for name in self.mailbox.keywords}
        self._mentioned = [name for name in self._mentioned if name.lower() not in have]
        known = (*_SYSTEM, *self.mailbox.keywords, *self._mentioned)
        write(b"* FLAGS " + flag_list(known) + b"\r\n")
        rights = self.mailbox.rights
        permanent = () if self.mailbox.read_only else [flag for flag in (*known, "\\*") if may_set(rights, flag)]
        text = b"Read-only mailbox." if self.mailbox.read_only else b"Flags permitted."
        write(b"* OK [PERMANENTFLAGS " + flag_list(permanent) + b"] " + text + b"\r\n")

    def tell_flags(self, write: Write, uids: Iterable[int], *, uid: bool) -> None:
        """FETCH responses with the flags of messages (and MODSEQ once CONDSTORE is on)."""
        for each in uids:
            number = self.number(each)
            message = self.message(number) if number else None
            if message is None:
                continue
            with_uid = b"UID %d " % each if uid or self.qresync else b""
            modseq = b"MODSEQ (%d) " % message.modseq if self.condstore else b""
            self._told_modseq = max(self._told_modseq, message.modseq)
            write(b"* %d FETCH (%b%bFLAGS %b)\r\n" % (number, with_uid, modseq, self.flags(message)))

    def sync(self, write: Write, *, expunges: bool, uid: bool = False) -> tuple[int, ...]:
        """Take in what happened to the mailbox and tell it: flags, then expunges (if allowed now), then new mail.

        Returns the UIDs of the new mail. Raises MailboxDeleted.
        """
        changes = self.mailbox.sync()
        if not (changes or self._gone or self._touched or not self._keywords_told):
            return ()
        self._gone.extend(changes.expunged)
        if changes.keywords or not self._keywords_told:
            self.tell_keywords(write)
        self.tell_flags(write, changes.flags if expunges else sorted({*changes.flags, *changes.restated}), uid=uid)
        moved = bool(self._gone or changes.appended)
        if expunges:
            self.tell_expunges(write)
        if changes.appended:
            self.recent += sum(map(self.mailbox.is_recent, changes.appended))
            write(b"* %d EXISTS\r\n" % len(self.uids))
        if moved:
            self.tell_recent(write)
        self.updates.changed(write, self._touched.union(changes.flags, changes.appended))
        self._touched.clear()
        return changes.appended

    def told_modseq(self, modseq: int) -> None:
        """Note that a FETCH response had this MODSEQ."""
        self._told_modseq = max(self._told_modseq, modseq)

    def modseq_to_tell(self) -> int | None:
        """The HIGHESTMODSEQ that a QRESYNC client must hear of after a sync, None where it can tell by itself.

        With expunges held back it is the one before them: a client that remembers a later one would never hear of them.
        """
        told, self._told_modseq = self._told_modseq, 0
        if self._gone:
            return self._whole_modseq if self.qresync and told > self._whole_modseq else None
        before, self._whole_modseq = self._whole_modseq, self.mailbox.highest_modseq
        news = self.qresync and self._whole_modseq > max(before, told)
        return self._whole_modseq if news else None

    def tell_recent(self, write: Write) -> None:
        """RECENT, when it changed."""
        if self.recent != self._recent_told and not self.rev2:
            self._recent_told = self.recent
            write(b"* %d RECENT\r\n" % self.recent)

    def touched(self, uids: Iterable[int]) -> None:
        """Note messages whose flags this session changed itself."""
        self._touched.update(uids)

    def expunged(self, uids: Iterable[int]) -> None:
        """Note messages that this session expunged itself; told by :meth:`tell_expunges`."""
        self._gone.extend(uids)

    def tell_expunges(self, write: Write) -> None:
        """EXPUNGE (or VANISHED) for every message that went, highest number first; their numbers are free then."""
        gone = sorted(uid for uid in set(self._gone) if self.number(uid))
        self._gone.clear()
        if not gone:
            return
        self.updates.expunging(write, gone)
        if self.qresync:
            write(b"* VANISHED " + sequence.write(gone) + b"\r\n")
        for uid in reversed(gone):
            if not self.qresync:
                write(b"* %d EXPUNGE\r\n" % self.number(uid))
            self.mailbox.messages.forget(uid)
            self.recent -= self.mailbox.is_recent(uid)
        lost = set(gone)
        self.saved = [uid for uid in self.saved if uid not in lost]
