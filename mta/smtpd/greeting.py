"""HELO, EHLO, NOOP and QUIT: the session's frame and the extensions that it announces."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Final

from mta.smtpd import filters, replies
from mta.smtpd.arguments import Word, join_words
from mta.smtpd.forwarding import XCLIENT_ATTRIBUTES, XFORWARD_ATTRIBUTES
from mta.smtpd.replies import Reply

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

_UNPRINTABLE: Final = re.compile(r"[\x00-\x1f\x7f]")
_NEUTERED: Final = re.compile(r'[<>()\\";@]')
"""Characters that mean something in a Received header; the client's own name may not contain them there."""

ESMTP_KEYWORDS: Final = (
    "PIPELINING",
    "SIZE",
    "VRFY",
    "ETRN",
    "STARTTLS",
    "AUTH",
    "XCLIENT",
    "XFORWARD",
    "ENHANCEDSTATUSCODES",
    "8BITMIME",
    "DSN",
    "SMTPUTF8",
    "CHUNKING",
)
"""What EHLO may announce, in Postfix's order; smtpd_discard_ehlo_keywords hides what it names."""


async def welcome(connection: Connection) -> Reply:
    """What is said to a client that has come: 220, or why it is not wanted."""
    session, server = connection.session, connection.server
    session.denied = None if server.access.delay_reject else await server.access.check_client(connection)
    return session.denied or await filters.begin(connection) or server.banner


async def helo(connection: Connection, words: list[Word]) -> Reply:
    """RFC 5321 section 4.1.1.1, for a client that asks for no extensions."""
    if refusal := await _introduce(connection, words, "SMTP"):
        return refusal
    return Reply(250, "", connection.server.hostname)


async def ehlo(connection: Connection, words: list[Word]) -> Reply:
    """RFC 5321 section 4.1.1.1; names only what the server will do for this client."""
    if refusal := await _introduce(connection, words, "ESMTP"):
        return refusal
    session = connection.session
    session.extended_smtp = True
    extensions = ("ENHANCEDSTATUSCODES",) if filters.refuses_for_good(session) else await _extensions(connection)
    return Reply(250, "", "\n".join((connection.server.hostname, *extensions)))


async def _introduce(connection: Connection, words: list[Word], protocol: str) -> Reply | None:
    session, access = connection.session, connection.server.access
    if len(words) < 2:
        return Reply(501, "", f"Syntax: {words[0].text.upper()} hostname")
    name = join_words(words[1:])
    if not access.delay_reject and (refusal := await access.check_helo(connection, name)):
        return refusal
    if refusal := await filters.helo(connection, name):
        return refusal
    connection.new_transaction()
    session.host_name = _NEUTERED.sub("?", _UNPRINTABLE.sub("?", name))
    session.protocol = protocol
    return None


async def _extensions(connection: Connection) -> tuple[str, ...]:
    """The announced keywords in Postfix's order."""
    session, server = connection.session, connection.server
    mechanisms = await server.sasl.announced(session) if server.sasl.active(session) else ""
    absent = set(session.discarded_keywords)
    for keyword, present in (
        ("auth", mechanisms),
        ("xclient", session.may_xclient),
        ("xforward", session.may_xforward),
        ("starttls", server.tls.context is not None and session.tls is None),
        ("vrfy", not server.disable_vrfy),
        ("smtputf8", server.smtputf8),
    ):
        if not present:
            absent.add(keyword)
    return _announcement(frozenset(absent), server.message_size_limit, mechanisms, server.sasl.broken_clients)


@functools.lru_cache(maxsize=64)
def _announcement(absent: frozenset[str], size_limit: int, mechanisms: str, broken_clients: bool) -> tuple[str, ...]:
    """One line for each keyword that is not absent."""
    lines = []
    for keyword in ESMTP_KEYWORDS:
        if keyword.lower() in absent:
            continue
        match keyword:
            case "SIZE" if size_limit:
                lines.append(f"SIZE {size_limit}")
            case "AUTH":
                lines.append(f"AUTH {mechanisms}")
                if broken_clients:
                    lines.append(f"AUTH={mechanisms}")
            case "XCLIENT":
                lines.append(" ".join([keyword, *XCLIENT_ATTRIBUTES]))
            case "XFORWARD":
                lines.append(" ".join([keyword, *XFORWARD_ATTRIBUTES]))
            case _:
                lines.append(keyword)
    return tuple(lines)


async def noop(connection: Connection, words: list[Word]) -> Reply:
    return replies.OK


async def quit_session(connection: Connection, words: list[Word]) -> Reply:
    connection.session.hung_up = True
    return replies.BYE
