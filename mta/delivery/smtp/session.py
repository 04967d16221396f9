"""One connection to a server, from the greeting to the point where mail can be sent."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import Final

from mta.delivery.result import Dsn
from mta.delivery.smtp import sasl
from mta.delivery.smtp.protocol import BadReply, ClientProtocol, Disconnected, TimedOut
from mta.delivery.smtp.reply import Reply
from mta.delivery.smtp.saslcache import Refusals
from mta.delivery.smtp.settings import ClientSettings
from mta.delivery.smtp.tlspolicy import Level, PolicyTable, TlsPolicy, server_name

MAX_SIZE_DIGITS: Final = 18
"""A SIZE announcement with more digits is no size."""


NO_HANDSHAKE: Final = Dsn("4.7.5", "Cannot start TLS: handshake failure")


class SiteFailure(Exception):
    """The whole server is of no use now: every recipient fails, and the destination is held responsible."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn.reason)
        self.dsn = dsn


class MessageFailure(Exception):
    """This message cannot go to this server, which is fine otherwise."""

    def __init__(self, dsn: Dsn) -> None:
        super().__init__(dsn.reason)
        self.dsn = dsn


class HandshakeFailure(MessageFailure):
    """The server agreed to STARTTLS, then the handshake failed; TLS is not required (smtp_tls_security_level = may).

    The caller decides whether the message may go in plain text; no destination is throttled for this
    (smtp_start_tls). Nothing more can be said on the connection.
    """

    def __init__(self) -> None:
        super().__init__(NO_HANDSHAKE)


@dataclass(slots=True)
class Login:
    """How to log in, if a password is known for the server."""

    settings: sasl.SaslSettings
    credentials: sasl.Credentials | None
    refusals: Refusals | None = None
    """What servers refused before."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end as it is named in logs and reports."""

    host: str
    address: str
    port: int = 0
    """0 for a unix-domain socket."""

    @property
    def name(self) -> str:
        return f"{self.host}[{self.address}]"

    @property
    def full_name(self) -> str:
        return f"{self.name}:{self.port}" if self.port else self.name


