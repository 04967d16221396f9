"""postscreen(8)'s tests before the greeting: who talks too early is no mail client (POSTSCREEN_README).

A listener whose master.cf line runs `postscreen` greets strangers with half a greeting (`220-`) and waits. A client
that waits too is remembered for postscreen_greet_ttl and is served by smtpd in the same process. Meanwhile lists in
the DNS are asked about it (dnsblscore). The deep protocol tests are not made.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.smtpd.dnsblscore import Scores, Verdict
from mta.smtpd.replies import Reply
from mta.tables import SpecError, Table, TableError, open_table

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.postscreen")

REMEMBERED_LIMIT: Final = 100_000
"""Clients that have passed and are remembered; the oldest are forgotten first."""
_UNPRINTABLE: Final = re.compile(r"[^ -~]")


@dataclass(slots=True)
class GreetPause:
    """The test with its memory; one for each process."""

    wait: float
    banner: str
    action: str
    """postscreen_greet_action: ignore, enforce or drop."""
    denylist_action: str
    ttl: float
    access: tuple[str | Table, ...] = ()
    """postscreen_access_list: `permit_mynetworks` and tables, in order."""
    lists: Scores = field(default_factory=Scores)
    clock: Callable[[], float] = time.monotonic
    _passed: dict[str, float] = field(default_factory=dict)

    @classmethod
    def from_config(cls, config: MainConfig) -> GreetPause:
        """Raises ConfigErrors for an access list or action that cannot be understood."""
        actions = []
        for parameter in ("postscreen_greet_action", "postscreen_denylist_action"):
            actions.append(config.str(parameter).lower())
            if actions[-1] not in ("ignore", "enforce", "drop"):
                raise ConfigErrors([ConfigError(config.where(parameter), f"bad {parameter}: {actions[-1]}")])
        access: list[str | Table] = []
        for word in config.list("postscreen_access_list"):
            try:
                access.append(word.lower() if word.lower() == "permit_mynetworks" else open_table(word, config))
            except SpecError as error:
                where = config.where("postscreen_access_list")
                raise ConfigErrors([ConfigError(where, f"postscreen_access_list: {error}")]) from None
        return cls(
            config.seconds("postscreen_greet_wait"),
            config.str("postscreen_greet_banner"),
            actions[0],
            actions[1],
            config.seconds("postscreen_greet_ttl"),
            tuple(access),
            Scores.from_config(config),
        )

    async def admit(self, connection: Connection) -> Reply | None:
        """Test a client that has just connected; the reply that ends its session, or None."""
        session = connection.session
        address, port = session.peer_info.address, session.peer_info.port
        local = session.local
        log.info("CONNECT from [%s]:%d to [%s]:%d", address, port, local[0], local[1])
        decision = await self._decide(connection)
        if decision == "reject":
            log.info("DENYLISTED [%s]:%d", address, port)
            return self._sentence(connection, self.denylist_action, "5.3.2", "Service currently unavailable")
        if decision == "permit" or self._passed.get(address, 0.0) > self.clock():
            return None
        if self.banner:
            connection.say(f"220-{self.banner}")
        begun = self.clock()
        talks, verdict = await asyncio.gather(connection.talks_within(self.wait), self._listed(connection))
        if verdict.score >= self.lists.threshold and self.lists:
            log.info("DNSBL rank %d for [%s]:%d", verdict.score, address, port)
            text = f"Service unavailable; client [{address}] blocked using {verdict.name}"
            if refusal := self._sentence(connection, self.lists.action, "5.7.1", text):
                return refusal
        allowed = self.lists.allow_threshold < 0 and verdict.score <= self.lists.allow_threshold
        if not talks or allowed:
            if connection.session.screened_out is None:
                self._remember(address)
                log.info("PASS NEW [%s]:%d", address, port)
            return None
        said = _UNPRINTABLE.sub("?", connection.input.peek(100).decode("latin-1"))
        log.info(
            "PREGREET %d after %.2g from [%s]:%d: %s", len(connection.input), self.clock() - begun, address, port, said
        )
        return self._sentence(connection, self.action, "5.5.1", "Protocol error")

    async def _listed(self, connection: Connection) -> Verdict:
        if not self.lists:
            return Verdict()
        return await self.lists.of(connection.session.peer_info.address, connection.server.access.dns)

    def _sentence(self, connection: Connection, action: str, status: str, text: str) -> Reply | None:
        """drop: the session ends here; enforce: every recipient is refused; ignore: nothing but the log."""
        if action == "drop":
            return Reply(521, status, text)
        if action == "enforce":
            connection.session.screened_out = Reply(550, status, text)
        return None

    async def _decide(self, connection: Connection) -> str:
        """`permit`, `reject` or nothing, by postscreen_access_list."""
        address = connection.session.peer_info.address
        for entry in self.access:
            try:
                if isinstance(entry, str):
                    if await connection.server.access.is_in_mynetworks(connection.session):
                        return "permit"
                elif (value := await entry.lookup(address)) is not None:
                    return value.strip().lower()
            except TableError as error:
                log.warning("postscreen_access_list: %s", error)
        return ""

    def _remember(self, address: str) -> None:
        while len(self._passed) >= REMEMBERED_LIMIT:
            del self._passed[next(iter(self._passed))]
        ttl = min(self.ttl, self.lists.ttl) if self.lists else self.ttl
        self._passed[address] = self.clock() + ttl
