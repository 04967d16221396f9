"""STARTTLS, AUTHENTICATE and LOGIN (RFC 3501 section 6.2, SASL-IR of RFC 4959), worded as Dovecot does."""

from __future__ import annotations

import base64
from collections.abc import Awaitable
from typing import TYPE_CHECKING

from imap.imap4.arguments import Atom
from imap.imap4.commands.base import Command, Reply, State
from imap.imap4.errors import MISSING, Bad, No
from imap.login import PLAINTEXT_EXPOSED, LoginFailed, Outcome
from imap.session import Disconnect
from imap.store import UserStore

if TYPE_CHECKING:
    from imap.imap4.arguments import Arguments
    from imap.imap4.session import Session


class StartTls(Command):
    """STARTTLS: what was sent in the clear behind it is refused, never carried into TLS (RFC 3501 section 6.2.1)."""

    name = "STARTTLS"
    states = State.NOT_AUTHENTICATED

    def run(self, session: Session, arguments: Arguments) -> Reply:
        if not session.login.tls_possible:
            return Reply("TLS support isn't enabled.", status="BAD")
        if session.login.tls:
            return Reply("TLS is already active.", status="BAD")  # not counted among the bad commands
        return Reply("Begin TLS negotiation now.", start_tls=True)


class Login(Command):
    """LOGIN user password."""

    name = "LOGIN"
    states = State.NOT_AUTHENTICATED

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        user, password = arguments.astring(), arguments.astring()
        arguments.end()
        if not session.login.plaintext_allowed:
            session.write(f"* BAD [ALERT] {PLAINTEXT_EXPOSED}\r\n".encode())
        return await _admitted(session, session.login.password(user, password))


class Authenticate(Command):
    """AUTHENTICATE mechanism [initial-response]."""

    name = "AUTHENTICATE"
    states = State.NOT_AUTHENTICATED

    async def run(self, session: Session, arguments: Arguments) -> Reply:
        if not arguments.more():
            raise Bad(MISSING)
        # As Dovecot takes them: atoms only, and what comes behind the initial response is not looked at.
        name = arguments.take()
        mechanism = name.decode("ascii", "replace") if isinstance(name, Atom) else ""
        initial = arguments.take() if arguments.more() else None
        if not isinstance(initial, Atom | None):
            raise Bad("Invalid base64 data in initial response")

        async def ask(challenge: bytes) -> bytes:
            session.write(b"+ " + base64.b64encode(challenge) + b"\r\n")
            session.flush()
            return await session.read_line()

        try:
            return await _admitted(session, session.login.sasl(mechanism, initial, ask))
        except Bad as error:
            return Reply(error.text, error.code, status="BAD")  # not one of the bad commands that are counted


async def _admitted(session: Session, attempt: Awaitable[UserStore]) -> Reply:
    """Await the auth service's word and enter the authenticated state. Raises No or Bad as the failure is worded."""
    try:
        store = await attempt
    except LoginFailed as failure:
        if failure.outcome in (Outcome.CANCELLED, Outcome.MALFORMED):
            raise Bad(failure.text) from None
        raise No(failure.text, failure.outcome.imap) from None
    if session.closed:
        store.close()
        raise Disconnect("")
    session.logged_in_as(store)
    if session.asked_capability:  # as Dovecot: who asked before is told as if it had asked again
        session.tell_capability()
        return Reply("Logged in")
    return Reply("Logged in", f"CAPABILITY {session.capabilities()}")
