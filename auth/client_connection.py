"""A client socket of the auth service: SASL exchanges, one asyncio protocol per connection."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from . import proxying, wiretap
from .connection import Connection
from .core import Core
from .exchange import AskClient, AskDatabase, DatabaseQuestion, Exchange, Next, Outcome
from .mechanisms import MECHANISMS, Environment
from .protocol import Parameters, ProtocolError, ServerConnection, server
from .protocol.server import no_reply
from .protocol.wire import line
from .replies import fail_words, ok_words
from .request import AuthRequest, describe
from .results import Result

log = logging.getLogger("dovecot.auth")

REQUEST_TIMEOUT = 150.0
"""Seconds a client may take to answer a challenge (Dovecot's AUTH_REQUEST_TIMEOUT_SECS)."""

FINISHED_KEPT = 60.0
"""Seconds a finished log-in can be asked for by the master; then its process has died."""

FAILURE_TICK = 0.02
"""Seconds a failure waits even without auth_failure_delay: it never overtakes a success that came in with it, and the
work it took is harder to measure."""


@dataclass(slots=True)
class _Live:
    """A request under way; it waits for a response or its time (``timer``), or for the databases (``task``)."""

    exchange: Exchange
    parameters: Parameters
    request: bytes = field(repr=False)
    """The request as it came, to know it again."""
    stamp: object
    """The databases' (``Recall``) when it came."""
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    heard: float = 0.0
    """When the client was last heard: a refusal comes a fixed time after it, whatever work there was
    (seconds of the monotonic clock)."""
    confirmed: bool = False
    """Whether the policy server has been asked again, after success."""
    success: Outcome | None = None

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self.task is not None:
            self.task.cancel()
        if self.timer is not None:
            self.timer.cancel()


class ClientConnection(Connection):
    """A client socket: SASL exchanges. On log-in sockets (``keeps``) a finished one stays for the master to ask for."""

    def __init__(self, core: Core, *, keeps: bool) -> None:
        super().__init__(core)
        self.cookie = secrets.token_hex(16)
        self.number = core.next_connection()
        self.pid = 0
        self._keeps = keeps
        self._live: dict[int, _Live] = {}
        self._refused: set[asyncio.TimerHandle] = set()
        self._finished: dict[int, AuthRequest] = {}
        known = core.recall.reply if core.recall.enabled and not keeps else no_reply
        self._machine = ServerConnection(
            core.mechanisms, spid=core.server_pid, cuid=self.number, cookie=self.cookie, known=known
        )

    @property
    def busy(self) -> bool:
        return bool(self._live or self._refused)

    def pending(self) -> bytes:
        return self._machine.data_to_send()

    def data_received(self, data: bytes) -> None:
        if wiretap.on():
            wiretap.show(self, data, client=True)
        try:
            for event in self._machine.receive(data):
                self._event(event)
        except ProtocolError as error:
            log.error("BUG: Authentication client (pid %d) %s", self.pid, error)
            self._flush()
            self.close()
            return
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        for live in self._live.values():
            live.stop()
        for timer in self._refused:
            timer.cancel()
        self._live.clear()
        if self._keeps and self.core.clients.get(self.pid) is self:
            del self.core.clients[self.pid]

    def _event(self, event: server.Event) -> None:
        match event:
            case server.Handshake(pid):
                self._handshake(pid)
            case server.Begin():
                self._begin(event)
            case server.Continue(id, data, binding):
                self._continue(id, data, binding)
            case server.Cancel(id) | server.Malformed(id):
                self._end(id)

    def _handshake(self, pid: int) -> None:
        self.pid = pid
        if self._keeps:
            if pid in self.core.clients:
                raise ProtocolError(f"gave the process id {pid} of an existing connection")
            self.core.clients[pid] = self

    def _begin(self, begin: server.Begin) -> None:
        core, parameters = self.core, begin.parameters
        request = AuthRequest(core.settings, parameters, begin.mechanism, begin.id)
        entry = MECHANISMS[begin.mechanism]
        environment = core.environment if entry.needs == "verify" else self._environment(parameters)
        exchange = Exchange(core.authenticator, core.guard, request, entry, environment, begin.initial)
        live = self._live[begin.id] = _Live(exchange, parameters, begin.request, core.recall.stamp())
        if core.settings.ssl_require_client_cert and not parameters.valid_client_cert:
            self._machine.send_fail(begin.id, ["reason=Client didn't present valid SSL certificate"])
            self._end(begin.id)
        elif (
            core.settings.ssl_require_client_cert
            and core.settings.ssl_username_from_cert
            and not parameters.cert_username
        ):
            self._machine.send_fail(begin.id, ["reason=SSL certificate didn't contain username"])
            self._end(begin.id)
        elif (wait := self._penalty(parameters)) > 0:
            self._later(live, wait, lambda: self._advance(begin.id, live))
        else:
            self._advance(begin.id, live)

    def _environment(self, parameters: Parameters) -> Environment:
        """What a mechanism that does more than hand a password over may know of this connection."""
        core = self.core
        return replace(
            core.environment,
            service=parameters.service or "",
            binds=core.binds and self._machine.binds and parameters.secured == "tls",
            issuer=f"<{core.server_pid:x}.{self.number:x}.",
        )

    def _penalty(self, parameters: Parameters) -> float:
        """Seconds that the client's earlier failures make it wait."""
        if parameters.no_penalty or self.core.guard.locks(parameters.rip):
            return 0.0
        return self.core.penalties.wait(parameters.rip)

    def _advance(self, id: int, live: _Live) -> None:
        live.heard = time.monotonic()
        self._proceed(id, live, live.exchange.advance())

    def _continue(self, id: int, data: bytes, binding: bytes | None) -> None:
        live = self._live.get(id)
        if live is None:
            return
        if live.timer is not None:
            live.timer.cancel()
        if live.success is not None:
            self._succeed(id, live, live.success, final=b"")
        else:
            live.heard = time.monotonic()
            self._proceed(id, live, live.exchange.respond(data, binding))

    def _proceed(self, id: int, live: _Live, what: Next) -> None:
        """Do what the exchange asks for next; the client has just been heard, or a database."""
        match what:
            case AskClient(challenge, binding):
                self._challenge(id, live, challenge, binding)
            case AskDatabase(question):
                live.task = self._spawn(self._lookup(id, live, question))
            case Outcome(success=True, data=data) if data and not live.parameters.final_resp_ok:
                # The client takes no data with the success: one more round (RFC 4422 section 3.7).
                live.success = what
                self._challenge(id, live, data)
            case Outcome(success=True, data=data):
                self._succeed(id, live, what, final=data)
            case Outcome():
                self._refuse(id, live, what)

    def _challenge(self, id: int, live: _Live, challenge: bytes, binding: str = "") -> None:
        self._machine.send_challenge(id, challenge, binding)
        self._later(live, REQUEST_TIMEOUT, lambda: self._timed_out(id, live))

    def _timed_out(self, id: int, live: _Live) -> None:
        log.info("%s: Request timed out waiting for client to continue authentication", describe(live.exchange.request))
        self._machine.forget(id)
        self._end(id)

    async def _lookup(self, id: int, live: _Live, question: DatabaseQuestion) -> None:
        self._proceed(id, live, await live.exchange.lookup(question))
        self._flush_soon()

    def _later(self, live: _Live, seconds: float, work: Callable[[], None]) -> None:
        def run() -> None:
            work()
            self._flush()

        live.timer = asyncio.get_running_loop().call_later(seconds, run)

    def _end(self, id: int) -> None:
        live = self._live.pop(id, None)
        if live is not None:
            live.stop()
        if not self._live:
            self.core.changed.set()

    def _succeed(self, id: int, live: _Live, outcome: Outcome, *, final: bytes) -> None:
        request = live.exchange.request
        if (wait := request.delay_until - time.time()) > 0:
            self._later(live, wait, lambda: self._succeed(id, live, outcome, final=final))
            return
        if self.core.guard.confirms and not live.confirmed:
            live.confirmed = True
            live.task = self._spawn(self._confirm(id, live, outcome, final))
            return
        if self._keeps and not live.parameters.nologin and not proxying.finish(request):
            self._refuse(id, live, Outcome(False, Result.INTERNAL))
            return
        self.core.guard.succeeded(request, live.exchange.password)
        if not live.parameters.no_penalty:
            self.core.penalties.succeeded(live.parameters.rip)
        if self._keeps and not live.parameters.nologin:
            self._finished[id] = request
            asyncio.get_running_loop().call_later(FINISHED_KEPT, self._finished.pop, id, None)
        words = ok_words(request, final)
        self._machine.send_ok(id, words)
        if not self._keeps:
            self.core.recall.keep(live.request, line(*words), request, live.stamp)
        self._live.pop(id, None)
        self.core.changed.set()

    async def _confirm(self, id: int, live: _Live, outcome: Outcome, final: bytes) -> None:
        exchange = live.exchange
        if await self.core.guard.confirm(exchange.request, exchange.password):
            self._succeed(id, live, outcome, final=final)
        else:
            self._refuse(id, live, Outcome(False, Result.MISMATCH))
        self._flush_soon()

    def _refuse(self, id: int, live: _Live, outcome: Outcome) -> None:
        request = live.exchange.request
        self.core.guard.refused(request, live.exchange.password, internal=outcome.result is Result.INTERNAL)
        words = fail_words(request, outcome.result)
        if not live.parameters.no_penalty and outcome.result is not Result.INTERNAL:
            self.core.penalties.failed(live.parameters.rip, live.exchange.password_sum)

        del self._live[id]
        if "nodelay" in request.extra:
            self._machine.send_fail(id, words)
            return
        self._machine.forget(id)
        spent = time.monotonic() - live.heard
        delay = max(self.core.settings.failure_delay - spent, FAILURE_TICK)
        timer: asyncio.TimerHandle
        timer = asyncio.get_running_loop().call_later(delay, lambda: self._send_refusal(id, words, timer))
        self._refused.add(timer)

    def _send_refusal(self, id: int, words: list[str], timer: asyncio.TimerHandle) -> None:
        self._refused.discard(timer)
        self._machine.send_late_fail(id, words)
        self.core.changed.set()
        self._flush()

    def take_finished(self, id: int) -> AuthRequest | None:
        """A finished log-in, handed out once."""
        return self._finished.pop(id, None)
