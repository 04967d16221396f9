"""DATA and BDAT: the content of a message, from its first octet to the reply that says who is responsible for it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mta.address import quote_821
from mta.message import Rejected, Submission
from mta.queue import QueueError
from mta.queue.errors import typed
from mta.smtpd import filters, proxyfilter, replies
from mta.smtpd.arguments import Word, is_digits
from mta.smtpd.dotreader import Newlines, normalize_chunks
from mta.smtpd.replies import Reply
from mta.smtpd.session import UNKNOWN, Session, Transaction
from mta.smtpd.spool import MEMORY_OCTETS

if TYPE_CHECKING:
    from mta.authres import Client
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

TOO_BIG: Final = Reply(552, "5.3.4", "Error: message file too big")
CHUNK_TOO_BIG: Final = Reply(552, "5.3.4", "Chunk exceeds message size limit")
NEED_RCPT: Final = Reply(503, "5.5.1", "Error: need RCPT command")
NO_RECIPIENTS: Final = Reply(554, "5.5.1", "Error: no valid recipients")
DATA_AFTER_BDAT: Final = Reply(503, "5.5.1", "Error: DATA after BDAT")


LARGEST_CHUNK: Final = 1 << 40
"""Octets of one BDAT chunk; more is no size that anyone sends (smtpd(8) hangs up on an overflow)."""


async def data(connection: Connection, words: list[Word]) -> Reply:
    """DATA and all that follows it, RFC 5321 section 4.1.1.4."""
    server, session, transaction = connection.server, connection.session, connection.envelope
    if transaction.chunking:
        return DATA_AFTER_BDAT
    if not transaction.recipients:
        return NO_RECIPIENTS if transaction.open else NEED_RCPT
    if len(words) != 1:
        return Reply(501, "5.5.4", "Syntax: DATA")
    if refusal := await server.access.check_data(connection) or await filters.data(connection):
        return refusal
    await connection.reply(replies.GO_AHEAD)
    newlines = server.newlines if session.strict_newlines else Newlines.ANY
    reader = await connection.read_content(newlines, server.message_size_limit)
    session.command = "END-OF-MESSAGE"
    try:
        if reader.too_large:
            return TOO_BIG
        if reader.bare_newline and (refusal := server.bare_newline_refusal(session)):
            return refusal
        return await _accept_whole(connection, reader.size, reader.take)
    finally:
        reader.forget()
        await _end(connection)


async def bdat(connection: Connection, words: list[Word]) -> Reply:
    """One chunk of content, RFC 3030 section 2. Its octets are read whatever the verdict is."""
    session, transaction = connection.session, connection.envelope
    if "chunking" in session.discarded_keywords:
        session.hung_up = True
        return Reply(521, "5.5.1", "Error: command not implemented")
    last = len(words) == 3 and words[2].text.upper() == "LAST"
    if not (len(words) == 2 or last) or not is_digits(words[1].text) or int(words[1].text) > LARGEST_CHUNK:
        session.hung_up = True  # the octets that follow could not be told from commands
        return Reply(521, "5.5.4", "Syntax: BDAT count [LAST]")
    size = int(words[1].text)
    refusal = await _chunk_refusal(connection, size)
    await connection.read_octets(size, transaction.chunks if refusal is None else None)
    if refusal is not None:
        transaction.chunk_failed = transaction.chunk_failed or refusal
        if last:
            connection.new_transaction()
        return refusal
    assert transaction.chunks is not None
    if not last:
        return Reply(250, "2.0.0", f"Ok: {size} bytes")
    session.command = "END-OF-MESSAGE"
    try:
        return await _accept_whole(connection, transaction.chunks.size, lambda: _whole_chunks(connection))
    finally:
        await _end(connection)


def _whole_chunks(connection: Connection) -> bytes:
    """The content of all chunks. Raises OSError, Rejected."""
    session, chunks = connection.session, connection.envelope.chunks
    assert chunks is not None
    content, bare_newline = normalize_chunks(chunks.read())
    if bare_newline and session.strict_newlines and (refusal := connection.server.bare_newline_refusal(session)):
        raise Rejected(refusal.code, refusal.status, refusal.text)
    return content


async def _accept_whole(connection: Connection, size: int, take: Callable[[], bytes]) -> Reply:
    """Accept content as `take` gives it; few large ones are in memory at a time."""
    large, turn = size > MEMORY_OCTETS, connection.server.whole
    if large:
        await turn.acquire()
    try:
        return await _accept(connection, take())
    except Rejected as error:
        return Reply(error.code, error.status, error.text)
    except OSError as error:
        return _not_kept(connection, typed(error))
    finally:
        if large:
            turn.release()


async def _chunk_refusal(connection: Connection, size: int) -> Reply | None:
    """Why a chunk cannot be taken; opens the content with the first one."""
    transaction, server = connection.envelope, connection.server
    if transaction.chunk_failed is not None:
        return Reply(551, "5.0.0", f"Discarded {size} bytes after earlier error")
    if not transaction.recipients:
        return NO_RECIPIENTS if transaction.open else NEED_RCPT
    if transaction.chunks is None:
        if refusal := await server.access.check_data(connection) or await filters.data(connection):
            return refusal
        transaction.chunks = server.spool()
    if server.message_size_limit and transaction.chunks.size + size > server.message_size_limit:
        transaction.chunks.clear()
        return CHUNK_TOO_BIG
    return None


async def _accept(connection: Connection, content: bytes) -> Reply:
    """Check, clean up and queue; `250` only when the message is durable."""
    server, session, transaction = connection.server, connection.session, connection.envelope
    transaction.size = len(content)
    if refusal := await server.access.check_end_of_data(connection):
        transaction.refused_at_end = True
        return refusal
    queue_id = transaction.queue_id
    done = Reply(250, "2.0.0", f"Ok: queued as {queue_id}")
    if not transaction.actions.discard and server.proxy_filter is not None:
        done = await server.proxy_filter.pass_on(*_for_proxy(connection, content))
        if done.is_error:
            return done
    elif not transaction.actions.discard:
        try:
            message = await server.cleanup.process(await _submission(connection, content))
            if message is not None and session.filters is not None:
                message = await filters.content(connection, message)
            if message is not None:
                await server.queue.put(message)
        except Rejected as error:
            return Reply(error.code, error.status, error.text)
        except QueueError as error:
            return _not_kept(connection, error)
    session.errors = session.junk_commands = 0
    return done


def _not_kept(connection: Connection, error: QueueError) -> Reply:
    log.warning("%s: %s", connection.envelope.queue_id, error)
    code, status, text = error.reply.split(" ", 2)
    return Reply(int(code), status, text)


async def _end(connection: Connection) -> None:
    """The transaction is over. One that was refused at its end stays open; filters would have to be told anew."""
    await filters.give_up(connection)
    transaction = connection.envelope
    connection.new_transaction()
    if transaction.refused_at_end and connection.session.filters is None:
        connection.envelope = transaction.after_refusal_at_end()


async def _submission(connection: Connection, content: bytes) -> Submission:
    server, session, transaction = connection.server, connection.session, connection.envelope
    actions = transaction.actions
    transaction.trace = server.trace(session, transaction)
    prepend = list(actions.prepend)
    if server.authenticator is not None:
        content, results = await server.authenticator.judge(await _client(connection), content)
        prepend.append(results)
    return Submission(
        queue_id=transaction.queue_id,
        sender=transaction.sender,
        recipients=transaction.recipients,
        content=content,
        received=transaction.trace,
        prepend=prepend,
        local=await server.access.rewrites_headers(connection),
        bcc=actions.bcc,
        hold=actions.hold,
        filter=actions.filter,
        redirect=actions.redirect,
        ret=transaction.ret,
        envid=transaction.envid,
        body=transaction.body,
        smtputf8=transaction.smtp_utf8,
        attributes=_attributes(session, transaction),
        client=session.label,
    )


async def _client(connection: Connection) -> Client:
    """Whom Authentication-Results is about."""
    from mta.authres import Client

    session = connection.session
    return Client(
        address=session.peer_info.address,
        helo=session.helo_name or "",
        sender=connection.envelope.sender,
        user=session.sasl_username,
        mechanism=session.sasl_method,
        trusted=await connection.server.access.is_in_mynetworks(session),
    )


def _for_proxy(connection: Connection, content: bytes) -> tuple[proxyfilter.Envelope, bytes]:
    """What a before-queue filter gets: the mail with our trace header, and who sent it (SMTPD_PROXY_README)."""
    server, session, transaction = connection.server, connection.session, connection.envelope
    peer = session.peer_info
    forward = [
        ("NAME", peer.name if peer.name != UNKNOWN else "[UNAVAILABLE]"),
        ("ADDR", peer.literal),
        ("PORT", str(peer.port)),
        ("PROTO", session.protocol),
        ("HELO", session.helo_name or "[UNAVAILABLE]"),
        ("IDENT", transaction.queue_id),
        ("SOURCE", "REMOTE"),
    ]
    envelope = proxyfilter.Envelope(
        quote_821(transaction.sender) if transaction.sender else "",
        [replace(recipient, address=quote_821(recipient.address)) for recipient in transaction.recipients],
        transaction.body,
        transaction.smtp_utf8,
        [(name, session.forwarded.get(name, value)) for name, value in forward],
    )
    prepend = "".join(f"{line}\r\n" for line in transaction.actions.prepend).encode("utf-8", "surrogateescape")
    return envelope, prepend + server.trace(session, transaction) + content


_FORWARDED: Final = {
    "NAME": "log_client_name",
    "ADDR": "log_client_address",
    "PORT": "log_client_port",
    "PROTO": "log_protocol_name",
    "HELO": "log_helo_name",
    "IDENT": "log_ident",
}
"""XFORWARD attributes, and under which names the queue keeps them for the log."""


def _attributes(session: Session, transaction: Transaction) -> dict[str, str]:
    """Named attributes of the queue file, as smtpd(8) writes them."""
    peer = session.peer_info
    attributes = {
        "log_client_name": peer.name,
        "log_client_address": peer.address,
        "log_client_port": str(peer.port),
        "log_message_origin": peer.label,
        "log_protocol_name": session.protocol,
        "client_name": peer.name,
        "reverse_client_name": peer.reverse_name,
        "client_address": peer.address,
        "client_port": str(peer.port),
        "protocol_name": session.protocol,
    }
    if session.helo_name:
        attributes["log_helo_name"] = attributes["helo_name"] = session.helo_name
    for name, attribute in _FORWARDED.items():
        if name in session.forwarded:
            attributes[attribute] = session.forwarded[name]
    if session.sasl_username:
        attributes["sasl_method"] = session.sasl_method
        attributes["sasl_username"] = session.sasl_username
    if transaction.sasl_sender:
        attributes["sasl_sender"] = transaction.sasl_sender
    return attributes
