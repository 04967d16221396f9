"""How much one client may do: connections, mails, recipients, log-ins, TLS sessions (smtpd_client_*_limit).

The counting itself is anvil's (mta.anvil), in this process or for all processes of the service; here stand the limits
and what a client that exceeds one is told.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from mta.anvil import Count, Counter, Counters, LocalCounter
from mta.config import MainConfig
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session

log = logging.getLogger("postfix.smtpd")

UNCOUNTED: Final = Count(0, 0)

EVENTS: Final = {
    "message": ("Message delivery request", 450, "4.7.1", "much mail"),
    "recipient": ("Recipient address", 450, "4.7.1", "many recipients"),
    "auth": ("AUTH command", 450, "4.7.1", "many AUTH commands"),
    "newtls": ("New TLS session", 454, "4.7.0", "many new TLS sessions"),
}
"""What is counted: its name in the log, and what a client is told that does too much of it."""


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Events per anvil_rate_time_unit, and connections at a time; 0 is no limit."""

    connections: int = 0
    connection_rate: int = 0
    message_rate: int = 0
    recipient_rate: int = 0
    auth_rate: int = 0
    tls_rate: int = 0

    @classmethod
    def from_config(cls, config: MainConfig) -> Ceilings:
        number = config.int
        return cls(
            number("smtpd_client_connection_count_limit"),
            number("smtpd_client_connection_rate_limit"),
            number("smtpd_client_message_rate_limit"),
            number("smtpd_client_recipient_rate_limit"),
            number("smtpd_client_auth_rate_limit"),
            number("smtpd_client_new_tls_session_rate_limit"),
        )


class Limits:
    """Each question counts an event and answers with the refusal, or None. Without a counter nothing is refused."""

    def __init__(self, ceilings: Ceilings, hostname: str, counter: Counter, service: str = "smtp") -> None:
        self.ceilings = ceilings
        self.hostname = hostname
        self.counter = counter
        self.service = service

    @classmethod
    def local(cls, config: MainConfig) -> Limits:
        """Limits of a service that is this process alone."""
        counter = LocalCounter(Counters(config.seconds("anvil_rate_time_unit")))
        return cls(Ceilings.from_config(config), config.str("myhostname"), counter)

    async def connected(self, session: Session) -> Reply | None:
        ceilings = self.ceilings
        if session.unlimited or not (ceilings.connections or ceilings.connection_rate):
            return None
        address = session.peer_info.address
        count = await self._count("connect", session)
        session.counted = count is not UNCOUNTED
        refusal = Reply(421, "4.7.0", f"{self.hostname} Error: too many connections from {address}")
        if ceilings.connections and count.open > ceilings.connections:
            log.warning("Connection concurrency limit exceeded: %d from %s", count.open, session.label)
            return refusal
        if ceilings.connection_rate and count.rate > ceilings.connection_rate:
            log.warning("Connection rate limit exceeded: %d from %s", count.rate, session.label)
            return refusal
        return None

    def disconnected(self, session: Session) -> None:
        if session.counted:
            session.counted = False
            self.counter.disconnect(self._ident(session))

    async def message(self, session: Session) -> Reply | None:
        return await self._event(session, "message", self.ceilings.message_rate)

    async def recipient(self, session: Session) -> Reply | None:
        return await self._event(session, "recipient", self.ceilings.recipient_rate)

    async def auth(self, session: Session) -> Reply | None:
        return await self._event(session, "auth", self.ceilings.auth_rate)

    async def new_tls(self, session: Session) -> Reply | None:
        """As in smtpd(8), the first session beyond the limit gets its handshake, and then nothing more."""
        ceiling = self.ceilings.tls_rate
        if not ceiling or session.unlimited:
            return None
        count = await self._count("newtls", session)
        session.hung_up = count.rate == ceiling + 1
        return self._refusal(session, "newtls", count) if count.rate > ceiling + 1 else None

    async def _event(self, session: Session, event: str, ceiling: int) -> Reply | None:
        if not ceiling or session.unlimited:
            return None
        count = await self._count(event, session)
        return self._refusal(session, event, count) if count.rate > ceiling else None

    @staticmethod
    def _refusal(session: Session, event: str, count: Count) -> Reply:
        title, code, status, text = EVENTS[event]
        log.warning("%s rate limit exceeded: %d from %s", title, count.rate, session.label)
        return Reply(code, status, f"Error: too {text} from {session.peer_info.address}")

    async def _count(self, event: str, session: Session) -> Count:
        try:
            return await self.counter.register(event, self._ident(session))
        except OSError as error:
            # As in Postfix, mail goes on without the limits rather than not at all.
            log.warning("problem with the anvil service, client limits are not enforced: %s", error)
            return UNCOUNTED

    def _ident(self, session: Session) -> str:
        return f"{self.service}:{session.peer_info.address}"
