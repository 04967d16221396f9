"""What a command can be answered with when it fails: every exception is the reply that the peer gets."""

from __future__ import annotations

from typing import ClassVar, Literal


class ReplyError(Exception):
    """A command ends with this status. ``text`` goes to the peer, ``code`` is the response code without brackets."""

    status: ClassVar[Literal["NO", "BAD"]] = "BAD"

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code


class Bad(ReplyError):
    """The command is unknown, its arguments are wrong, or it is not allowed now (RFC 3501 section 7.1.3)."""


class NotSelected(Bad):
    """A command of the selected state came too early."""

    def __init__(self) -> None:
        super().__init__("No mailbox selected")


class ParseError(Bad):
    """The octets do not form a command (RFC 3501 section 9)."""


class TooBig(ParseError):
    """A literal that is too big: the connection ends, whatever the client makes of the refusal."""


class No(ReplyError):
    """The command was understood and failed (RFC 3501 section 7.1.2)."""

    status = "NO"


MISSING = "Missing arguments."
INVALID = "Invalid arguments."
