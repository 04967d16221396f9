"""Dialogues as a watcher may read them: passwords, log-in exchanges and mails are left out. Sans-I/O.

Each class is fed what both sides say, cut anywhere, and returns lines. What it does not know for harmless it counts:
the client's words when it has come into the middle of a dialogue, until the server has answered; and commands that
there are not, for a slip, or a client that does not listen, may put a password anywhere.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

Line = tuple[str, str]
"""C or S, and the text."""

SHOWN: Final = 400
"""Octets of a line that are shown."""
LONGEST: Final = 8192
"""Octets of a line that are kept until its end comes."""

_HIDDEN: Final = "<{} octets>"
_SECRET: Final = "<secret>"  # noqa: S105 - what stands in its place
_UNKNOWN, _LOGIN = "?", "AUTH"


class Stream:
    """One direction: lines, and stretches between them that are counted instead of shown."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.skip = 0
        """Octets of a literal or a chunk that come next."""
        self.dots = False
        """What comes next is a mail, up to the line with a dot."""
        self._counted = 0

    def feed(self, data: bytes) -> Iterator[bytes | int]:
        """Lines without their ends, and the sizes of what is not shown. `skip` and `dots` may be set in between."""
        self._data += data
        while self._data:
            if self.skip:
                if not self._skipped():
                    return
                yield self._count()
            elif self.dots:
                if not self._mail_ended():
                    return
                yield self._count()
            else:
                end = self._data.find(b"\n")
                if end < 0:
                    self._shorten()
                    return
                line = bytes(self._data[:end]).removesuffix(b"\r")
                del self._data[: end + 1]
                yield line

    def resume(self) -> None:
        """The other side goes on: neither literal nor mail comes any more."""
        if self.dots:
            self._data.clear()
        self.skip, self.dots = 0, False
        self._count()

    def _skipped(self) -> bool:
        part = min(self.skip, len(self._data))
        del self._data[:part]
        self.skip -= part
        self._counted += part
        return not self.skip

    def _mail_ended(self) -> bool:
        first = b".\r\n" if not self._counted and self._data.startswith(b".\r\n") else b"\r\n.\r\n"
        end = self._data.find(first)
        size = end + len(first) if end >= 0 else max(0, len(self._data) - 4)
        del self._data[:size]
        self._counted += size
        self.dots = end < 0
        return end >= 0

    def _count(self) -> int:
        counted, self._counted = self._counted, 0
        return counted

    def _shorten(self) -> None:
        if len(self._data) > LONGEST:
            del self._data[LONGEST:]


class Dialogue(ABC):
    """Both directions."""

    def __init__(self) -> None:
        self.logged_in = False
        self._from_client, self._from_server = Stream(), Stream()

    def client(self, data: bytes) -> list[Line]:
        """Lines for what the client has said."""
        return [("C", self._text(self._said, part)) for part in self._from_client.feed(data)]

    def server(self, data: bytes) -> list[Line]:
        """Lines for what the server has said."""
        return [("S", self._text(self._answered, part)) for part in self._from_server.feed(data)]

    @staticmethod
    def _text(show: Callable[[bytes], str], part: bytes | int) -> str:
        text = _HIDDEN.format(part) if isinstance(part, int) else show(part)
        return text if len(text) <= SHOWN else text[:SHOWN] + " ..."

    @abstractmethod
    def _said(self, line: bytes) -> str: ...

    @abstractmethod
    def _answered(self, line: bytes) -> str: ...


def _readable(octets: bytes) -> str:
    return octets.decode("utf-8", "backslashreplace")


def _verb(line: bytes) -> str:
    words = line.split(None, 1)
    return _readable(words[0]).upper() if words else ""


def _known(line: bytes, verbs: frozenset[str]) -> str:
    """A command line if the command is one of these, else its size."""
    return _readable(line) if _verb(line) in verbs else _HIDDEN.format(len(line))


def _login(line: bytes, words: int) -> str:
    """The first words of a command line, and that more stood behind them."""
    parts = line.split(None, words)
    kept = " ".join(map(_readable, parts[:words]))
    return f"{kept} {_SECRET}" if len(parts) > words else kept


class _Queued(Dialogue):
    """Protocols that answer one command after the other: SMTP, LMTP, POP3."""

    def __init__(self) -> None:
        super().__init__()
        self._unanswered = deque([_UNKNOWN])

    @property
    def _hides(self) -> bool:
        return _UNKNOWN in self._unanswered or _LOGIN in self._unanswered

    def _said(self, line: bytes) -> str:
        if self._hides:
            return "*" if line == b"*" else _SECRET
        verb = _verb(line)
        self._unanswered.append(verb)
        return self._command(verb, line)

    @abstractmethod
    def _command(self, verb: str, line: bytes) -> str: ...

    def _answer(self) -> str:
        """The command that has been answered."""
        answered = self._unanswered.popleft() if self._unanswered else ""
        if answered in ("STARTTLS", "STLS"):  # what was sent ahead of the handshake is never answered
            self._unanswered.clear()
        return answered


