"""The exchange of AUTH, carried between the client and the auth service; passwords are never kept here."""

from __future__ import annotations

import base64
import binascii
import logging
from typing import TYPE_CHECKING, Final

from auth.client import AuthCancelled, AuthFailed, AuthUnavailable
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

SUCCESS: Final = Reply(235, "2.7.0", "Authentication successful")
CANCELLED: Final = Reply(501, "5.7.0", "Authentication aborted")
TOO_LONG: Final = Reply(500, "5.5.6", "Authentication Exchange line is too long")
UNKNOWN_REASON: Final = "(reason unavailable)"


async def run(connection: Connection, mechanism: str, initial: str | None) -> Reply:
    """Every step from the client's initial response, if there is one, to the reply that ends it."""
    session, server = connection.session, connection.server
    sasl = server.sasl
    assert sasl.client is not None
    name = mechanism.upper()
    too_long = False

    async def challenge(octets: bytes) -> bytes:
        """Hand a challenge to the client and fetch its answer."""
        nonlocal too_long
        from mta.smtpd.connection import LineTooLong

        await connection.reply(Reply(334, "", base64.b64encode(octets).decode("ascii")))
        try:
            line = await connection.read_response(sasl.response_limit)
        except LineTooLong:
            too_long = True
            raise AuthCancelled from None
        if line == b"*":
            raise AuthCancelled
        return _decode(line)

    peer = session.peer_info
    try:
        if name not in await sasl.usable(session):
            return _failed(session, name, "Invalid authentication mechanism")
        success = await sasl.client.authenticate(
            name,
            None if initial is None else b"" if initial == "=" else _decode(initial.encode("utf-8", "surrogateescape")),
            challenge,
            secured="tls" if session.tls is not None else "",
            binding=session.tls.binding if session.tls is not None else None,
            local=session.local,
            remote=(peer.address, peer.port),
        )
    except AuthCancelled:
        return TOO_LONG if too_long else CANCELLED
    except _BadBase64:
        return _failed(
            session, name, "Invalid base64 data in " + ("continued" if initial is None else "initial") + " response"
        )
    except AuthUnavailable as error:
        log.warning("%s: SASL %s authentication failed: %s", session.label, name, error)
        return Reply(454, "4.7.0", "Temporary authentication failure: Connection lost to authentication server")
    except AuthFailed as error:
        if error.temp:
            log.warning("%s: SASL %s authentication failed: %s", session.label, name, error.reason or UNKNOWN_REASON)
            return Reply(454, "4.7.0", f"Temporary authentication failure: {error.reason or UNKNOWN_REASON}")
        return _failed(session, name, error.reason or UNKNOWN_REASON)
    session.sasl_method = name
    session.sasl_username = success.user
    return SUCCESS


def _failed(session: Session, mechanism: str, reason: str) -> Reply:
    log.warning("%s: SASL %s authentication failed: %s", session.label, mechanism, reason)
    return Reply(535, "5.7.8", f"Error: authentication failed: {reason}")


class _BadBase64(Exception):
    """The client's response cannot be decoded; its text is not repeated, it may be a password."""


def _decode(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise _BadBase64 from None
