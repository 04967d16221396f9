"""One target under audit: its connections, at a polite rate and within bounds, and what was found there."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import ipaddress
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from OpenSSL import SSL

from lab.audit.finding import Finding, Rule, Severity
from lab.audit.pace import Pace
from lab.audit.settings import Allow, Settings
from lab.audit.target import Address, Target
from lab.wire import IMAP, POP3, SMTP, Connection, Refused, Transcript, WireClosed, WireError
from lab.wire.transcript import shown
from tls.context import client_context
from tls.openssl_context import openssl_client_context
from tls.policy import ANYTHING, Version
from tls.probe import Answer, Flight, FlightError, Hello, renegotiates

READ_OCTETS: Final = 1 << 20
"""What is read of one connection at most: no dialogue of an audit comes near it."""
EVIDENCE_LINES: Final = 40
CHUNK: Final = 1 << 14
LOGIN_SECONDS: Final = 30.0
BUSY_SECONDS: Final = (1.0, 2.0, 4.0)
"""A server that hangs up at once, or says 421, is asked again after these."""
GOODBYES: Final = {"smtp": b"QUIT", "imap": b"bye LOGOUT", "pop3": b"QUIT"}
KINDS: Final[dict[str, type[SMTP | IMAP | POP3]]] = {"smtp": SMTP, "imap": IMAP, "pop3": POP3}
CLASSIC: Final = dataclasses.replace(ANYTHING, versions=frozenset({Version.TLSv1, Version.TLSv1_1, Version.TLSv1_2}))
"""The versions that have renegotiation, of those that OpenSSL still speaks."""
C = TypeVar("C", bound=Connection)


class Undecided(Exception):
    """A check could not tell; the text says why."""


class Visit:
    """A target at one of its addresses: `facts` were learned about it, the `undecided` checks could not tell."""

    def __init__(self, target: Target, address: Address, settings: Settings, pace: Pace) -> None:
        self.target = target
        self.address = address
        self.settings = settings
        self.pace = pace
        self.findings: list[Finding] = []
        self.facts: dict[str, Any] = {}
        self.undecided: dict[str, str] = {}
        self.starttls = False
        """Set by the first contact: whether TLS can be had after a greeting in the clear."""
        self.tls_required = False
        """Set by the STARTTLS check: mail commands in the clear are refused."""
        self.hostname = ""
        self.domain = settings.domain
        self.recipient = settings.recipient
        self.catch_all = False

    # -- what was found ------------------------------------------------------------------------------------------

    def report(
        self, rule: Rule, said: str, evidence: Transcript | Iterable[str] = (), severity: Severity | None = None
    ) -> None:
        """Note that the target breaks `rule`."""
        lines = [str(line) for line in evidence.lines] if isinstance(evidence, Transcript) else list(evidence)
        if len(lines) > EVIDENCE_LINES:
            lines = [*lines[:4], f"* ({len(lines) - EVIDENCE_LINES} lines are left out)", *lines[4 - EVIDENCE_LINES :]]
        kind = rule.severity if severity is None else severity
        self.findings.append(Finding(rule, str(self.target), kind, shown(said), tuple(map(shown, lines))))

    def note(self, name: str, value: object) -> None:
        """Keep a fact for the report."""
        self.facts[name] = clean(value)

    def allows(self, what: Allow) -> bool:
        return what in self.settings.allowed

    @property
    def has_tls(self) -> bool:
        return self.target.kind.implicit_tls or self.starttls

    @property
    def source(self) -> str | None:
        """The address to come from: on loopback one that is not the server's own, as many trust that one more."""
        if self.settings.source:
            return self.settings.source
        if isinstance(self.address, ipaddress.IPv4Address) and self.address.is_loopback:
            return "127.0.0.9" if str(self.address) != "127.0.0.9" else "127.0.0.10"
        return None

    @property
    def trusted_place(self) -> bool:
        """Whether we come from where servers trust clients without being asked (mynetworks), and were not told to."""
        return self.address.is_loopback and not self.settings.source

    # -- connections ---------------------------------------------------------------------------------------------

    def smtp(self, evidence: Transcript, *, tls: bool | None = None) -> contextlib.AbstractAsyncContextManager[SMTP]:
        """A session that has said EHLO; by default inside TLS only where the server wants it."""
        return self.session(SMTP, evidence, tls=self.tls_required if tls is None else tls)

    def imap(self, evidence: Transcript, *, tls: bool) -> contextlib.AbstractAsyncContextManager[IMAP]:
        """A session before log-in."""
        return self.session(IMAP, evidence, tls=tls)

    def pop3(self, evidence: Transcript, *, tls: bool) -> contextlib.AbstractAsyncContextManager[POP3]:
        """A session before log-in."""
        return self.session(POP3, evidence, tls=tls)

    @asynccontextmanager
    async def session(self, kind: type[C], evidence: Transcript, *, tls: bool) -> AsyncIterator[C]:
        """Greeting read, EHLO said, TLS started if asked for. Raises WireError."""
        client = await self.connect(kind, evidence)
        try:
            if isinstance(client, SMTP):
                await client.ehlo(self.helo(client))
            if tls and not client.tls:
                await self.secure(client)
            yield client
        finally:
            with contextlib.suppress(WireError):
                client.transcript = Transcript()
                await client.send(GOODBYES[self.target.kind.protocol])
            await client.close()

    async def connect(
        self, kind: type[C], evidence: Transcript, context: ssl.SSLContext | None = None, *, patient: bool = True
    ) -> C:
        """Connect, with TLS where the port wants it from the first octet, and read the greeting. Raises WireError.

        `patient`: a server that has too many connections is asked again later, and more slowly from then on.
        """
        tls = (context or lax()) if self.target.kind.implicit_tls else None
        return await self._open(kind, evidence, tls, BUSY_SECONDS if patient else ())

    async def _open(
        self, kind: type[C], evidence: Transcript, tls: ssl.SSLContext | None, waits: Sequence[float] = BUSY_SECONDS
    ) -> C:
        for wait in (*waits, None):
            await self.pace.turn()
            try:
                client = await kind.open(
                    str(self.address),
                    self.target.port,
                    source=self.source,
                    tls=tls,
                    server_name=self.server_name,
                    transcript=evidence,
                    timeout=self.settings.timeout,
                    allowance=READ_OCTETS,
                )
            except WireClosed:
                if wait is None:
                    raise
            else:
                if wait is None or not isinstance(client, SMTP) or client.greeting.code != 421:
                    return client
                await client.close()
            self.pace.slower()
            await asyncio.sleep(wait)
        raise AssertionError  # the last turn returns or raises

    async def secure(self, client: Connection, context: ssl.SSLContext | None = None) -> None:
        """STARTTLS, by default with a client that takes everything. Raises WireError."""
        if not isinstance(client, SMTP | IMAP | POP3):
            raise TypeError(client)
        answer = await client.starttls(context or lax(), self.server_name)
        if not client.tls:
            raise Refused(f"STARTTLS: {answer}")
        if isinstance(client, SMTP):
            await client.ehlo(self.helo(client))

    def be_patient(self, client: Connection) -> None:
        """Wait for a log-in as long as the server makes those wait who have failed before: Dovecot up to 17 seconds."""
        client.timeout = max(self.settings.timeout, LOGIN_SECONDS)

    def helo(self, client: Connection) -> str:
        """Our own address is a name that every server has to take (RFC 5321 section 4.1.3)."""
        if self.settings.helo:
            return self.settings.helo
        own = client.writer.get_extra_info("sockname")[0]
        return f"[IPv6:{own}]" if ":" in own else f"[{own}]"

    @property
    def server_name(self) -> str:
        """For SNI, and what the certificate should prove; "" if only an address is known."""
        return self.settings.name or ("" if self.target.literal else self.target.host)

    async def offer(self, octets: bytes) -> Answer:
        """Open a connection, go as far as the handshake, send these octets; what the server answers.

        Raises WireError where it does not come to that. A server that hangs up has given an empty answer.
        """
        async with self._before_handshake() as client:
            client.writer.write(octets)
            return await self._flight(client)

    async def renegotiates(self) -> bool:
        """Whether the server carries out a second handshake inside the first. Raises WireError."""
        async with self._before_handshake() as client:
            context = openssl_client_context(CLASSIC)
            try:
                return await renegotiates(client.reader, client.writer, context, timeout=self.settings.timeout)
            except (SSL.Error, OSError):
                return False  # not even the first: no version that could renegotiate

    @asynccontextmanager
    async def _before_handshake(self) -> AsyncIterator[Connection]:
        """A connection that is ready for the first octets of TLS. Raises WireError."""
        kind = Connection if self.target.kind.implicit_tls else KINDS[self.target.kind.protocol]
        client: Connection = await self._open(kind, Transcript(), None)
        try:
            await self._agree(client)
            yield client
        finally:
            client.writer.transport.abort()

    async def _agree(self, client: Connection) -> None:
        if isinstance(client, SMTP):
            await client.ehlo(self.helo(client))
            agreed = (await client.command("STARTTLS")).code == 220
        elif isinstance(client, IMAP):
            agreed = (await client.command("STARTTLS")).status == "OK"
        elif isinstance(client, POP3):
            agreed = (await client.command("STLS")).startswith("+OK")
        else:
            agreed = True
        if not agreed:
            raise Refused("STARTTLS is refused")

    async def _flight(self, client: Connection) -> Answer:
        flight = Flight()
        try:
            async with asyncio.timeout(self.settings.timeout):
                while not flight.done and (received := await client.reader.read(CHUNK)):
                    flight.feed(received)
        except (TimeoutError, OSError, FlightError):
            pass  # what has been said counts
        return flight.answer

    async def shakes(self, hello: Hello) -> Answer:
        """`offer` for a ClientHello."""
        return await self.offer(hello.octets())


def lax() -> ssl.SSLContext:
    """A client that takes any version, cipher and certificate: an audit looks, it trusts nobody."""
    return client_context(ANYTHING, verify="none")


def clean(value: object) -> Any:
    """A fact without control characters, whatever the server has put into it."""
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, dict):
        return {shown(str(key)): clean(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(entry) for entry in (value if isinstance(value, list | tuple) else sorted(value))]
    return value