_SMTP = frozenset(
    ["EHLO", "HELO", "LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "QUIT", "VRFY", "EXPN", "HELP", "ETRN"]
) | {"STARTTLS", "XCLIENT", "XFORWARD"}
_REPLY = re.compile(rb"([2-5]\d\d)([ -]|$)")


class Smtp(_Queued):
    """RFC 5321, 3030, 4954; LMTP too."""

    def _command(self, verb: str, line: bytes) -> str:
        words = line.split()
        if verb == "BDAT" and len(words) > 1 and words[1].isdigit() and len(words[1]) <= 10:
            self._from_client.skip = int(words[1])
        return _login(line, 2) if verb == _LOGIN else _known(line, _SMTP)

    def _answered(self, line: bytes) -> str:
        match = _REPLY.match(line)
        if match is None or match[2] == b"-":
            return _readable(line)
        if match[1] == b"334":
            return f"334 {_SECRET}" if line[4:] else _readable(line)
        if match[1] == b"354":
            self._from_client.dots = True
        elif self._answer() == "DATA":
            self._from_client.resume()
        return _readable(line)


_POP3 = frozenset(
    ["USER", "CAPA", "STLS", "QUIT", "NOOP", "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "LAST", "UTF8"]
)


_POP3_LISTS = frozenset(["LIST", "UIDL", "CAPA", _LOGIN])


class Pop3(_Queued):
    """RFC 1939, 5034."""

    def __init__(self) -> None:
        super().__init__()
        self._lists = False

    def _command(self, verb: str, line: bytes) -> str:
        if verb in ("PASS", "APOP", _LOGIN):
            return _login(line, 1 if verb == "PASS" else 2)
        return _known(line, _POP3)

    def _answered(self, line: bytes) -> str:
        if line.startswith(b"+ "):
            return f"+ {_SECRET}"
        if line.startswith((b"+OK", b"-ERR")):
            answered, good = self._answer(), line.startswith(b"+OK")
            self._from_server.dots = good and answered in ("RETR", "TOP")
            self._lists = good and answered in _POP3_LISTS
        elif not self._lists:  # of a mail, when the command for it was not seen
            return _HIDDEN.format(len(line))
        return _readable(line)


_IMAP_BEFORE_LOGIN = frozenset(["CAPABILITY", "NOOP", "LOGOUT", "STARTTLS", "ID", "ENABLE"])
_LITERAL = re.compile(rb"\{(\d{1,10})(\+?)\}$")
_GREETING = (b"* OK", b"* PREAUTH", b"* BYE")


class Imap(Dialogue):
    """RFC 3501: tags tell which command is answered; literals may hold anything."""

    def __init__(self) -> None:
        super().__init__()
        self._unknown = True
        self._tag = b""  # of the log-in that is under way
        self._goes_on = b""  # tag of the command whose literal comes
        self._secret = False

    def _said(self, line: bytes) -> str:
        literal = _LITERAL.search(line)
        tag = self._goes_on or line.partition(b" ")[0]
        text = self._line(tag, line)
        self._goes_on = b""
        if literal is not None:
            self._from_client.skip = int(literal[1])
            self._goes_on = tag
        return text

    def _line(self, tag: bytes, line: bytes) -> str:
        if self._goes_on:
            return _SECRET if self._secret and line else _readable(line)
        if self._unknown or (self._tag and line != b"*"):
            return _SECRET
        rest = line.partition(b" ")[2]
        verb = _verb(rest)
        self._secret = verb in ("LOGIN", "AUTHENTICATE") or not self.logged_in
        if verb == "AUTHENTICATE":
            self._tag = tag
            return _login(line, 3)
        if verb == "LOGIN":
            return _login(line, 3 if re.match(rb"[^\s\"{]+\s+\w+\s+[^\s\"{]", line) else 2)
        known = not self._secret or verb in _IMAP_BEFORE_LOGIN
        return _readable(line) if known else _HIDDEN.format(len(line))

    def _answered(self, line: bytes) -> str:
        if line.startswith(b"+ ") and self._tag:
            return f"+ {_SECRET}"
        if (literal := _LITERAL.search(line)) is not None:
            self._from_server.skip = int(literal[1])
        tag, _, rest = line.partition(b" ")
        if tag == b"*":
            self._unknown = self._unknown and not line.startswith(_GREETING)
        elif tag != b"+" and rest[:2].upper() in (b"OK", b"NO", b"BA"):
            self._unknown = False
            if tag == self._tag:
                self._tag = b""
            if tag == self._goes_on:  # a literal that was refused
                self._goes_on = b""
                self._from_client.resume()
        return _readable(line)


_SECRET_KEYS = re.compile(r"(?:resp|\w*pass\w*|\w*token\w*|\w*cookie\w*|cb-data|channel_binding)=.*", re.S)
_SECRET_WORDS = {"CONT": 2, "COOKIE": 1, "REQUEST": 4}
"""Where an argument is a secret by its place."""


class Auth(Dialogue):
    """Dovecot's authentication protocol: every line stands for itself."""

    def _said(self, line: bytes) -> str:
        words = _readable(line).split("\t")
        at = _SECRET_WORDS.get(words[0], len(words))
        words[at:] = [_SECRET] if at < len(words) else []
        shown = (w.partition("=")[0] + "=" + _SECRET if _SECRET_KEYS.fullmatch(w) else w for w in words)
        return " ".join(shown)

    _answered = _said


DIALOGUES: dict[str, type[Dialogue]] = {"smtp": Smtp, "lmtp": Smtp, "imap": Imap, "pop3": Pop3, "auth": Auth}
