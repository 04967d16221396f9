"""VRFY and ETRN: what the server tells about recipients and about mail that waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mta.smtpd.arguments import Word, join_words
from mta.smtpd.replies import Reply
from mta.smtpd.transaction import BAD_RECIPIENT, MUST_DECLARE_UTF8

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

VRFY_DISABLED: Final = Reply(502, "5.5.1", "VRFY command is disabled")


async def vrfy(connection: Connection, words: list[Word]) -> Reply:
    """RFC 5321 section 3.5: the recipient restrictions decide, and a `252` promises nothing more than they do."""
    session, server = connection.session, connection.server
    if server.disable_vrfy:
        return VRFY_DISABLED
    if len(words) < 2:
        return Reply(501, "5.5.4", "Syntax: VRFY address" + (" [SMTPUTF8]" if server.smtputf8 else ""))
    smtputf8 = server.smtputf8 and len(words) > 2 and words[-1].text.upper() == "SMTPUTF8"
    arguments = words[1:-1] if smtputf8 else words[1:]
    if refusal := await server.limits.recipient(session):
        return refusal
    text = join_words(arguments)
    address = server.addresses.extract(text, allow_empty=False, strict=False)
    if address is None or not await server.addresses.is_valid(address, smtputf8):
        return BAD_RECIPIENT
    if server.strict_smtputf8 and not (smtputf8 or address.isascii()):
        return MUST_DECLARE_UTF8
    if refusal := await server.access.check_rcpt(connection, address):
        return refusal
    return Reply(252, "2.0.0", text)


async def etrn(connection: Connection, words: list[Word]) -> Reply:
    """RFC 1985: mail for a domain is tried now, if the site keeps track of it (fast_flush_domains)."""
    session, server = connection.session, connection.server
    if server.helo_required and session.helo_name is None:
        return Reply(503, "", "Error: send HELO/EHLO first")
    if connection.envelope.open:
        return Reply(503, "", "Error: MAIL transaction in progress")
    if len(words) != 2:
        return Reply(500, "", "Syntax: ETRN domain")
    domain = words[1].text
    if domain[0] in "@#":
        domain = domain[1:]
    if not server.addresses.is_valid_destination(domain):
        return Reply(501, "", "Error: invalid parameter syntax")
    if refusal := await server.access.check_etrn(connection, domain):
        return refusal
    if not await server.flushes(domain):
        return Reply(459, "", f"<{domain}>: service unavailable")
    if not server.request_flush(domain):
        return Reply(458, "", "Unable to queue messages")
    return Reply(250, "", "Queuing started")
