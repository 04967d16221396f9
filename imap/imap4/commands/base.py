"""What a command is: a name, the states that allow it, and a ``run`` that returns the text of its tagged answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import TYPE_CHECKING, Any, ClassVar

from imap.imap4.errors import ReplyError, TooBig

if TYPE_CHECKING:
    from imap.imap4.arguments import Arguments
    from imap.imap4.reader import Sink
    from imap.imap4.session import Session
    from imap.imap4.view import View


class State(Flag):
    """The states of RFC 3501 section 3; a command names those in which it is allowed."""

    NOT_AUTHENTICATED = auto()
    AUTHENTICATED = auto()
    SELECTED = auto()


LOGGED_IN = State.AUTHENTICATED | State.SELECTED
ANY_STATE = State.NOT_AUTHENTICATED | LOGGED_IN


class Flush(Flag):
    """Which news of the selected mailbox are told before the tagged answer (RFC 3501 sections 5.5 and 7.4.1).

    As with Dovecot, commands that say nothing about messages tell none.
    """

    NOTHING = 0
    NEWS = auto()  # EXISTS, RECENT, FETCH
    EXPUNGES = auto()
    ALL = NEWS | EXPUNGES


@dataclass(frozen=True, slots=True)
class Reply:
    """The tagged answer of a command that did not raise: ``tag OK [code] text``."""

    text: str
    code: str | None = None
    status: str = "OK"
    close: bool = False  # the connection ends with it (LOGOUT)
    compress: bool = False  # what follows in both directions is deflated (COMPRESS)
    bye: str = ""  # the connection ends behind it with this word
    start_tls: bool = False  # TLS begins behind it (STARTTLS)


Result = Reply | Coroutine[Any, Any, Reply]


class Command(ABC):
    """Base of all commands. One object serves one command of one session."""

    name: ClassVar[str]
    states: ClassVar[State] = LOGGED_IN
    # Whether the command may stand behind UID (RFC 3501 section 6.4.8); the object's ``uid`` says whether it does.
    takes_uid: ClassVar[bool] = False
    only_uid: ClassVar[bool] = False
    news_with_uid: bool = False  # whether FETCH responses that come with it have the UID
    flush: ClassVar[Flush] = Flush.NOTHING
    # Whether the command opens, closes or must not disturb a mailbox: those before it are answered before it begins.
    breaks_mailbox: ClassVar[bool] = False

    def __init__(self, tag: bytes, *, uid: bool = False) -> None:
        self.tag = tag
        self.uid = uid

    @abstractmethod
    def run(self, session: Session, arguments: Arguments) -> Result:
        """Do it. Raises ReplyError (or a StoreError, which the session turns into NO), or Disconnect."""

    def literal_limit(self, session: Session, pieces: Sequence[bytes], offset: int) -> int:
        """How many octets the literal announced behind ``pieces`` may have; 0: the limit of a line.

        Raises ReplyError (or StoreError) to refuse the command before the literal is sent. ``offset`` is where the
        arguments begin in the first piece.
        """
        return 0

    def spool(self, session: Session, size: int) -> Sink | None:
        """Where the octets of the literal go that was just allowed, if it is too big for memory. Raises StoreError."""
        return None

    def too_big(self) -> ReplyError:
        """What a literal above the limit is answered with."""
        return TooBig("Literal size too large")

    def settle(self, view: View) -> None:  # noqa: B027 - most commands have no such part
        """The part that is done when the mailbox is brought up to date, before its news are told. Raises StoreError."""

    @property
    def news(self) -> Flush:
        """Which news may be told with the answer to this command: with UID, numbers may move (RFC 3501 7.4.1)."""
        return Flush.ALL if self.uid and self.flush is Flush.NEWS else self.flush
