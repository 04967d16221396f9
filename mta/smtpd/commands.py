"""The command table: one row for each SMTP command that the server knows."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mta.smtpd import authentication, content, forwarding, greeting, starttls, transaction, verification
from mta.smtpd.arguments import Word
from mta.smtpd.replies import Reply

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

__all__ = ["COMMANDS", "FORGIVEN", "Command", "Word"]

Handler = Callable[["Connection", list[Word]], Awaitable[Reply | None]]


@dataclass(frozen=True, slots=True)
class Command:
    """A row. Which states of the session allow a command beyond these flags is told by its handler, with its reply."""

    name: str
    handler: Handler
    before_tls: bool = False
    """Obeyed in plaintext even where smtpd_tls_security_level = encrypt."""
    limited: bool = False
    """Counts as junk: smtpd_junk_command_limit."""
    last_in_group: bool = False
    """Must be the last of a pipelined group (RFC 2920 section 3.1): smtpd_forbid_unauth_pipelining."""


_ROWS: Final = (
    Command("HELO", greeting.helo, before_tls=True, limited=True, last_in_group=True),
    Command("EHLO", greeting.ehlo, before_tls=True, limited=True, last_in_group=True),
    Command("STARTTLS", starttls.starttls, before_tls=True),
    Command("AUTH", authentication.auth),
    Command("XCLIENT", forwarding.xclient, before_tls=True),
    Command("XFORWARD", forwarding.xforward),
    Command("MAIL", transaction.mail),
    Command("RCPT", transaction.rcpt),
    Command("DATA", content.data, last_in_group=True),
    Command("BDAT", content.bdat),
    Command("RSET", transaction.rset, limited=True),
    Command("NOOP", greeting.noop, before_tls=True, limited=True, last_in_group=True),
    Command("VRFY", verification.vrfy, limited=True, last_in_group=True),
    Command("ETRN", verification.etrn, limited=True),
    Command("QUIT", greeting.quit_session, before_tls=True),
)

COMMANDS: Final[dict[str, Command]] = {row.name: row for row in _ROWS}

FORGIVEN: Final = frozenset({transaction.TOO_MANY_RECIPIENTS})
"""Refusals that are no error of the client until it overdoes them (smtpd_recipient_overshoot_limit)."""
