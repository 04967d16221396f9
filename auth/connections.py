"""Connections of the auth service: one asyncio protocol per client socket and one per master or userdb socket."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from socket import SO_PEERCRED, SOL_SOCKET
from typing import Any, cast

from .authenticator import Result, UserResult, describe
from .core import Core
from .databases import DatabaseError
from .exchange import AskClient, AskDatabase, Exchange, Next, Outcome
from .mechanisms import MECHANISMS
from .mechanisms.steps import Credentials, VerifyPassword, VerifyToken
from .protocol import MasterServerConnection, Parameters, ProtocolError, ServerConnection, master_server, server
from .replies import fail_words, ok_words, pass_words, user_words
from .request import AuthRequest, BadUsername

log = logging.getLogger("dovecot.auth")

REQUEST_TIMEOUT = 150.0
"""Seconds a client may take to answer a challenge (Dovecot's AUTH_REQUEST_TIMEOUT_SECS)."""

FINISHED_KEPT = 60.0
"""Seconds a finished log-in can be asked for by the master; then its process has died."""

FAILURE_TICK = 0.02
"""Seconds a failure waits even without auth_failure_delay: it never overtakes a success that came in with it, and the
work it took is harder to measure."""

Question = VerifyPassword | Credentials | VerifyToken

BACKLOG_MAX = 1 << 20
"""Octets of replies waiting for a client that does not read; then it is cut off."""


def _create_task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return loop.create_task(work)


# From Python 3.12 on a task runs at once up to its first wait; a lookup that needs none costs no turn of the loop.
_begin_task: Callable[[asyncio.AbstractEventLoop, Coroutine[Any, Any, None]], asyncio.Task[None]]
_begin_task = getattr(asyncio, "eager_task_factory", _create_task)


class _Connection(asyncio.Protocol):
    """What client and master connections share: the transport, the tasks, the end."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._transport: asyncio.Transport | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._scheduled = False

    @property
    def busy(self) -> bool:
        """Whether requests are under way."""
        return bool(self._tasks)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.core.connections.add(self)
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.core.connections.discard(self)
        self.core.changed.set()
        for task in self._tasks:
            task.cancel()

    def close(self) -> None:
        """End the connection once what is due has been sent."""
        if self._transport is not None:
            self._transport.close()

    def pending(self) -> bytes:
        """Bytes due to the peer."""
        raise AssertionError("every connection has a machine behind it")

    def _flush_soon(self) -> None:
        """Send what is due once all that ends in this turn of the loop has ended: many replies, one write."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        data = self.pending()
        if not data or self._transport is None or self._transport.is_closing():
            return
        if self._transport.get_write_buffer_size() > BACKLOG_MAX:
            log.warning("auth client does not read its replies, disconnecting it")
            self._transport.abort()
            return
        self._transport.write(data)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = _begin_task(asyncio.get_running_loop(), work)
        if task.done():
            self._ended(task)
            return task
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.core.changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("BUG: an auth request failed: %s", type(error).__name__, exc_info=error)
            self.close()


@dataclass(slots=True)
class _Live:
    """A request under way; it waits for a response or its time (``timer``), or for the databases (``task``)."""

    exchange: Exchange
    parameters: Parameters
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    success: Outcome | None = None

    def stop(self) -> None:
        """Wait for nothing any more."""
        if self.task is not None:
            self.task.cancel()
        if self.timer is not None:
            self.timer.cancel()


class ClientConnection(_Connection):
    """A client socket: SASL exchanges. On log-in sockets (``keeps``) a finished one stays for the master to ask for."""

    def __init__(self, core: Core, *, keeps: bool) -> None:
        super().__init__(core)
        self.cookie = secrets.token_hex(16)
        self.pid = 0
        self._keeps = keeps
        self._live: dict[int, _Live] = {}
        self._refused: set[asyncio.TimerHandle] = set()
        self._finished: dict[int, AuthRequest] = {}
        self._machine = ServerConnection(
            core.mechanisms, spid=core.server_pid, cuid=core.next_connection(), cookie=self.cookie
        )

    @property
    def busy(self) -> bool:
        return bool(self._live or self._refused)

    def pending(self) -> bytes:
        return self._machine.data_to_send()

    def data_received(self, data: bytes) -> None:
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
            case server.Continue(id, data):
                self._continue(id, data)
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
        exchange = Exchange(core.authenticator, request, entry, core.environment, begin.initial)
        live = self._live[begin.id] = _Live(exchange, parameters)
        if core.settings.ssl_require_client_cert and not parameters.valid_client_cert:
            self._machine.send_fail(begin.id, ["reason=Client didn't present valid SSL certificate"])
            self._end(begin.id)
        elif not parameters.no_penalty and (wait := core.penalties.wait(parameters.rip)):
            self._later(live, wait, lambda: self._proceed(begin.id, live, exchange.advance()))
        else:
            self._proceed(begin.id, live, exchange.advance())

    def _continue(self, id: int, data: bytes) -> None:
        live = self._live.get(id)
        if live is None:
            return
        if live.timer is not None:
            live.timer.cancel()
        if live.success is not None:
            self._succeed(id, live, live.success, final=b"")
        else:
            self._proceed(id, live, live.exchange.advance(data))

    def _proceed(self, id: int, live: _Live, what: Next) -> None:
        """Do what the exchange asks for next."""
        match what:
            case AskClient(challenge):
                self._challenge(id, live, challenge)
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

    def _challenge(self, id: int, live: _Live, challenge: bytes) -> None:
        self._machine.send_challenge(id, challenge)
        self._later(live, REQUEST_TIMEOUT, lambda: self._timed_out(id, live))

    def _timed_out(self, id: int, live: _Live) -> None:
        log.info("%s: Request timed out waiting for client to continue authentication", describe(live.exchange.request))
        self._machine.forget(id)
        self._end(id)

    async def _lookup(self, id: int, live: _Live, question: Question) -> None:
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
        if not live.parameters.no_penalty:
            self.core.penalties.succeeded(live.parameters.rip)
        if self._keeps and not live.parameters.nologin:
            self._finished[id] = request
            asyncio.get_running_loop().call_later(FINISHED_KEPT, self._finished.pop, id, None)
        self._machine.send_ok(id, ok_words(request, final))
        self._live.pop(id, None)
        self.core.changed.set()

    def _refuse(self, id: int, live: _Live, outcome: Outcome) -> None:
        request = live.exchange.request
        words = fail_words(request, outcome.result)
        if not live.parameters.no_penalty and outcome.result is not Result.INTERNAL:
            self.core.penalties.failed(live.parameters.rip, live.exchange.password_sum)

        del self._live[id]
        if "nodelay" in request.extra:
            self._machine.send_fail(id, words)
            return
        self._machine.decide(id)
        delay = max(self.core.settings.failure_delay, FAILURE_TICK)
        timer: asyncio.TimerHandle
        timer = asyncio.get_running_loop().call_later(delay, lambda: self._send_refusal(id, words, timer))
        self._refused.add(timer)

    def _send_refusal(self, id: int, words: list[str], timer: asyncio.TimerHandle) -> None:
        self._refused.discard(timer)
        self._machine.send_fail(id, words)
        self.core.changed.set()
        self._flush()

    def take_finished(self, id: int) -> AuthRequest | None:
        """A finished log-in, handed out once."""
        return self._finished.pop(id, None)


class MasterConnection(_Connection):
    """A master socket (finished log-ins, cache) or userdb socket (lookups only)."""

    def __init__(self, core: Core, *, userdb_only: bool, mode: int) -> None:
        super().__init__(core)
        self._machine = MasterServerConnection(spid=core.server_pid, userdb_only=userdb_only)
        self._userdb_only = userdb_only
        self._mode = mode
        self._only_uid: int | None = None

    def pending(self) -> bytes:
        return self._machine.data_to_send()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._only_uid = self._restriction(transport)
        super().connection_made(transport)

    def _restriction(self, transport: asyncio.BaseTransport) -> int | None:
        """A world-writable userdb socket serves strangers only what concerns their own uid (wiki Services, auth)."""
        sock = transport.get_extra_info("socket")
        if not self._userdb_only or self._mode != 0o666 or sock is None:
            return None
        _, uid, gid = struct.unpack("3i", sock.getsockopt(SOL_SOCKET, SO_PEERCRED, struct.calcsize("3i")))
        if uid in (0, self.core.uid) or gid == self.core.gid:
            return None
        return int(uid)

    def data_received(self, data: bytes) -> None:
        try:
            for event in self._machine.receive(data):
                self._spawn(self._serve(event))
        except ProtocolError as error:
            log.error("BUG: Auth master client %s", error)
            self._flush()
            self.close()
            return
        self._flush()

    async def _serve(self, event: master_server.Event) -> None:
        match event:
            case master_server.UserLookup(id, user, parameters):
                await self._user(id, user, parameters)
            case master_server.PassLookup(id, user, parameters):
                await self._pass(id, user, parameters)
            case master_server.ListUsers(id):
                await self._list(id)
            case master_server.FinishedLogin(id, pid, login, cookie):
                await self._finished(id, pid, login, cookie)
            case master_server.FlushCache(id):
                self._machine.send_flushed(id, self.core.authenticator.hasher.remembered.flush())
        self._flush()

    def _request(self, user: str, parameters: Parameters) -> AuthRequest | None:
        request = AuthRequest(self.core.settings, parameters)
        request.userdb_lookup = True
        try:
            request.set_user(user)
        except BadUsername as error:
            log.info("userdb lookup: %s", error)
            return None
        return request

    async def _user(self, id: int, user: str, parameters: Parameters) -> None:
        request = self._request(user, parameters)
        if request is None:
            self._machine.send_not_found(id)
        else:
            await self._answer_user(id, request)

    async def _answer_user(self, id: int, request: AuthRequest) -> None:
        result = await self.core.authenticator.user(request)
        fields = request.userdb_fields()
        if result is UserResult.OK and self._only_uid is not None and fields.get("uid") != str(self._only_uid):
            log.error("%s: Auth client (uid %d) may not look up this user", describe(request), self._only_uid)
            result = UserResult.INTERNAL
        if result is UserResult.OK:
            self._machine.send_user(id, request.user or "", user_words(request))
        elif result is UserResult.UNKNOWN:
            self._machine.send_not_found(id)
        else:
            reason = fields.get("reason") if request.tempfailed else None
            self._machine.send_fail(id, [] if reason is None else [f"reason={reason}"])

    async def _pass(self, id: int, user: str, parameters: Parameters) -> None:
        request = self._request(user, parameters)
        if request is None:
            self._machine.send_not_found(id)
            return
        if self._only_uid is not None:
            self._machine.send_fail(id)
            return
        result, _ = await self.core.authenticator.credentials(request, "")
        if result is Result.OK:
            self._machine.send_pass(id, pass_words(request))
        elif result in (Result.UNKNOWN, Result.DISABLED, Result.EXPIRED):
            self._machine.send_not_found(id)
        elif result is Result.NO_SCHEME:
            self._machine.send_fail(id, ["reason=Configured passdbs don't support credentials lookups"])
        else:
            self._machine.send_fail(id)

    async def _list(self, id: int) -> None:
        if self._only_uid is not None:
            self._machine.send_done(id, failed=True)
            return
        try:
            async for user in self.core.authenticator.users():
                self._machine.send_listed(id, user)
                self._flush()
        except DatabaseError as error:
            log.error("%s", error)
            self._machine.send_done(id, failed=True)
        else:
            self._machine.send_done(id)

    async def _finished(self, id: int, pid: int, login: int, cookie: str) -> None:
        client = self.core.clients.get(pid)
        known = isinstance(client, ClientConnection) and secrets.compare_digest(client.cookie, cookie)
        request = client.take_finished(login) if isinstance(client, ClientConnection) and known else None
        if request is None:
            log.error("Master requested auth for nonexistent client %d or request %d", pid, login)
            self._machine.send_fail(id)
        else:
            await self._answer_user(id, request)
