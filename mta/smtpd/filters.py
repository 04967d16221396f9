"""smtpd_milters in the SMTP dialogue: what filters are told, and what becomes of their verdicts (MILTER_README)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mta.address import quote_821
from mta.message import Rejected
from mta.milter import Filters, Verdict
from mta.milter.macros import bare
from mta.milter.message import changed, edits_of
from mta.queue import NewMessage
from mta.smtpd.arguments import Word
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session
from mta.tables import TableError

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

COMMANDS_REFUSED: Final = frozenset({"MAIL", "VRFY", "ETRN"})
"""A filter's refusal of the client or of its HELO is told here: HELO itself gets 250, as Sendmail has it."""

TRY_LATER: Final = Reply(454, "4.3.0", "Try again later")


def refusal_of_service(session: Session) -> Reply | None:
    """The same at AUTH and STARTTLS, where 454 is the only temporary refusal (RFC 4954, RFC 3207)."""
    refusal = session.filter_refusal
    return TRY_LATER if refusal is not None and refusal.code < 500 else refusal


async def begin(connection: Connection) -> Reply | None:
    """A client has connected; only a refusal that hangs up is told at once."""
    session = connection.session
    filters = await _filters_for(connection)
    if not filters:
        return None
    peer = session.peer_info
    session.filters = filters.chain(lambda name: _macro(connection, bare(name)))
    refusal = _refusal(connection, await session.filters.connect(peer.name, peer.address, peer.port))
    told = _remember(connection, refusal)
    if told is None and refuses_for_good(session):
        return Reply(554, "", f"{connection.server.hostname} ESMTP not accepting connections")
    return told


def refuses_for_good(session: Session) -> bool:
    """A filter has refused the client or its HELO, not only for now: EHLO then announces next to nothing."""
    return session.filter_refusal is not None and session.filter_refusal.code >= 500


async def unknown(connection: Connection, line: str) -> Reply | None:
    """A command that the server does not know may be one that a filter refuses in its own words."""
    session = connection.session
    return None if session.filters is None else _refusal(connection, await session.filters.unknown(line))


async def helo(connection: Connection, name: str) -> Reply | None:
    """HELO or EHLO ends a transaction, for filters too."""
    session = connection.session
    if session.filters is None:
        return None
    await session.filters.abort()
    return _remember(connection, _refusal(connection, await session.filters.helo(name)))


async def mail(connection: Connection, sender: str, options: Sequence[Word]) -> Reply | None:
    session = connection.session
    if session.filters is None:
        return None
    connection.envelope.actions.hold |= session.filter_hold
    session.filter_macros = await _address_macros(connection, "mail", sender)
    verdict = await session.filters.mail(quote_821(sender) if sender else "", [word.text for word in options])
    return _refusal(connection, verdict)


async def rcpt(connection: Connection, recipient: str, options: Sequence[Word]) -> Reply | None:
    session = connection.session
    if session.filters is None:
        return None
    session.filter_macros |= await _address_macros(connection, "rcpt", recipient)
    return _refusal(connection, await session.filters.rcpt(quote_821(recipient), [word.text for word in options]))


async def data(connection: Connection) -> Reply | None:
    session = connection.session
    return None if session.filters is None else _refusal(connection, await session.filters.data())


async def give_up(connection: Connection) -> None:
    """The transaction ends without a message; nothing happens if its content was shown to the filters."""
    if connection.session.filters is not None:
        await connection.session.filters.abort()


async def content(connection: Connection, message: NewMessage) -> NewMessage | None:
    """The message as the filters leave it; None where one wants it discarded. Raises Rejected."""
    filters, transaction = connection.session.filters, connection.envelope
    assert filters is not None
    cleanup = connection.server.cleanup
    edits, findings = edits_of(message, transaction.trace, cleanup, _context(connection))
    refusal = _refusal(connection, await filters.content(edits))
    if refusal is not None:
        raise Rejected(refusal.code, refusal.status, refusal.text)
    if transaction.actions.discard:
        return None
    message = replace(message, hold=message.hold or transaction.actions.hold)
    return await changed(message, edits, findings, cleanup)


