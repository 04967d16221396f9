"""SEARCH, SORT and THREAD with their UID forms; RETURN options of ESEARCH, ESORT, SEARCHRES (RFC 4731, 5267, 5182)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from imap.imap4 import sequence
from imap.imap4.arguments import Arguments, Atom, Quoted
from imap.imap4.commands.base import Command, Flush, Reply, State
from imap.imap4.commands.message import enable_condstore, selected
from imap.imap4.content import Content
from imap.imap4.errors import Bad, No
from imap.imap4.search.cost import BODY, HEADER
from imap.imap4.search.keys import Key, KeyReader
from imap.imap4.search.order import RELEVANCY, SortProgram, field, sent_date
from imap.imap4.search.subject import base_subject
from imap.imap4.search.text import decode_words
from imap.imap4.search.thread import ALGORITHMS, Threadable, message_ids, write_threads
from imap.imap4.search.update import Update
from imap.imap4.syntax import string
from imap.imap4.view import View
from imap.store import Expunged

if TYPE_CHECKING:
    from imap.imap4.session import Session

T = TypeVar("T")

_RETURN = ("MIN", "MAX", "COUNT", "ALL", "SAVE", "PARTIAL", "UPDATE", "CONTEXT", "RELEVANCY")
_PARTIAL = re.compile(rb"([1-9][0-9]{0,9}):([1-9][0-9]{0,9})")


class Search(Command):
    """SEARCH [RETURN (options)] [CHARSET name] keys."""

    name = "SEARCH"
    states = State.SELECTED
    takes_uid = True
    flush = Flush.NEWS

    returns: frozenset[str] | None = None
    partial: tuple[int, int] = (0, 0)
    highest_modseq = 0

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        self._read_return(arguments)
        if session.rev2 and self.returns is None:
            self.returns = frozenset({"ALL"})  # RFC 9051 section 6.4.4: the answer is ESEARCH
        first = arguments.peek()
        if "UTF8=ACCEPT" in session.enabled and isinstance(first, Atom) and first.upper() == b"CHARSET":
            raise Bad("CHARSET is not allowed with UTF8=ACCEPT.")  # RFC 6855 section 3
        key, reader = self._read_keys(view, arguments)
        if reader.uses_modseq:
            enable_condstore(session, view)
        contents = await self._matching(session, view, key)
        numbers = [self._number(content) for content in contents]
        self._keep_updated(session, view, key, contents)
        if reader.uses_modseq and contents:
            self.highest_modseq = max(content.message.modseq for content in self._chosen(contents))
        self._tell(session, view, numbers)
        return Reply(f"{self.name.capitalize()} completed.")

    def _read_return(self, arguments: Arguments) -> None:
        first = arguments.peek()
        if not isinstance(first, Atom) or first.upper() != b"RETURN":
            return
        arguments.take()
        group = arguments.group()
        wanted: set[str] = set()
        while group.more():
            word = group.word()
            if word not in _RETURN:
                raise Bad(f"Unknown SEARCH return option {word}")
            wanted.add(word)
            if word == "PARTIAL":
                if not group.more():
                    raise Bad("PARTIAL range missing")
                found = _PARTIAL.fullmatch(group.atom())
                if found is None:
                    raise Bad("PARTIAL range broken")
                self.partial = min(int(found[1]), int(found[2])), max(int(found[1]), int(found[2]))
        if {"PARTIAL", "ALL"} <= wanted:
            raise Bad("PARTIAL conflicts with ALL")
        wanted.discard("CONTEXT")  # a hint that the client will ask again
        self.returns = frozenset(wanted or {"ALL"})

    def _keep_updated(self, session: Session, view: View, key: Key, contents: list[Content]) -> None:
        """RETURN (UPDATE): changes of the result are told from now on."""
        if self.returns is None or "UPDATE" not in self.returns:
            return
        if self.tag in view.updates:
            raise Bad("Duplicate search update tag")
        if view.updates.full:
            session.write(b"* NO [NOUPDATE %b] Too many contexts\r\n" % string(self.tag))
            return
        view.updates.add(Update(self.tag, self.uid, key, {content.message.uid for content in contents}))

    def _read_keys(self, view: View, arguments: Arguments) -> tuple[Key, KeyReader]:
        charset = "utf-8"
        first = arguments.peek()
        if isinstance(first, Atom) and first.upper() == b"CHARSET":
            arguments.take()
            if not arguments.more():
                raise Bad("Invalid charset argument.")
            if arguments.is_group():
                raise Bad("Invalid charset argument.")
            charset = arguments.astring().decode("latin-1")
        reader = KeyReader(view, charset)
        return reader.program(arguments), reader

    def _chosen(self, found: list[T]) -> list[T]:
        """What counts of the result: with MIN or MAX alone, the messages that they name (RFC 7162 section 3.1.5)."""
        if self.returns is None or self.returns & {"ALL", "COUNT"} or not self.returns & {"MIN", "MAX"}:
            return found
        return found[:1] * ("MIN" in self.returns) + found[-1:] * ("MAX" in self.returns)

    def _number(self, content: Content) -> int:
        return content.message.uid if self.uid else content.number

    async def _matching(self, session: Session, view: View, key: Key) -> list[Content]:
        """The messages that the key matches, in the order of the mailbox."""
        found: list[Content] = []
        for number in range(1, len(view) + 1):
            message = view.message(number)
            if message is None:
                continue
            content = Content(view.mailbox, message, number)
            try:
                if key.cost < HEADER:
                    matched = key.test(content)
                elif key.cheap is not None and not key.cheap(content):
                    matched = False
                else:
                    matched = await content.tell(key.test, whole=key.cost == BODY)
            except Expunged:
                continue
            if matched:
                # What was read to judge the message is not kept: a search may match every one of them.
                found.append(Content(view.mailbox, message, number))
            if session.out_of_breath():
                await session.breathe()
        return found

    def _tell(self, session: Session, view: View, numbers: list[int]) -> None:
        if self.returns is None:
            modseq = b" (MODSEQ %d)" % self.highest_modseq if self.highest_modseq else b""
            text = b"".join(b" %d" % number for number in numbers)
            session.write(b"* " + self.name.encode() + text + modseq + b"\r\n")
            return
        shown = numbers if self.name == "SORT" else sorted(numbers)
        part = shown[self.partial[0] - 1 : self.partial[1]] if "PARTIAL" in self.returns else []
        if "SAVE" in self.returns:
            self._save(view, part if "PARTIAL" in self.returns else numbers)
        if self.returns == {"SAVE"}:
            return
        session.write(b"* ESEARCH (TAG %b)%b" % (string(self.tag), b" UID" if self.uid else b""))
        if shown and "MIN" in self.returns:
            session.write(b" MIN %d" % shown[0])
        if shown and "MAX" in self.returns:
            session.write(b" MAX %d" % shown[-1])
        if shown and "ALL" in self.returns:
            session.write(b" ALL " + sequence.write(shown))
        if "PARTIAL" in self.returns:
            session.write(b" PARTIAL (%d:%d %b)" % (*self.partial, sequence.write(part) or b"NIL"))
        if "RELEVANCY" in self.returns:
            count = len(part) if "PARTIAL" in self.returns else len(set(self._chosen(shown)))
            scores = b" ".join([b"%d" % RELEVANCY] * count)
            session.write(b" RELEVANCY (" + scores + b")")
        if "COUNT" in self.returns:
            session.write(b" COUNT %d" % len(numbers))
        if self.highest_modseq:
            session.write(b" MODSEQ %d" % self.highest_modseq)
        session.write(b"\r\n")

    def _save(self, view: View, numbers: list[int]) -> None:
        """RFC 5182 section 2.1: with MIN or MAX (and neither ALL nor COUNT) only those are kept."""
        assert self.returns is not None
        chosen: Iterable[int] = numbers
        if numbers and self.returns & {"MIN", "MAX"} and not self.returns & {"ALL", "COUNT"}:
            chosen = {numbers[0]} if "MIN" in self.returns else set()
            chosen |= {numbers[-1]} if "MAX" in self.returns else set()
        view.saved = sorted(chosen if self.uid else (view.uids[number - 1] for number in chosen))


class Sort(Search):
    """SORT [RETURN (options)] (criteria) charset keys (RFC 5256)."""

    name = "SORT"

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        self._read_return(arguments)
        program = SortProgram(arguments.group())
        key = KeyReader(view, arguments.astring().decode("latin-1")).program(arguments)
        rows = []
        contents = await self._matching(session, view, key)
        for content in contents:
            try:
                keys = await content.tell(program.keys, whole=False) if program.reads_header else program.keys(content)
                rows.append((content.number, keys))
            except Expunged:
                continue
            if session.out_of_breath():
                await session.breathe()
        ordered = program.order(rows)
        self._keep_updated(session, view, key, contents)
        self._tell(session, view, [view.uids[number - 1] for number in ordered] if self.uid else ordered)
        return Reply("Sort completed.")


class Thread(Search):
    """THREAD algorithm charset keys (RFC 5256)."""

    name = "THREAD"

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        view = selected(session)
        algorithm = arguments.word()
        if algorithm not in ALGORITHMS:
            raise Bad("Unknown thread algorithm.")
        key = KeyReader(view, arguments.astring().decode("latin-1")).program(arguments)
        messages: list[Threadable] = []
        for content in await self._matching(session, view, key):
            try:
                messages.append(await content.tell(self._threadable, whole=False))
            except Expunged:
                continue
            if session.out_of_breath():
                await session.breathe()
        threads = write_threads(algorithm, messages)
        session.write(b"* THREAD" + (b" " + threads if threads else b"") + b"\r\n")
        return Reply("Thread completed.")

    def _threadable(self, content: Content) -> Threadable:
        subject, is_reply = base_subject(decode_words(field(content, b"subject")))
        references = message_ids(field(content, b"references"))
        identifiers = message_ids(field(content, b"message-id"))
        return Threadable(
            number=self._number(content),
            sent=sent_date(content),
            subject=subject,
            is_reply=is_reply,
            message_id=identifiers[0] if identifiers else None,
            references=references or message_ids(field(content, b"in-reply-to"))[:1],
        )


class CancelUpdate(Command):
    """CANCELUPDATE "tag" ... (RFC 5267 section 4.3.5)."""

    name = "CANCELUPDATE"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if not arguments.more():
            raise Bad("Missing arguments.")
        while arguments.more():
            tag = arguments.take()
            if not isinstance(tag, Quoted):
                raise Bad("Invalid arguments.")
            if session.view is None or not session.view.updates.cancel(bytes(tag)):
                raise No("Unknown tag.")
        return Reply("Updates cancelled.")
