"""XCLIENT and XFORWARD (XCLIENT_README, XFORWARD_README): an authorized client speaks for another one."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from mta.address import mailhost_address, valid_hostname
from mta.smtpd.arguments import Word, decode_xtext, is_digits
from mta.smtpd.replies import OK, Refused, Reply
from mta.smtpd.session import UNKNOWN, NameStatus, Peer, Session

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

XCLIENT_ATTRIBUTES: Final = (
    *("NAME", "ADDR", "PROTO", "HELO", "REVERSE_NAME"),
    *("PORT", "LOGIN", "DESTADDR", "DESTPORT"),
)
XFORWARD_ATTRIBUTES: Final = ("NAME", "ADDR", "PROTO", "HELO", "SOURCE", "PORT", "IDENT")
UNAVAILABLE: Final = "[UNAVAILABLE]"
TEMPORARILY_UNAVAILABLE: Final = "[TEMPUNAVAIL]"
VALUE_LIMIT: Final = 255
"""Characters of a value; XFORWARD_README sets it."""

IN_TRANSACTION: Final = Reply(503, "5.5.1", "Error: MAIL transaction in progress")
NOT_AUTHORIZED: Final = Reply(550, "5.7.0", "Error: insufficient authorization")
_NEUTERED: Final = re.compile(r"[\x00-\x20\x7f<>()\\\";@]")


async def xclient(connection: Connection, words: list[Word]) -> Reply | None:
    """Replace what is known of the client, then greet the new one."""
    session, server = connection.session, connection.server
    if connection.envelope.open:
        return IN_TRANSACTION
    if len(words) < 2:
        return Reply(501, "5.5.4", "Syntax: XCLIENT attribute=value...")
    if not session.may_xclient:
        return NOT_AUTHORIZED
    try:
        attributes = _attributes("XCLIENT", words[1:], XCLIENT_ATTRIBUTES)
        peer = _peer(session, attributes)
        local = _local(session, attributes)
        protocol = _protocol(attributes, session.protocol)
        helo = _helo(attributes)
    except Refused as error:
        return error.reply
    connection.new_transaction()
    session.peer_info, session.local, session.protocol = peer, local, protocol
    session.in_mynetworks = None
    session.host_name = helo
    login = attributes.get("LOGIN", UNAVAILABLE)
    session.sasl_username = "" if login == UNAVAILABLE else login
    session.sasl_method = "XCLIENT" if session.sasl_username else ""
    session.forwarded.clear()
    if session.filters is not None:
        await session.filters.close()
        session.filters = session.filter_refusal = None
    await server.choose_client_rules(session)
    return await server.welcome(connection)


async def xforward(connection: Connection, words: list[Word]) -> Reply:
    """Note who the client of the client is, for the log and for content filters' second pass."""
    session = connection.session
    if connection.envelope.open:
        return IN_TRANSACTION
    if len(words) < 2:
        return Reply(501, "5.5.4", "Syntax: XFORWARD attribute=value...")
    if not session.may_xforward:
        return NOT_AUTHORIZED
    try:
        attributes = _attributes("XFORWARD", words[1:], XFORWARD_ATTRIBUTES)
        if attributes.get("ADDR", UNAVAILABLE) != UNAVAILABLE:
            _address(attributes["ADDR"], "ADDR")
        if attributes.get("NAME", UNAVAILABLE) != UNAVAILABLE and not valid_hostname(attributes["NAME"]):
            raise _bad_value("NAME", attributes["NAME"])
        _port(attributes.get("PORT", UNAVAILABLE), "PORT")
        if attributes.get("SOURCE", "LOCAL").upper() not in ("LOCAL", "REMOTE", UNAVAILABLE):
            raise _bad_value("SOURCE", attributes["SOURCE"])
    except Refused as error:
        return error.reply
    session.forwarded |= attributes
    return OK


def _attributes(command: str, words: list[Word], known: tuple[str, ...]) -> dict[str, str]:
    """Names and what stands for no value in upper case, values decoded and made harmless; raises Refused."""
    found = {}
    for word in words:
        name, _, value = word.text.partition("=")
        if not value:
            raise Refused(501, "5.5.4", "Error: attribute=value expected")
        decoded = decode_xtext(value)
        if name.upper() not in known:
            raise Refused(501, "5.5.4", f"Bad {command} attribute name: {name}")
        if len(value) > VALUE_LIMIT or decoded is None:
            raise _bad_value(name.upper(), value[:VALUE_LIMIT])
        upper = decoded.upper()
        found[name.upper()] = upper if upper in (UNAVAILABLE, TEMPORARILY_UNAVAILABLE) else _NEUTERED.sub("?", decoded)
    return found


def _bad_value(name: str, value: str) -> Refused:
    return Refused(501, "5.5.4", f"Bad {name} syntax: {value}")


def _peer(session: Session, attributes: dict[str, str]) -> Peer:
    """The new client; attributes that are not given stay as they are."""
    peer = session.peer_info
    if "ADDR" in attributes:
        address = attributes["ADDR"]
        known = address not in (UNAVAILABLE, TEMPORARILY_UNAVAILABLE)
        peer = replace(peer, address=_address(address, "ADDR") if known else UNKNOWN)
    if "PORT" in attributes:
        peer = replace(peer, port=_port(attributes["PORT"], "PORT"))
    if "NAME" in attributes:
        name, status = _name(attributes["NAME"], "NAME")
        peer = replace(peer, name=name, name_status=status)
        if status is NameStatus.FOUND and "REVERSE_NAME" not in attributes:
            peer = replace(peer, reverse_name=name, reverse_status=status)
    if "REVERSE_NAME" in attributes:
        name, status = _name(attributes["REVERSE_NAME"], "REVERSE_NAME")
        peer = replace(peer, reverse_name=name, reverse_status=status)
    return peer


def _name(value: str, attribute: str) -> tuple[str, NameStatus]:
    if value == UNAVAILABLE:
        return UNKNOWN, NameStatus.PERMANENT
    if value == TEMPORARILY_UNAVAILABLE:
        return UNKNOWN, NameStatus.TEMPORARY
    if not valid_hostname(value):
        raise _bad_value(attribute, value)
    return value, NameStatus.FOUND


def _address(value: str, attribute: str) -> str:
    address = mailhost_address(value)
    if address is None:
        raise _bad_value(attribute, value)
    return str(ipaddress.ip_address(address))


def _port(value: str, attribute: str) -> int:
    if value == UNAVAILABLE:
        return 0
    if not is_digits(value, 5):
        raise _bad_value(attribute, value)
    return int(value)


def _local(session: Session, attributes: dict[str, str]) -> tuple[str, int]:
    address, port = session.local
    if attributes.get("DESTADDR", UNAVAILABLE) != UNAVAILABLE:
        address = _address(attributes["DESTADDR"], "DESTADDR")
    if attributes.get("DESTPORT", UNAVAILABLE) != UNAVAILABLE:
        port = _port(attributes["DESTPORT"], "DESTPORT")
    return address, port


def _protocol(attributes: dict[str, str], current: str) -> str:
    value = attributes.get("PROTO", current).upper()
    if value not in ("SMTP", "ESMTP", UNAVAILABLE):
        raise _bad_value("PROTO", attributes["PROTO"])
    return current if value == UNAVAILABLE else value


def _helo(attributes: dict[str, str]) -> str | None:
    value = attributes.get("HELO", UNAVAILABLE)
    return None if value == UNAVAILABLE else value