def _context(connection: Connection) -> str:
    """Whose message it is, for the log of milter_header_checks."""
    session, transaction = connection.session, connection.envelope
    to = f" to=<{transaction.rcpt_tos[0]}>" if transaction.rcpt_tos else ""
    helo = f" helo=<{session.helo_name}>" if session.helo_name else ""
    about = f"from=<{transaction.sender}>{to} proto={session.protocol}{helo}"
    return f"{transaction.queue_id} {session.label}; {about}"


async def _filters_for(connection: Connection) -> Filters | None:
    """smtpd_milter_maps may name others for a client's address, or DISABLE."""
    server = connection.server
    if server.milter_maps:
        try:
            value = await server.milter_maps.lookup(connection.session.peer_info.address)
        except TableError:
            return server.milters
        if value is not None:
            words = value.replace(",", " ").split()
            return None if value.upper() == "DISABLE" else Filters.of(server.config, "smtpd_milter_maps", words)
    return server.milters


def _remember(connection: Connection, refusal: Reply | None) -> Reply | None:
    if refusal is not None and not refusal.hangs_up:
        connection.session.filter_refusal = refusal
        return None
    return refusal


def _refusal(connection: Connection, verdict: Verdict | None) -> Reply | None:
    """The reply of a verdict, logged; hold and discard are noted on the transaction."""
    if verdict is None:
        return None
    session, transaction = connection.session, connection.envelope
    if verdict.hold:
        transaction.actions.hold = True
        session.filter_hold |= not transaction.open
        return None
    if verdict.discard:
        transaction.actions.discard = True
        return None
    reply = Reply(verdict.code, verdict.status, verdict.text)
    words = [f"{transaction.queue_id or 'NOQUEUE'}: milter-reject: {session.command} from {session.label}: {reply};"]
    if transaction.mail_from is not None:
        words.append(f"from=<{transaction.mail_from}>")
    words.append(f"proto={session.protocol}")
    if session.helo_name:
        words.append(f"helo=<{session.helo_name}>")
    log.info("%s", " ".join(words))
    return reply


async def _address_macros(connection: Connection, prefix: str, address: str) -> dict[str, str]:
    """{mail_addr}, {mail_host}, {mail_mailer}, or the same of a recipient."""
    macros = {f"{prefix}_addr": quote_821(address) if address else ""}
    if address:
        try:
            resolution = await connection.server.access.resolve(address, "")
        except TableError:
            return macros
        macros |= {f"{prefix}_host": resolution.nexthop, f"{prefix}_mailer": resolution.transport}
    return macros


def _macro(connection: Connection, name: str) -> str | None:
    """The value of a macro in this session; None where it has none."""
    session = connection.session
    peer, agreed = session.peer_info, session.tls.agreed if session.tls else None
    values: dict[str, str | None] = {
        "_": f"{peer.name} [{peer.address}]",
        "i": connection.envelope.queue_id or None,
        "client_addr": peer.address,
        "client_name": peer.name,
        "client_port": str(peer.port),
        "client_ptr": peer.reverse_name,
        "daemon_addr": session.local[0],
        "daemon_port": str(session.local[1]),
        "auth_type": session.sasl_method or None,
        "auth_authen": session.sasl_username or None,
        "auth_author": connection.envelope.sasl_sender or None,
        "tls_version": agreed.protocol if agreed else None,
        "cipher": agreed.cipher if agreed else None,
        "cipher_bits": str(agreed.used_bits) if agreed else None,
        "cert_subject": (agreed.peer_name or None) if agreed else None,
        "cert_issuer": (agreed.issuer_name or None) if agreed else None,
    }
    if name in values:
        found = values[name]
        return found if found is not None else connection.server.milter_macros.get(name)
    return session.filter_macros.get(name, connection.server.milter_macros.get(name))