@dataclass(slots=True)
class Session:
    """An open connection, and what its server can do."""

    protocol: ClientProtocol
    peer: Peer
    settings: ClientSettings
    nexthop_domain: str
    loop_detect: bool = False
    destination: str = ""
    """The next hop as written, in lower case."""
    features: dict[str, str] = field(default_factory=dict)
    """EHLO keywords, upper case, with their arguments."""
    size_limit: int = 0
    discarded: frozenset[str] | None = None
    """EHLO keywords that do not count at this address; None: those of the settings."""
    tls: bool = False
    tls_verified: bool = False
    authenticated: str = ""
    opened: float = 0.0
    deliveries: int = 0
    needs_reset: bool = False
    """A transaction was left in the middle."""
    poisoned: bool = False
    """Not to be used for another delivery."""

    @property
    def logger(self) -> logging.Logger:
        return logging.getLogger(f"postfix.{self.settings.prefix}")

    def offers(self, keyword: str) -> bool:
        return keyword in self.features

    def lost(self, error: Exception, doing: str) -> SiteFailure:
        """What to say when the connection broke while something was going on."""
        if isinstance(error, TimedOut):
            return SiteFailure(Dsn("4.4.2", f"conversation with {self.peer.name} timed out while {doing}"))
        if isinstance(error, BadReply):
            return SiteFailure(Dsn("4.5.0", f"bad reply from {self.peer.name} while {doing}: {error}"))
        return SiteFailure(Dsn("4.4.2", f"lost connection with {self.peer.name} while {doing}"))

    async def exchange(self, command: str, timeout: float, doing: str) -> Reply:
        """One command and its reply. Raises SiteFailure if the connection breaks."""
        try:
            return await self.protocol.command(command.encode("utf-8", "surrogateescape"), timeout)
        except (Disconnected, TimedOut, BadReply) as error:
            raise self.lost(error, doing) from error

    def failure(self, reply: Reply, text: str) -> SiteFailure:
        return SiteFailure(reply.dsn(self.peer.host, text))

    # --- greeting and EHLO -----------------------------------------------------------------------------------------

    async def start(self, tls: PolicyTable, policy: TlsPolicy, login: Login, nexthop: str) -> None:
        """Everything up to the first MAIL. Raises SiteFailure or HandshakeFailure."""
        if tls.defaults.wrappermode:
            await self._handshake(tls, policy, nexthop)
        await self._greeting()
        await self._hello()
        if not self.tls and policy.level >= Level.MAY and self.offers("STARTTLS"):
            await self._starttls(tls, policy, nexthop)
        if self.tls:
            tls.remember(policy, self.peer, self._ssl_object())
        if policy.level is Level.NONE and tls.defaults.note_offer and self.offers("STARTTLS"):
            self.logger.info("Host offered STARTTLS: [%s]", self.peer.host)
        if policy.level.required and not self.tls:
            raise SiteFailure(Dsn("4.7.4", f"TLS is required, but was not offered by host {self.peer.name}"))
        if login.settings.enabled and login.credentials is not None and self.offers("AUTH"):
            await self._log_in(login)

    async def _greeting(self) -> None:
        try:
            reply = await self.protocol.reply(self.settings.timeouts.helo)
        except (Disconnected, TimedOut, BadReply) as error:
            raise self.lost(error, "receiving the initial server greeting") from error
        if not reply.ok:
            failure = self._refused(reply)
            if reply.code // 100 == 5 and self.settings.skip_5xx_greeting:
                failure = SiteFailure(failure.dsn.with_status(f"4{failure.dsn.status[1:]}"))
            raise failure
        name = (reply.lines[0].split() or [""])[0]
        if self.loop_detect and name.lower() == self.settings.myhostname.lower():
            self.logger.warning(
                "host %s greeted me with my own hostname %s", self.peer.full_name, self.settings.myhostname
            )

    def _refused(self, reply: Reply) -> SiteFailure:
        return self.failure(reply, f"host {self.peer.name} refused to talk to me: {reply.text}")

    async def _hello(self) -> None:
        settings = self.settings
        self.features, self.size_limit = {}, 0
        if settings.lmtp:
            reply = await self._say_hello("LHLO")
            if not reply.ok:
                raise self._refused(reply)
        else:
            if settings.never_ehlo:
                return await self._plain_hello()
            reply = await self._say_hello("EHLO")
            if reply.code == 421:
                raise self._refused(reply)
            if not reply.ok:
                return await self._plain_hello()
        self._note_features(reply)
        return None

    async def _plain_hello(self) -> None:
        """For servers that know no extensions."""
        reply = await self._say_hello("HELO")
        if not reply.ok:
            raise self._refused(reply)

    async def _say_hello(self, verb: str) -> Reply:
        command = f"{verb} {self.settings.helo_name}"
        return await self.exchange(command, self.settings.timeouts.helo, f"performing the {verb} handshake")

    def _note_features(self, reply: Reply) -> None:
        name = (reply.lines[0].split() or [""])[0]
        if self.loop_detect and name.lower() == self.settings.myhostname.lower():
            raise SiteFailure(Dsn("4.4.6", f"mail for {self.nexthop_domain} loops back to myself"))
        discarded = self.settings.discard_keywords if self.discarded is None else self.discarded
        for line in reply.lines[1:]:
            # `AUTH=PLAIN` is how some old servers wrote it.
            keyword, _, argument = line.strip().replace("=", " ", 1).partition(" ")
            keyword = keyword.upper()
            if not keyword or keyword in discarded:
                continue
            if keyword == "AUTH" and keyword in self.features:
                argument = f"{self.features[keyword]} {argument}"
            self.features[keyword] = argument.strip()
        size = self.features.get("SIZE", "").split(" ")[0]
        if size.isascii() and size.isdigit() and len(size) <= MAX_SIZE_DIGITS:
            self.size_limit = int(size)

    # --- TLS -------------------------------------------------------------------------------------------------------

    async def _starttls(self, tls: PolicyTable, policy: TlsPolicy, nexthop: str) -> None:
        reply = await self.exchange("STARTTLS", self.settings.timeouts.starttls, "receiving the STARTTLS response")
        if not reply.ok:
            if policy.level.required:
                text = f"TLS is required, but host {self.peer.name} refused to start TLS: {reply.text}"
                raise self.failure(reply, text)
            del self.features["STARTTLS"]
            return
        await self._handshake(tls, policy, nexthop)
        # Nothing that was said in clear text counts any more (RFC 3207 section 4.2).
        await self._hello()

    async def _handshake(self, tls: PolicyTable, policy: TlsPolicy, nexthop: str) -> None:
        context = tls.offering(policy, self.peer)
        name = server_name(policy, self.peer.host, self.nexthop_domain)
        try:
            await self.protocol.start_tls_now(context, name, self.settings.timeouts.starttls)
        except ssl.SSLCertVerificationError as error:
            self.logger.info("certificate verification failed for %s: %s", self.peer.full_name, error.verify_message)
            raise SiteFailure(Dsn("4.7.5", "Server certificate not verified")) from error
        except (ssl.SSLError, OSError, TimedOut, Disconnected, BadReply) as error:
            self.logger.info("SSL_connect error to %s: %s", self.peer.full_name, str(error) or type(error).__name__)
            if not policy.level.required:
                raise HandshakeFailure from error
            raise SiteFailure(NO_HANDSHAKE) from error
        self.tls = True
        self._check_certificate(tls, policy)

    def _ssl_object(self) -> ssl.SSLObject | None:
        transport = self.protocol.transport
        return transport.get_extra_info("ssl_object") if transport is not None else None

    def _check_certificate(self, tls: PolicyTable, policy: TlsPolicy) -> None:
        ssl_object = self._ssl_object()
        certificate = ssl_object.getpeercert(binary_form=True) if ssl_object is not None else None
        matched = tls.matches(policy, certificate, self.peer.host, self.nexthop_domain)
        self.tls_verified = matched and policy.level >= Level.FINGERPRINT
        if tls.defaults.loglevel >= 1 and ssl_object is not None:
            from tls.description import describe

            trust = "Verified" if self.tls_verified else "Untrusted" if certificate else "Anonymous"
            self.logger.info(
                "%s TLS connection established to %s: %s", trust, self.peer.full_name, describe(ssl_object).summary()
            )
        if not matched:
            self.logger.info(
                "server certificate verification failed for %s: name or fingerprint mismatch", self.peer.full_name
            )
            raise SiteFailure(Dsn("4.7.5", "Server certificate not verified"))

    # --- AUTH ------------------------------------------------------------------------------------------------------

    async def _log_in(self, login: Login) -> None:
        assert login.credentials is not None
        host, refusals = self.peer.host, login.refusals
        if refusals is not None and (refused := refusals.find(host, login.credentials)) is not None:
            raise SiteFailure(_softened(refused, login))
        offered = login.settings.filtered(self.features["AUTH"].split())
        if not offered:
            text = (
                f"SASL authentication failed: server {self.peer.name} offered no compatible authentication mechanisms"
                " for this type of connection security"
            )
            raise SiteFailure(Dsn("4.7.0", text))
        mechanism = sasl.choose(offered, login.settings.options_for(self.tls, self.tls_verified))
        if mechanism is None:
            self.logger.warning("SASL authentication failure: No worthy mechs found")
            raise self._cannot_log_in("no mechanism available")
        reply = await self._run_mechanism(mechanism, login.credentials)
        if not reply.ok:
            text = f"SASL authentication failed; server {self.peer.name} said: {reply.text}"
            dsn = reply.dsn(host, text)
            if refusals is not None and reply.code == 535:
                refusals.note(host, login.credentials, dsn)
            raise SiteFailure(_softened(dsn, login))
        self.authenticated = login.credentials.username

    async def _run_mechanism(self, mechanism: sasl.Mechanism, credentials: sasl.Credentials) -> Reply:
        command = f"AUTH {mechanism.name}"
        if mechanism.initial is not None:
            initial = sasl.encode(mechanism.initial(credentials)).decode()
            # RFC 4954 section 4: no initial response where the line would become too long.
            if len(command) + len(initial) + 3 <= 512:
                command += f" {initial}"
        timeout, doing = self.settings.timeouts.helo, "performing the SASL handshake"
        reply = await self.exchange(command, timeout, doing)
        number = 0
        while reply.code // 100 == 3:
            if number >= sasl.MAX_STEPS:
                text = f"SASL authentication failed; authentication protocol loop with server {self.peer.name}"
                raise SiteFailure(Dsn("4.3.0", text))
            try:
                answer = mechanism.answer(credentials, sasl.decode_challenge(reply.lines[-1]), number)
            except sasl.ChallengeError as error:
                raise self._cannot_log_in(str(error)) from error
            reply = await self.exchange(sasl.encode(answer).decode(), timeout, doing)
            number += 1
        return reply

    def _cannot_log_in(self, why: str) -> SiteFailure:
        return SiteFailure(
            Dsn("4.7.0", f"SASL authentication failed; cannot authenticate to server {self.peer.name}: {why}")
        )

    # --- the end ---------------------------------------------------------------------------------------------------

    async def quit(self) -> None:
        """Say QUIT, then close; never waits longer than the server deserves."""
        if self.protocol.usable:
            try:
                self.protocol.send([b"QUIT"])
                if not self.settings.skip_quit:
                    await self.protocol.reply(self.settings.timeouts.quit)
            except (Disconnected, TimedOut, BadReply):
                pass
        self.close()

    def close(self) -> None:
        """Close at once; what was written still goes out."""
        if self.protocol.transport is not None:
            self.protocol.transport.close()


def _softened(dsn: Dsn, login: Login) -> Dsn:
    """smtp_sasl_auth_soft_bounce: a refused password is the operator's to mend, not the sender's."""
    return dsn.with_status(f"4{dsn.status[1:]}") if login.settings.soft_bounce and not dsn.soft else dsn
