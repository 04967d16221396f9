"""The commands of POP3, one class each, found by name, with the states that allow them."""

from __future__ import annotations

import base64
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Coroutine
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from imap.login import LoginFailed, Outcome
from imap.pop3.errors import Error
from imap.store import Expunged, UserStore

if TYPE_CHECKING:
    from imap.pop3.maildrop import Item, Maildrop
    from imap.pop3.session import Session

_COUNT = re.compile(rb"[0-9]{1,19}")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]*")
APOP_DIGITS = 32
_NUMBER = re.compile(rb"[0-9]{1,10}")


class State(Enum):
    """AUTHORIZATION and TRANSACTION (RFC 1939 section 3); UPDATE is QUIT's own business."""

    AUTHORIZATION = "authorization"
    TRANSACTION = "transaction"


ANY = (State.AUTHORIZATION, State.TRANSACTION)
Result = Coroutine[Any, Any, None] | None


class Command(ABC):
    """Base of all commands; ``run`` writes the reply or raises Error."""

    name: ClassVar[bytes]
    states: ClassVar[tuple[State, ...]] = (State.TRANSACTION,)
    keeps_spaces: ClassVar[bool] = False  # whether the argument is taken with the spaces around it

    @abstractmethod
    def run(self, session: Session, argument: bytes) -> Result:
        """Do it."""


def drop_of(session: Session) -> Maildrop:
    """The maildrop of a session in the TRANSACTION state."""
    assert session.drop is not None
    return session.drop


def message_number(session: Session, text: bytes) -> tuple[int, Item]:
    """The message that a number names. Raises Error."""
    shown = text[:32].decode("ascii", "replace")
    if not _NUMBER.fullmatch(text):
        found = _NUMBER.match(text)
        if found is not None:
            raise Error(f"Noise after message number: {text[found.end() :][:32].decode('ascii', 'replace')}")
        raise Error(f"Invalid message number: {shown}")
    number = int(text)
    items = drop_of(session).items
    if not 1 <= number <= len(items):
        raise Error(f"There's no message {number}.")
    if items[number - 1].deleted:
        raise Error("Message is deleted.")
    return number, items[number - 1]


class Capa(Command):
    """CAPA (RFC 2449)."""

    name = b"CAPA"
    states = ANY

    def run(self, session: Session, argument: bytes) -> None:
        lines = ["CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE"]
        if session.state is State.AUTHORIZATION:
            if session.login.starttls_possible:
                lines.append("STLS")
            if session.login.plaintext_allowed or session.login.needs_tls:
                lines.append("USER")
            lines.append(" ".join(("SASL", *session.login.mechanism_names())))
        session.ok()
        session.write("".join(f"{line}\r\n" for line in (*lines, ".")).encode())


class Stls(Command):
    """STLS (RFC 2595 section 4): plaintext behind it is refused, never carried into TLS."""

    name = b"STLS"
    states = (State.AUTHORIZATION,)

    def run(self, session: Session, argument: bytes) -> None:
        if not session.login.tls_possible:
            raise Error("TLS support isn't enabled.")
        if session.login.tls:
            raise Error("TLS is already active.")
        session.start_tls(b"+OK Begin TLS negotiation now.\r\n")


class User(Command):
    """USER name."""

    name = b"USER"
    states = (State.AUTHORIZATION,)
    keeps_spaces = True

    def run(self, session: Session, argument: bytes) -> None:
        if not session.login.plaintext_allowed:
            raise Error(LoginFailed(Outcome.PRIVACY).text, "AUTH")
        session.user = argument
        session.ok()


class Apop(Command):
    """APOP name digest (RFC 1939 section 7), where the greeting held a challenge."""

    name = b"APOP"
    states = (State.AUTHORIZATION,)
    keeps_spaces = True

    async def run(self, session: Session, argument: bytes) -> None:
        if not session.apop:
            raise Error("APOP not enabled.")
        user, _, digest = argument.partition(b" ")
        if len(digest) != APOP_DIGITS:
            raise Error("Invalid parameters.")
        if not _HEXADECIMAL.fullmatch(digest):
            raise Error("Invalid characters in MD5 response.")
        await _admit(session, session.login.apop(user, bytes.fromhex(digest.decode())))


class XClient(Command):
    """XCLIENT, by which a proxy tells of its client; no network is trusted with it, so it has no effect."""

    name = b"XCLIENT"
    states = (State.AUTHORIZATION,)

    def run(self, session: Session, argument: bytes) -> None:
        session.ok("You are not from trusted IP - ignoring")


class XOip(XClient):
    """XOIP, another program's word for XCLIENT."""

    name = b"XOIP"


class Pass(Command):
    """PASS string: the rest of the line, spaces included."""

    name = b"PASS"
    states = (State.AUTHORIZATION,)
    keeps_spaces = True

    async def run(self, session: Session, argument: bytes) -> None:
        if not session.login.plaintext_allowed:
            raise Error(LoginFailed(Outcome.PRIVACY).text, "AUTH")
        user, session.user = session.user, None
        if user is None:
            raise Error("No username given.")
        await _admit(session, session.login.password(user, argument))


