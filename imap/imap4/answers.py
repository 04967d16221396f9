"""The tagged answers of a session: at once, or together when the mailbox is brought up to date."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from imap.imap4.commands.base import Command, Flush, Reply
from imap.imap4.errors import INVALID, MISSING, NotSelected, ParseError, ReplyError
from imap.session import Disconnect
from imap.store import StoreError

if TYPE_CHECKING:
    from imap.imap4.session import Session
    from imap.imap4.view import View

# As Dovecot: this many bad commands end the connection, before log-in and after.
MAX_BAD_BEFORE_LOGIN = 3
MAX_BAD = 20
# As Dovecot: pipelined commands share one look at the mailbox, so many at a time.
MAX_WAITING = 4


class Answer(NamedTuple):
    """What a command has come to, before it is told."""

    command: Command
    news: Flush
    reply: Reply
    started: float


class Answers:
    """What a session still has to answer, and how it answers."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._bad = 0
        self._waiting: list[Answer] = []

    @property
    def full(self) -> bool:
        """Whether no more may wait for the next look at the mailbox."""
        return len(self._waiting) >= MAX_WAITING

    def later(self, answer: Answer) -> None:
        """Answer when the mailbox is brought up to date."""
        self._waiting.append(answer)

    def forgive(self) -> None:
        """Count bad commands from zero."""
        self._bad = 0

    def settle(self) -> None:
        """Bring the mailbox up to date and answer the commands that waited for it.

        Those that may not move numbers (RFC 3501 section 7.4.1) come before those that may.
        """
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        some = [answer for answer in waiting if answer.news is Flush.NEWS]
        every = [answer for answer in waiting if answer.news is Flush.ALL] if some else waiting
        for answers in (some, every):
            if answers and self._session.view is not None:
                self._settle_together(self._session.view, answers, expunges=answers is every)

    def _settle_together(self, view: View, answers: list[Answer], *, expunges: bool) -> None:
        failed: dict[Answer, StoreError] = {}
        uid = False
        for answer in answers:
            uid |= answer.command.news_with_uid
            try:
                answer.command.settle(view)
            except StoreError as error:
                failed[answer] = error
        self._session.tell_news(view, expunges=expunges, uid=uid)
        modseq = view.modseq_to_tell()
        code = None if modseq is None else f"HIGHESTMODSEQ {modseq}"
        last = answers[-1].reply
        if code is not None and (last.code is not None or last.status != "OK"):
            self._session.write(f"* OK [{code}] Highest\r\n".encode())
        for answer in answers:
            reply = answer.reply
            if failed and answer in failed:
                self.fail(answer.command.tag, answer.command.name, failed[answer], answer.started)
            else:
                own = code if answer is answers[-1] else None
                self.tell(answer.command.tag, reply.status, reply.text, reply.code or own, answer.started)

    def fail(self, tag: bytes, name: str, error: ReplyError | StoreError, started: float) -> None:
        """Answer a command that failed; too many bad ones end the connection."""
        if isinstance(error, StoreError):
            if error.reason:
                self._session.log.error("%s: %s", self._session.login.who(), error.reason)
            self.tell(tag, "NO", error.text, error.code, started)
            return
        if error.status == "NO":
            self.tell(tag, "NO", error.text, error.code, started)
            return
        # As Dovecot before log-in: what the parser refuses is not counted.
        self._bad += self._session.logged_in or not isinstance(error, ParseError)
        if self._bad >= (MAX_BAD if self._session.logged_in else MAX_BAD_BEFORE_LOGIN):
            raise Disconnect("Too many invalid IMAP commands.")
        self.tell(tag, "BAD", self._complaint(name, error), error.code, started)

    def _complaint(self, name: str, error: ReplyError) -> str:
        """The text of a BAD, as Dovecot words it."""
        text = error.text.removesuffix(".")
        if isinstance(error, NotSelected):
            return text
        if not self._session.logged_in:
            vague = error.text in ("Unknown command", "Invalid command name", INVALID, MISSING)
            return "Error in IMAP command received by server." if vague else error.text
        if text == "Invalid command name" or not name:
            return f"Error in IMAP command: {text}"
        return f"Error in IMAP command {name}: {text}"

    def tell(self, tag: bytes, status: str, text: str, code: str | None, started: float) -> None:
        """One tagged answer, with the time that it took."""
        if self._session.logged_in:
            if status == "OK":
                self._bad = 0
            if not text.endswith("Logged in"):
                text = f"{text.removesuffix('.')} ({time.monotonic() - started:.3f} + 0.000 secs)."
        if code:
            text = f"[{code}] {text}"
        self._session.write(b"%b %b %b\r\n" % (tag or b"*", status.encode(), text.encode("utf-8", "surrogateescape")))
