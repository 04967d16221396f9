"""Log-in, shared by IMAP and POP3: who may authenticate how, against the auth service, and whose mail is opened then.

A :class:`LoginService` belongs to a process, a :class:`Login` to a connection. The protocols word the outcome; here
a failure is a :class:`LoginFailed` that says which of Dovecot's outcomes it is.
"""

from __future__ import annotations

import base64
import binascii
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from auth.client import AuthCancelled, AuthClient, AuthFailed, AuthSuccess, AuthUnavailable, MasterClient
from auth.sessions import Sessions
from imap.connections import Connections
from imap.login_settings import LoginSettings
from imap.store import MailRoot, StoreError, UserStore
from tls.binding import EXPORTER, UNIQUE
from tls.names import subject_field

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from imap.config import MailSettings

PLAINTEXT_REFUSED = "Plaintext authentication disallowed on non-secure (SSL/TLS) connections."
NEEDS_TLS = "Authentication disallowed on non-secure (SSL/TLS) connections."
PLAINTEXT_EXPOSED = (
    "Plaintext authentication not allowed without SSL/TLS, but your client did it anyway. "
    "If anyone was listening, the password was exposed."
)


class Outcome(Enum):
    """Why a log-in failed: the response code of IMAP (RFC 5530) and the one of POP3 (RFC 2449, 3206)."""

    FAILED = ("AUTHENTICATIONFAILED", "AUTH")
    AUTHORIZATION = ("AUTHORIZATIONFAILED", "AUTH")
    EXPIRED = ("EXPIRED", "AUTH")
    TEMPORARY = ("UNAVAILABLE", "SYS/TEMP")
    PRIVACY = ("PRIVACYREQUIRED", "AUTH")
    LIMIT = ("LIMIT", "IN-USE")
    REFUSED = ("ALERT", "AUTH")
    MALFORMED = ("", "AUTH")
    CANCELLED = ("", "")

    @property
    def imap(self) -> str:
        """The response code in IMAP."""
        return self.value[0]

    @property
    def pop3(self) -> str:
        """The response code in POP3."""
        return self.value[1]


_TEXTS = {
    Outcome.FAILED: "Authentication failed.",
    Outcome.AUTHORIZATION: "Authorization failed.",
    Outcome.EXPIRED: "Password expired.",
    Outcome.TEMPORARY: "Temporary authentication failure.",
    Outcome.PRIVACY: PLAINTEXT_REFUSED,
    Outcome.CANCELLED: "Authentication aborted by client.",
}


class LoginFailed(Exception):
    """A log-in that did not succeed; ``text`` may be told to the peer."""

    def __init__(self, outcome: Outcome, text: str | None = None) -> None:
        self.outcome = outcome
        self.text = text if text is not None else _TEXTS[outcome]
        super().__init__(self.text)


class Mechanism(Protocol):
    """What the auth service says of a mechanism."""

    @property
    def name(self) -> str: ...
    @property
    def flags(self) -> frozenset[str]: ...


# Sends a challenge (raw octets) and gives the line that the client answers with.
Ask = Callable[[bytes], Awaitable[bytes]]


class LoginService:
    """What the connections of one process share."""

    def __init__(
        self,
        settings: LoginSettings,
        auth: AuthClient,
        master: MasterClient,
        finished: MasterClient | None,
        mail: MailSettings,
        root: MailRoot,
        connections: Connections,
        sessions: Sessions,
    ) -> None:
        self.settings = settings
        self.auth = auth
        self.master = master
        self.finished = finished  # asked for the user of a log-in, None where that may not be
        self.mail = mail
        self.root = root
        self.mechanisms: tuple[Mechanism, ...] = ()
        self.connections = connections
        self.sessions = sessions

    async def refresh(self) -> None:
        """Ask the auth service for its mechanisms; greetings need them. Raises AuthUnavailable."""
        self.mechanisms = tuple(await self.auth.mechanisms())
        if self.finished is not None and not await self.finished.serves(self.auth):
            self.finished = None  # the userdbs are asked by name then, and know nothing of what the passdb told