class Auth(Command):
    """AUTH [mechanism [initial-response]] (RFC 5034); alone, it lists the mechanisms."""

    name = b"AUTH"
    states = (State.AUTHORIZATION,)
    keeps_spaces = True

    async def run(self, session: Session, argument: bytes) -> None:
        mechanism, _, initial = argument.partition(b" ")
        if not mechanism:
            names = session.login.mechanism_names()
            session.write("".join(f"{line}\r\n" for line in ("+OK", *names, ".")).encode())
            return

        async def ask(challenge: bytes) -> bytes:
            session.write(b"+ " + base64.b64encode(challenge) + b"\r\n")
            session.flush()
            return await session.read_line()

        attempt = session.login.sasl(mechanism.decode("ascii", "replace"), initial.strip() or None, ask)
        await _admit(session, attempt)


async def _admit(session: Session, attempt: Awaitable[UserStore]) -> None:
    """Await the auth service's word and open the maildrop."""
    try:
        store = await attempt
    except LoginFailed as failure:
        raise Error(failure.text, failure.outcome.pop3) from None
    session.open(store)
    session.ok("Logged in.")


class Stat(Command):
    """STAT."""

    name = b"STAT"

    def run(self, session: Session, argument: bytes) -> None:
        left = drop_of(session).remaining()
        session.ok(f"{len(left)} {sum(item.size for _, item in left)}")


class List(Command):
    """LIST [msg]."""

    name = b"LIST"

    def run(self, session: Session, argument: bytes) -> None:
        if argument:
            number, item = message_number(session, argument)
            session.ok(f"{number} {item.size}")
            return
        left = drop_of(session).remaining()
        session.ok(f"{len(left)} messages:")
        session.write("".join(f"{number} {item.size}\r\n" for number, item in left).encode() + b".\r\n")


class Uidl(Command):
    """UIDL [msg]: stable over sessions and restarts."""

    name = b"UIDL"

    def run(self, session: Session, argument: bytes) -> None:
        if argument:
            number, item = message_number(session, argument)
            session.ok(f"{number} {item.unique_id}")
            return
        session.ok()
        left = drop_of(session).remaining()
        session.write("".join(f"{number} {item.unique_id}\r\n" for number, item in left).encode() + b".\r\n")


class Retr(Command):
    """RETR msg."""

    name = b"RETR"

    async def run(self, session: Session, argument: bytes) -> None:
        number, item = message_number(session, argument)
        drop = drop_of(session)
        data = _read(drop, number, item)
        drop.last = max(drop.last, number)
        item.seen = True
        session.ok(f"{len(data)} octets")
        await session.write_multiline(data)


class Top(Command):
    """TOP msg n: the header and the first n lines of the body."""

    name = b"TOP"

    async def run(self, session: Session, argument: bytes) -> None:
        number_text, _, count_text = argument.partition(b" ")
        number, item = message_number(session, number_text)
        if not _COUNT.fullmatch(count_text.lstrip()):
            raise Error(f"Invalid message number: {count_text[:32].decode('ascii', 'replace')}")
        data = _read(drop_of(session), number, item)
        session.ok()
        await session.write_multiline(first_lines(data, int(count_text)))


def first_lines(data: bytes, count: int) -> bytes:
    """The header of a message with its blank line, and ``count`` lines behind it."""
    if data.startswith(b"\r\n"):
        end = 2
    else:
        blank = data.find(b"\r\n\r\n")
        if blank < 0:
            return data
        end = blank + 4
    while count and end < len(data):
        end = data.find(b"\n", end) + 1 or len(data)
        count -= 1
    return data[:end]


def _read(drop: Maildrop, number: int, item: Item) -> bytes:
    try:
        return drop.read(item)
    except Expunged:
        raise Error(f"Message {number} expunged.") from None


class Dele(Command):
    """DELE msg: a mark, until QUIT."""

    name = b"DELE"

    def run(self, session: Session, argument: bytes) -> None:
        number, item = message_number(session, argument)
        item.deleted = True
        drop = drop_of(session)
        drop.last = max(drop.last, number)
        session.ok("Marked to be deleted.")


class Rset(Command):
    """RSET."""

    name = b"RSET"

    def run(self, session: Session, argument: bytes) -> None:
        drop_of(session).reset()
        session.ok()


class Last(Command):
    """LAST (RFC 1460), where ``pop3_enable_last`` allows it: the highest number accessed."""

    name = b"LAST"

    def run(self, session: Session, argument: bytes) -> None:
        if not session.settings.enable_last:
            raise Error("Unknown command: LAST")
        session.ok(str(drop_of(session).last))


class Noop(Command):
    """NOOP."""

    name = b"NOOP"

    def run(self, session: Session, argument: bytes) -> None:
        session.ok()


class Quit(Command):
    """QUIT: what was marked is deleted now, and only now (RFC 1939 section 6)."""

    name = b"QUIT"
    states = ANY

    def run(self, session: Session, argument: bytes) -> None:
        text = "Logging out"
        if session.drop is not None:
            deleted = session.drop.commit()
            text = "Logging out, messages deleted." if deleted else "Logging out."
        session.ok(text)
        session.end("Logged out")


COMMANDS: dict[bytes, type[Command]] = {
    each.name: each
    for each in (
        Apop,
        Auth,
        Capa,
        Dele,
        Last,
        List,
        Noop,
        Pass,
        Quit,
        Retr,
        Rset,
        Stat,
        Stls,
        Top,
        Uidl,
        User,
        XClient,
        XOip,
    )
}
