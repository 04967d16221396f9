"""How much one client may do: connections, mails, recipients, log-ins, TLS sessions (smtpd_client_*_limit, anvil(8)).

`Limits` is what the server asks. `LocalLimits` counts within one worker process; a counter shared by all workers
takes its place behind the same interface.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from mta.config import MainConfig
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session

log = logging.getLogger("postfix.smtpd")

CLIENTS_LIMIT: Final = 100_000
"""Addresses remembered at once; an attacker with more of them is not stopped by counting addresses."""


class Limits(Protocol):
    """Each question counts an event and answers with the refusal, or None."""

    def connected(self, session: Session) -> Reply | None: ...
    def disconnected(self, session: Session) -> None: ...
    def message(self, session: Session) -> Reply | None: ...
    def recipient(self, session: Session) -> Reply | None: ...
    def auth(self, session: Session) -> Reply | None: ...
    def new_tls(self, session: Session) -> Reply | None: ...


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Events per anvil_rate_time_unit, and connections at a time; 0 is no limit."""

    connections: int = 0
    connection_rate: int = 0
    message_rate: int = 0
    recipient_rate: int = 0
    auth_rate: int = 0
    tls_rate: int = 0
    time_unit: float = 60.0

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
            config.seconds("anvil_rate_time_unit"),
        )


@dataclass(slots=True)
class _Client:
    connections: int = 0
    since: float = 0.0
    events: dict[str, int] = field(default_factory=dict)


class LocalLimits:
    """Counters of one process."""

    def __init__(self, ceilings: Ceilings, hostname: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.ceilings = ceilings
        self.hostname = hostname
        self.clock = clock
        self._clients: dict[str, _Client] = {}

    def connected(self, session: Session) -> Reply | None:
        ceilings = self.ceilings
        if session.unlimited or not (ceilings.connections or ceilings.connection_rate):
            return None
        address = session.peer_info.address
        client = self._client(address)
        client.connections += 1
        session.counted = True
        rate = self._count(client, "connection")
        refusal = Reply(421, "4.7.0", f"{self.hostname} Error: too many connections from {address}")
        if ceilings.connections and client.connections > ceilings.connections:
            log.warning("Connection concurrency limit exceeded: %d from %s", client.connections, session.label)
            return refusal
        if ceilings.connection_rate and rate > ceilings.connection_rate:
            log.warning("Connection rate limit exceeded: %d from %s", rate, session.label)
            return refusal
        return None

    def disconnected(self, session: Session) -> None:
        if not session.counted:
            return
        session.counted = False
        client = self._clients.get(session.peer_info.address)
        if client is not None:
            client.connections -= 1

    def message(self, session: Session) -> Reply | None:
        text = f"Error: too much mail from {session.peer_info.address}"
        return self._event(session, "message delivery request", self.ceilings.message_rate, Reply(450, "4.7.1", text))

    def recipient(self, session: Session) -> Reply | None:
        text = f"Error: too many recipients from {session.peer_info.address}"
        return self._event(session, "recipient address", self.ceilings.recipient_rate, Reply(450, "4.7.1", text))

    def auth(self, session: Session) -> Reply | None:
        text = f"Error: too many AUTH commands from {session.peer_info.address}"
        return self._event(session, "AUTH command", self.ceilings.auth_rate, Reply(450, "4.7.1", text))

    def new_tls(self, session: Session) -> Reply | None:
        text = f"Error: too many new TLS sessions from {session.peer_info.address}"
        return self._event(session, "new TLS session", self.ceilings.tls_rate, Reply(454, "4.7.0", text))

    def _event(self, session: Session, kind: str, ceiling: int, refusal: Reply) -> Reply | None:
        if not ceiling or session.unlimited:
            return None
        count = self._count(self._client(session.peer_info.address), kind)
        if count <= ceiling:
            return None
        log.warning("%s rate limit exceeded: %d from %s", kind.capitalize(), count, session.label)
        return refusal

    def _client(self, address: str) -> _Client:
        client = self._clients.get(address)
        if client is None:
            if len(self._clients) >= CLIENTS_LIMIT:
                self._forget_idle()
            client = self._clients[address] = _Client(since=self.clock())
        return client

    def _count(self, client: _Client, kind: str) -> int:
        now = self.clock()
        if now - client.since >= self.ceilings.time_unit:
            client.events.clear()
            client.since = now
        client.events[kind] = client.events.get(kind, 0) + 1
        return client.events[kind]

    def _forget_idle(self) -> None:
        horizon = self.clock() - self.ceilings.time_unit
        self._clients = {a: c for a, c in self._clients.items() if c.connections > 0 or c.since > horizon}