class Login:
    """The log-in of one connection."""

    def __init__(self, service: LoginService, local: tuple[str, int], remote: tuple[str, int], session: str) -> None:
        self.service = service
        self.settings = service.settings
        self.local = local
        self.remote = remote
        self.session = session
        self._trusted = self.settings.trusts(remote[0])
        self.tls = False
        self.binding: Callable[[str], bytes | None] = lambda kind: None
        """Channel binding data of a kind, of the TLS session."""
        self.tls_possible = self.settings.ssl != "no"
        self.attempts = 0
        self.user: str | None = None
        self._place: int | None = None
        self._noted: int | None = None
        self.certificate: Callable[[], Certificate | None] = lambda: None
        """The client's certificate, if it is trusted."""
        self._apop = ""
        self.end: Callable[[], None] = lambda: None
        """Ends the connection, for ``doveadm kick``."""
        self.log = logging.getLogger(f"dovecot.{self.settings.protocol}-login")

    @property
    def greeting(self) -> str:
        """``login_greeting``."""
        return self.settings.greeting

    @property
    def secured(self) -> bool:
        """TLS, the same machine (both ends have one address), or a trusted network, as Dovecot counts it."""
        return self.tls or self.local[0] == self.remote[0] or self._trusted

    @property
    def plaintext_allowed(self) -> bool:
        """Whether a password may come in the clear over this connection."""
        return self.secured or not (self.settings.disable_plaintext_auth or self.settings.ssl == "required")

    @property
    def needs_tls(self) -> bool:
        """Whether nobody can log in before TLS, by any mechanism."""
        return not self.secured and self.settings.ssl == "required"

    @property
    def starttls_possible(self) -> bool:
        """Whether STARTTLS or STLS is to be offered now."""
        return self.tls_possible and not self.tls

    def mechanism_names(self) -> list[str]:
        """Mechanisms to announce now."""
        if self.needs_tls:
            return []
        return [
            each.name
            for each in self.service.mechanisms
            if self._offers(each) and (self.plaintext_allowed or "plaintext" not in each.flags)
        ]

    def _offers(self, mechanism: Mechanism) -> bool:
        """Whether a client may use a mechanism here; those bound to the TLS session need one that can be told."""
        if "channel-binding" in mechanism.flags:
            return self.tls and any(self.binding(kind) is not None for kind in (EXPORTER, UNIQUE))
        return "private" not in mechanism.flags

    def who(self) -> str:
        """How this connection is named in the log."""
        return f"{self.settings.protocol}({self.user or self.remote[0]})"

    async def password(self, user: bytes, password: bytes) -> UserStore:
        """Log in with LOGIN or USER/PASS. Raises LoginFailed."""
        if not self.plaintext_allowed:
            raise LoginFailed(Outcome.PRIVACY)
        if b"\0" in user or b"\0" in password:
            raise LoginFailed(Outcome.FAILED)
        return await self._authenticate("PLAIN", b"\0" + user + b"\0" + password, _no_challenge)

    def apop_challenge(self) -> str:
        """What POP3 greets with for APOP (RFC 1939 section 7), "" where the auth service does not offer it."""
        connection = self.service.auth.connection
        if connection is None or all(each.name != "APOP" for each in self.service.mechanisms):
            return ""
        server, number = connection
        unique = base64.b64encode(secrets.token_bytes(16)).decode()
        self._apop = f"<{server:x}.{number:x}.{int(time.time()):x}.{unique}@{self.settings.hostname}>"
        return self._apop

    async def apop(self, user: bytes, digest: bytes) -> UserStore:
        """Log in with APOP, over the challenge of the greeting. Raises LoginFailed."""
        if self.needs_tls:
            raise LoginFailed(Outcome.PRIVACY, NEEDS_TLS)
        return await self._authenticate("APOP", b"\0".join((self._apop.encode(), user, digest)), _no_challenge)

    async def sasl(self, name: str, initial: bytes | None, ask: Ask) -> UserStore:
        """Log in with a SASL mechanism (RFC 4422). ``initial`` is base64 or ``=``. Raises LoginFailed."""
        if self.needs_tls:
            raise LoginFailed(Outcome.PRIVACY, NEEDS_TLS)
        mechanism = next((each for each in self.service.mechanisms if each.name == name.upper()), None)
        if mechanism is None or not self._offers(mechanism):
            raise LoginFailed(Outcome.REFUSED, "Unsupported authentication mechanism.")
        if not self.plaintext_allowed and "plaintext" in mechanism.flags:
            raise LoginFailed(Outcome.PRIVACY)

        async def challenge(data: bytes) -> bytes:
            line = await ask(data)
            if line == b"*":
                raise AuthCancelled
            return _decoded(line, Outcome.REFUSED)

        response = None if initial is None else b"" if initial == b"=" else _decoded(initial, Outcome.MALFORMED)
        return await self._authenticate(mechanism.name, response, challenge)

    async def _authenticate(
        self, mechanism: str, initial: bytes | None, challenge: Callable[[bytes], Awaitable[bytes]]
    ) -> UserStore:
        self.attempts += 1
        certificate = self.certificate()
        named = certificate if self.settings.username_from_cert else None
        try:
            success = await self.service.auth.authenticate(
                mechanism,
                initial,
                challenge,
                secured="tls" if self.tls else "yes" if self.secured else "",
                binding=self.binding,
                valid_client_cert=certificate is not None,
                cert_username=subject_field(named.subject, self.settings.cert_username_field) if named else "",
                local=self.local,
                remote=self.remote,
                session=self.session,
                nologin=self.service.finished is None,
            )
        except AuthCancelled:
            raise LoginFailed(Outcome.CANCELLED) from None
        except AuthFailed as failure:
            self.log.info("Login failed: %s", self._details(failure.user or "", mechanism))
            raise _refusal(failure) from None
        except AuthUnavailable as failure:
            self.log.error("auth: %s", failure)
            raise LoginFailed(Outcome.TEMPORARY) from None
        if success.nologin:
            self.log.info("Login not allowed: %s", self._details(success.user, mechanism))
            raise _told(success.fields.get("reason", ""), Outcome.FAILED)
        if "proxy" in success.fields:
            self.log.error("Login refused, this server does not proxy: %s", self._details(success.user, mechanism))
            raise LoginFailed(Outcome.TEMPORARY)
        if success.final:  # the mechanism's last word, which the client answers with an empty line
            await challenge(success.final)
        store = await self._open(success)
        self.log.info("Login: %s", self._details(success.user, mechanism))
        return store

    async def _open(self, success: AuthSuccess) -> UserStore:
        """Find the user's mail (userdb) and open it, within mail_max_userip_connections."""
        user = success.user
        limit = self.settings.max_userip_connections
        place = self.service.connections.enter(user, self.remote[0], limit) if limit else None
        if limit and place is None:
            raise LoginFailed(
                Outcome.LIMIT,
                f"Maximum number of connections from user+IP exceeded (mail_max_userip_connections={limit})",
            )
        try:
            store = await self._mail_of(success)
        except BaseException:
            if place is not None:
                self.service.connections.leave(place)
            raise
        self.user, self._place = user, place
        self._noted = self.service.sessions.enter(user, self.remote[0], self.end)
        return store

    async def _mail_of(self, success: AuthSuccess) -> UserStore:
        user, service = success.user, self.service
        try:
            if service.finished is not None:
                fields = await service.finished.login(success)
            else:
                fields = await service.master.user(user, service=self.settings.protocol)
        except AuthUnavailable as failure:
            self.log.error("userdb lookup for %s: %s", user, failure)
            raise LoginFailed(Outcome.TEMPORARY) from None
        if fields is None:
            self.log.error("userdb: %s authenticated but has no userdb entry", user)
            raise LoginFailed(Outcome.TEMPORARY)
        try:
            return self.service.mail.user_store(self.service.root, fields.user, fields.fields)
        except StoreError as failure:
            self.log.error("mail of %s: %s", user, failure.reason or failure)
            raise LoginFailed(Outcome.TEMPORARY, "Internal error occurred. Refer to server log.") from None

    def log_end(self, reason: str, octets_in: int, octets_out: int) -> None:
        """Note the end of the session, as Dovecot does."""
        if self.user is not None:
            log = logging.getLogger(f"dovecot.{self.settings.protocol}")
            log.info("%s: Disconnected: %s in=%d out=%d", self.who(), reason, octets_in, octets_out)
        else:
            tries = f"auth failed, {self.attempts} attempts" if self.attempts else "no auth attempts"
            self.log.info("Disconnected: %s (%s): rip=%s, lip=%s", reason, tries, self.remote[0], self.local[0])

    def release(self) -> None:
        """The connection is over."""
        place, self._place = self._place, None
        if place is not None:
            self.service.connections.leave(place)
        noted, self._noted = self._noted, None
        if noted is not None:
            self.service.sessions.leave(noted)

    def _details(self, user: str, mechanism: str) -> str:
        secured = ", TLS" if self.tls else ", secured" if self.secured else ""
        return f"user=<{user}>, method={mechanism}, rip={self.remote[0]}, lip={self.local[0]}{secured}"


async def _no_challenge(data: bytes) -> bytes:
    raise AuthCancelled


def _decoded(line: bytes, outcome: Outcome) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except (binascii.Error, ValueError):
        raise LoginFailed(outcome, "Invalid base64 data in continued response") from None


def _refusal(failure: AuthFailed) -> LoginFailed:
    """Dovecot's reading of a FAIL line's fields."""
    if failure.temp:
        return LoginFailed(Outcome.TEMPORARY)
    outcome = {
        "authz_fail": Outcome.AUTHORIZATION,
        "authzfailed": Outcome.AUTHORIZATION,
        "pass_expired": Outcome.EXPIRED,
    }.get(failure.code, Outcome.FAILED)
    return _told(failure.reason, outcome)


def _told(reason: str, outcome: Outcome) -> LoginFailed:
    """A failure whose reason, where the auth service gives one, is meant for the user."""
    return LoginFailed(Outcome.REFUSED, reason) if reason.isprintable() and reason else LoginFailed(outcome)
