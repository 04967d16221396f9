"""MAIL, RCPT and RSET: the envelope of a mail transaction (RFC 5321 section 4.1.1, RFC 1870, 3461, 6152, 6531)."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Final

from mta.queue import Notify, QueueError, QueueFull
from mta.smtpd import filters, replies
from mta.smtpd.arguments import Word, is_digits, unxtext
from mta.smtpd.replies import Refused, Reply
from mta.smtpd.session import Session, Transaction
from mta.verify.sender import without_time

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

TOO_MANY_RECIPIENTS: Final = Reply(452, "4.5.3", "Error: too many recipients")
MAIL_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: MAIL FROM:<address>")
RCPT_SYNTAX: Final = Reply(501, "5.5.4", "Syntax: RCPT TO:<address>")
BAD_SENDER: Final = Reply(501, "5.1.7", "Bad sender address syntax")
BAD_RECIPIENT: Final = Reply(501, "5.1.3", "Bad recipient address syntax")
NESTED_MAIL: Final = Reply(503, "5.5.1", "Error: nested MAIL command")
NEED_MAIL: Final = Reply(503, "5.5.1", "Error: need MAIL command")
MAIL_AFTER_BDAT: Final = Reply(503, "5.5.1", "Error: MAIL after BDAT")
RCPT_AFTER_BDAT: Final = Reply(503, "5.5.1", "Error: RCPT after BDAT")
MUST_DECLARE_UTF8: Final = Reply(553, "5.6.7", "Must declare SMTPUTF8 to send unicode address")
DSN_DISABLED: Final = Reply(501, "5.7.1", "DSN support is disabled")

PLAIN_ADDRESS: Final = re.compile(
    r"<([A-Za-z0-9_](?:[A-Za-z0-9_+=.-]*[A-Za-z0-9_+=-])?@(?=.{1,255}>)"
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z]{1,63})>"
)
"""The addresses of nearly all mail: nothing in them that the full parser would see otherwise than this expression."""

LARGEST_DIGITS: Final = 18
"""Digits of SIZE= that still are a file size; more is an overflow (off_t of smtpd(8))."""


async def mail(connection: Connection, words: list[Word]) -> Reply:
    """Begin a transaction."""
    session, server = connection.session, connection.server
    if server.helo_required and session.helo_name is None:
        return replies.NEED_HELO
    if connection.envelope.open:
        return NESTED_MAIL
    if connection.envelope.chunking:
        return MAIL_AFTER_BDAT
    if len(words) < 3 or words[1].text.lower() != "from:":
        return MAIL_SYNTAX
    if refusal := await server.limits.message(session):
        return refusal
    transaction = connection.envelope
    options = words[3:]
    transaction.smtp_utf8 = server.smtputf8 and any(_is_smtputf8(session, word) for word in options)
    try:
        sender = await _address(connection, words[2], BAD_SENDER, allow_empty=True)
        for word in options:
            _mail_option(connection, transaction, word.text)
        if server.message_size_limit and transaction.size > server.message_size_limit:
            raise Refused(552, "5.3.4", "Message size exceeds fixed limit")
        server.check_space(transaction.size)
        refusal = await filters.mail(connection, sender, options)
        if refusal is None and not server.access.delay_reject:
            refusal = await server.access.check_mail(connection, sender)
        if refusal is not None:
            raise Refused(refusal.code, refusal.status, refusal.text)
    except (Refused, QueueFull, QueueError) as error:
        _forget_options(transaction)
        return _refusal(error)
    transaction.mail_from = sender
    if server.open_early:
        _open(connection)
    return replies.SENDER_OK


async def rcpt(connection: Connection, words: list[Word]) -> Reply:
    """Add a recipient."""
    session, server, transaction = connection.session, connection.server, connection.envelope
    if not transaction.open:
        return NEED_MAIL
    if transaction.chunking:
        return RCPT_AFTER_BDAT
    if len(words) < 3 or words[1].text.lower() != "to:":
        return RCPT_SYNTAX
    if refusal := await server.limits.recipient(session):
        return refusal
    try:
        recipient = await _address(connection, words[2], BAD_RECIPIENT, allow_empty=False)
        if server.probe_sender_changes:
            recipient = without_time(server.config, recipient, server.clock())
        orcpt, notify = _rcpt_options(session, words[3:])
        orcpt = orcpt or "rfc822;" + words[2].text.removeprefix("<").removesuffix(">")
    except Refused as error:
        return error.reply
    if server.recipient_limit and len(transaction.recipients) >= server.recipient_limit:
        transaction.overshoot += 1
        if transaction.overshoot > server.recipient_overshoot_limit:
            session.errors += 1
        return TOO_MANY_RECIPIENTS
    if refusal := session.screened_out or await server.access.check_rcpt(connection, recipient):
        return refusal
    if refusal := await filters.rcpt(connection, recipient, words[3:]):
        return refusal
    if not transaction.queue_id:
        _open(connection)
    transaction.add_recipient(recipient, orcpt, notify)
    return replies.RECIPIENT_OK


async def rset(connection: Connection, words: list[Word]) -> Reply:
    """Forget the transaction, keep the session."""
    if len(words) != 1:
        return Reply(501, "5.5.4", "Syntax: RSET")
    await filters.give_up(connection)
    connection.new_transaction()
    return replies.OK


def _open(connection: Connection) -> None:
    """Give the message its queue id."""
    session, transaction = connection.session, connection.envelope
    transaction.queue_id = connection.server.queue.new_id()
    log.info("%s: client=%s%s", transaction.queue_id, session.label, _sasl_words(session, transaction))


def _sasl_words(session: Session, transaction: Transaction) -> str:
    words = ""
    if session.sasl_username:
        words += f", sasl_method={session.sasl_method}, sasl_username={session.sasl_username}"
    if transaction.sasl_sender:
        words += f", sasl_sender={transaction.sasl_sender}"
    return words


def _forget_options(transaction: Transaction) -> None:
    """After a refused MAIL. Like smtpd(8), the size that was announced is remembered until RSET."""
    transaction.body = transaction.ret = transaction.envid = transaction.sasl_sender = ""
    transaction.smtp_utf8 = False


def _refusal(error: Refused | QueueFull | QueueError) -> Reply:
    if isinstance(error, Refused):
        return error.reply
    code, status, text = error.reply.split(" ", 2)
    return Reply(int(code), status, text)


async def _address(connection: Connection, word: Word, refusal: Reply, *, allow_empty: bool) -> str:
    """The address of MAIL or RCPT in internal form: unquoted, without brackets. Raises Refused with `refusal`."""
    if match := PLAIN_ADDRESS.fullmatch(word.text):
        return match[1]
    if word.text == "<>" and allow_empty:
        return ""
    bad = Refused(refusal.code, refusal.status, refusal.text)
    if word.unbalanced:
        raise bad
    addresses = connection.server.addresses
    address = addresses.extract(word.text, allow_empty=allow_empty, strict=connection.server.strict_envelopes)
    if address is None:
        log.warning(
            "Illegal address syntax from %s in %s command: %.200s",
            connection.session.label,
            connection.session.command,
            word.text,
        )
        raise bad
    if address and not await addresses.is_valid(address, connection.envelope.smtp_utf8):
        raise bad
    if connection.server.strict_smtputf8 and not (connection.envelope.smtp_utf8 or address.isascii()):
        raise Refused(MUST_DECLARE_UTF8.code, MUST_DECLARE_UTF8.status, MUST_DECLARE_UTF8.text)
    return address


def _is_smtputf8(session: Session, word: Word) -> bool:
    return word.text.upper() == "SMTPUTF8" and "smtputf8" not in session.discarded_keywords


def _mail_option(connection: Connection, transaction: Transaction, text: str) -> None:
    """One ESMTP parameter of MAIL; raises Refused."""
    session = connection.session
    keyword, equals, value = text.partition("=")
    match keyword.upper() + equals:
        case "BODY=" if value.upper() in ("8BITMIME", "7BIT"):
            transaction.body = value.upper()
        case "SMTPUTF8" if transaction.smtp_utf8:
            pass
        case "SIZE=":
            if not value.isdigit() or not value.isascii():
                raise Refused(501, "5.5.4", "Bad message size syntax")
            if not is_digits(value.lstrip("0") or "0", LARGEST_DIGITS):
                raise Refused(552, "5.3.4", "Message size exceeds file system imposed limit")
            transaction.size = int(value.lstrip("0") or "0")
        case "RET=":
            _need_dsn(session)
            if transaction.ret or value.upper() not in ("FULL", "HDRS"):
                raise Refused(501, "5.5.4", "Bad RET parameter syntax")
            transaction.ret = value.upper()
        case "ENVID=":
            _need_dsn(session)
            envid = unxtext(value)
            if transaction.envid or not envid:
                raise Refused(501, "5.5.4", "Bad ENVID parameter syntax")
            transaction.envid = envid
        case "AUTH=":
            connection.server.sasl.mail_option(session, transaction, value)
        case _:
            raise Refused(555, "5.5.4", f"Unsupported option: {text}")


def _need_dsn(session: Session) -> None:
    if "dsn" in session.discarded_keywords:
        raise Refused(DSN_DISABLED.code, DSN_DISABLED.status, DSN_DISABLED.text)


def _rcpt_options(session: Session, options: list[Word]) -> tuple[str, Notify]:
    """ORCPT, decoded, and NOTIFY of RFC 3461; raises Refused."""
    orcpt, notify = "", Notify.DEFAULT
    for word in options:
        keyword, equals, value = word.text.partition("=")
        match keyword.upper() + equals:
            case "NOTIFY=":
                _need_dsn(session)
                try:
                    parsed = Notify.parse(",".join(dict.fromkeys(value.upper().split(","))))
                except ValueError:
                    parsed = Notify.DEFAULT
                if notify or not parsed:
                    raise Refused(501, "5.5.4", "Error: Bad NOTIFY parameter syntax")
                notify = parsed
            case "ORCPT=":
                _need_dsn(session)
                kind, semicolon, encoded = value.partition(";")
                decoded = unxtext(encoded)
                if orcpt or not kind or not semicolon or decoded is None:
                    raise Refused(501, "5.5.4", "Error: Bad ORCPT parameter syntax")
                orcpt = f"{kind};{decoded}"
            case _:
                raise Refused(555, "5.5.4", f"Unsupported option: {word.text}")
    return orcpt, notify
