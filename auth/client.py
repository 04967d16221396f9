"""Clients of an auth service, ours or Dovecot's own: SASL exchanges and userdb lookups over one kept connection."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar, cast

from .protocol import ClientConnection, MasterClientConnection, Mechanism, Parameters, ProtocolError, client
from .protocol import master_client as master
from .protocol.wire import decode_base64

__all__ = [
    "AuthCancelled",
    "AuthClient",
    "AuthFailed",
    "AuthSuccess",
    "AuthUnavailable",
    "LookupFailed",
    "MasterClient",
    "Mechanism",
    "UserFields",
]

CONNECT_TIMEOUT = 10.0
"""Seconds for connecting and for the server's greeting."""

REPLY_TIMEOUT = 60.0
"""Seconds for one answer: a failure is delayed by its penalty (15 s) and auth_failure_delay."""

REQUESTS_MAX = 1000
"""Requests under way on one connection; further ones wait for their turn."""

Address = tuple[str, int]
ChallengeHandler = Callable[[bytes], Awaitable[bytes]]


class AuthUnavailable(Exception):
    """The service cannot be asked now (no socket, connection lost, no answer in time, protocol broken): try later."""


class LookupFailed(AuthUnavailable):
    """The service could not look the user up now; ``reason`` is what it says about that, "" for nothing."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.reason = fields.get("reason", "")
        super().__init__(self.reason or "the lookup failed temporarily")


class _Lost(AuthUnavailable):
    """The connection went away before an answer came."""


class AuthCancelled(Exception):
    """Raised by a challenge handler when its client has given up."""


class AuthFailed(Exception):
    """The service said no. ``code`` is Dovecot's (temp_fail, authz_fail, user_disabled, pass_expired,
    invalid_base64 ... or ""); ``temporary``: trying again later may help; ``reason`` is meant for the user."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.user = fields.get("user", "")
        self.code = fields.get("code", "")
        self.temporary = "temp" in fields or self.code == "temp_fail"
        self.temp = self.temporary
        self.reason = fields.get("reason", "")
        self.fields = dict(fields)
        super().__init__(self.code or "authentication failed")


@dataclass(frozen=True, slots=True)
class AuthSuccess:
    """A user who is who it says. ``fields`` hold what the passdb added (``nologin``, ``original_user``, ``auth_user``,
    ``anonymous``, ``reason`` ...); ``final`` is the mechanism's last message for the client, b"" for none.
    ``request`` names the log-in for ``MasterClient.login``."""

    user: str
    fields: Mapping[str, str] = field(repr=False)
    final: bytes = b""
    request: tuple[int, int, str] = field(default=(0, 0, ""), repr=False)

    @property
    def nologin(self) -> bool:
        """Whether the user may not log in although the password was right."""
        return "nologin" in self.fields


@dataclass(frozen=True, slots=True)
class UserFields:
    """A user as the userdb (or passdb) knows it. ``user`` is the name after normalisation."""

    user: str
    fields: Mapping[str, str] = field(repr=False)

    def get(self, name: str, default: str | None = None) -> str | None:
        """One field, "" for a field without value."""
        return self.fields.get(name, default)

    @property
    def uid(self) -> int | None:
        """Numeric user id, None when the userdb has none."""
        return _id(self.fields.get("uid", ""))

    @property
    def gid(self) -> int | None:
        """Numeric group id, None when the userdb has none."""
        return _id(self.fields.get("gid", ""))

    @property
    def home(self) -> str:
        """Home directory, "" when the userdb has none."""
        return self.fields.get("home", "")


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 10 else None


class _Event(Protocol):
    """What both machines' answers have in common."""

    @property
    def id(self) -> int: ...


class _Machine(Protocol):
    """What both machines have in common."""

    def receive(self, data: bytes) -> Iterator[object]: ...

    def data_to_send(self) -> bytes: ...


M = TypeVar("M", bound=_Machine)


class _Link(asyncio.Protocol, Generic[M]):
    """A connection: hands answers to whoever waits for their number."""

    def __init__(self, machine: M) -> None:
        self.machine = machine
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting: dict[int, asyncio.Queue[object | None]] = {}
        self.closed = False
        self.gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.flush()

    def data_received(self, data: bytes) -> None:
        try:
            for event in self.machine.receive(data):
                if isinstance(event, client.Ready | master.Ready):
                    if not self.ready.done():
                        self.ready.set_result(None)
                elif (queue := self.waiting.get(cast("_Event", event).id)) is not None:
                    queue.put_nowait(event)
        except ProtocolError as error:
            self._end(f"the auth server {error}")
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("the auth server closed the connection")
        self.gone.set_result(None)

    def _end(self, reason: str) -> None:
        self.closed = True
        if not self.ready.done():
            self.ready.set_exception(AuthUnavailable(reason))
            self.ready.exception()  # it may be that nobody waits any more
        for queue in self.waiting.values():
            queue.put_nowait(None)

    def flush(self) -> None:
        """Send what the machine holds."""
        data = self.machine.data_to_send()
        if data and self._transport is not None and not self.closed:
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()


@dataclass(slots=True)
class _Asked(Generic[M]):
    """A request under way: its connection, number, answers to come, and first answer."""

    link: _Link[M]
    id: int
    queue: asyncio.Queue[object | None]
    first: object = None


class _Client(Generic[M]):
    """Keeps one connection to a unix socket and makes it again when it is lost."""

    def __init__(self, path: str | Path, make: Callable[[], M]) -> None:
        self.path = str(path)
        self._make = make
        self._link: _Link[M] | None = None
        self._connecting = asyncio.Lock()
        self._slots = asyncio.Semaphore(REQUESTS_MAX)

    async def close(self) -> None:
        """Close the connection; a later request opens another."""
        link, self._link = self._link, None
        if link is not None:
            link.close()
            await link.gone

    async def _connected(self) -> _Link[M]:
        """The connection, with its greeting complete. Raises AuthUnavailable."""
        async with self._connecting:
            if self._link is not None and not self._link.closed:
                return self._link
            loop = asyncio.get_running_loop()
            link = _Link(self._make())
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    await loop.create_unix_connection(lambda: link, self.path)
                    await link.ready
            except TimeoutError:
                link.close()
                raise AuthUnavailable(f"{self.path}: no greeting within {CONNECT_TIMEOUT:g} s") from None
            except OSError as error:
                raise AuthUnavailable(f"{self.path}: {error.strerror or error}") from None
            except AuthUnavailable:
                link.close()
                raise
            self._link = link
            return link

    async def _answer(self, queue: asyncio.Queue[object | None]) -> object:
        """The next answer. Raises AuthUnavailable."""
        try:
            async with asyncio.timeout(REPLY_TIMEOUT):
                event = await queue.get()
        except TimeoutError:
            raise AuthUnavailable(f"{self.path}: no answer within {REPLY_TIMEOUT:g} s") from None
        if event is None:
            raise _Lost(f"{self.path}: connection lost")
        return event

    @asynccontextmanager
    async def _asked(self, send: Callable[[M], int]) -> AsyncIterator[_Asked[M]]:
        """Send a request and wait for its first answer; a kept connection that turns out to be dead is made again."""
        async with self._slots:
            kept = self._link is not None and not self._link.closed
            asked = await self._send(send)
            try:
                try:
                    asked.first = await self._answer(asked.queue)
                except _Lost:
                    if not kept:
                        raise
                    asked = await self._send(send)
                    asked.first = await self._answer(asked.queue)
                yield asked
            finally:
                asked.link.waiting.pop(asked.id, None)

    async def _send(self, send: Callable[[M], int]) -> _Asked[M]:
        link = await self._connected()
        queue: asyncio.Queue[object | None] = asyncio.Queue()
        try:
            id = send(link.machine)
        except ProtocolError as error:
            raise AuthUnavailable(str(error)) from None
        link.waiting[id] = queue
        link.flush()
        return _Asked(link, id, queue)


class AuthClient(_Client[ClientConnection]):
    """SASL on behalf of users, over a client socket (``auth-client``, ``private/auth``). Belongs to one event loop.

    ``pid`` has to differ between the connections of a machine when the socket is ``auth-login``.
    """

    def __init__(self, path: str | Path, service: str = "smtp", *, pid: int | None = None) -> None:
        super().__init__(path, lambda: ClientConnection(pid or os.getpid()))
        self.service = service

    async def mechanisms(self) -> list[Mechanism]:
        """The mechanisms the server offers, in its order. Raises AuthUnavailable."""
        return list((await self._connected()).machine.mechanisms.values())

    async def authenticate(
        self,
        mechanism: str,
        initial_response: bytes | None,
        challenge: ChallengeHandler,
        *,
        secured: bool | str = False,
        local: Address | None = None,
        remote: Address | None = None,
        local_name: str = "",
        session: str = "",
        valid_client_cert: bool = False,
        cert_username: str = "",
        nologin: bool = True,
        no_penalty: bool = False,
        final_resp_ok: bool = True,
    ) -> AuthSuccess:
        """One exchange. ``challenge`` is awaited with each challenge and returns the client's response.

        ``nologin``: no master will ask for this log-in (SMTP); IMAP and POP3 that do ask set it False.
        Raises AuthFailed, AuthUnavailable, and whatever ``challenge`` raises (the exchange is then cancelled).
        """
        parameters = Parameters(
            service=self.service, nologin=nologin, no_penalty=no_penalty, final_resp_ok=final_resp_ok,
            valid_client_cert=valid_client_cert, cert_username=cert_username, local_name=local_name, session=session,
        )  # fmt: skip
        parameters.secured = secured if isinstance(secured, str) else "yes" if secured else ""
        if local:
            parameters.lip, parameters.lport = local
        if remote:
            parameters.rip, parameters.rport = remote
        return await self._exchange(mechanism.upper(), parameters, initial_response, challenge)

    async def exchange(self, mechanism: str, parameters: Parameters, initial_response: bytes) -> AuthSuccess:
        """As ``authenticate`` for mechanisms without challenges, with all parameters as the caller has them."""

        async def challenge(data: bytes) -> bytes:
            raise AuthCancelled("the mechanism asks for more than the initial response")

        return await self._exchange(mechanism.upper(), parameters, initial_response, challenge)

    async def _exchange(
        self, mechanism: str, parameters: Parameters, initial: bytes | None, challenge: ChallengeHandler
    ) -> AuthSuccess:
        if mechanism not in (await self._connected()).machine.mechanisms:
            raise AuthFailed({"reason": "Unsupported authentication mechanism."})
        async with self._asked(lambda machine: machine.begin(mechanism, parameters, initial)) as asked:
            try:
                return await self._dialogue(asked, challenge)
            finally:
                asked.link.machine.cancel(asked.id)  # does nothing once the server has answered
                asked.link.flush()

    async def _dialogue(self, asked: _Asked[ClientConnection], challenge: ChallengeHandler) -> AuthSuccess:
        link, event = asked.link, asked.first
        while True:
            if isinstance(event, client.Success):
                return _success(event, link.machine)
            if isinstance(event, client.Failure):
                raise AuthFailed(event.fields)
            assert isinstance(event, client.Challenge)
            response = await challenge(event.data)
            try:
                link.machine.respond(asked.id, response)
            except ProtocolError as error:
                raise AuthUnavailable(str(error)) from None
            link.flush()
            event = await self._answer(asked.queue)


def _success(event: client.Success, machine: ClientConnection) -> AuthSuccess:
    fields = dict(event.fields)
    user = fields.pop("user")
    final = decode_base64(fields.pop("resp", "") or "=")
    return AuthSuccess(user, fields, final or b"", (machine.pid, event.id, machine.cookie))


class MasterClient(_Client[MasterClientConnection]):
    """Lookups over a userdb or master socket (``auth-userdb``, ``auth-master``). Belongs to one event loop."""

    def __init__(self, path: str | Path) -> None:
        super().__init__(path, MasterClientConnection)

    async def user(
        self,
        username: str,
        service: str = "",
        *,
        local: Address | None = None,
        remote: Address | None = None,
    ) -> UserFields | None:
        """The userdb's fields of a user, None for an unknown user.

        Raises AuthUnavailable (LookupFailed when it is the service that says so).
        """
        return await self.user_with(username, _parameters(service, local, remote))

    async def user_with(self, username: str, parameters: Parameters) -> UserFields | None:
        """As ``user``, with all parameters as the caller has them."""
        return await self._lookup(lambda machine: machine.user(username, parameters))

    async def passdb(self, username: str, service: str = "") -> UserFields | None:
        """The passdb's fields of a user (never its password), None for an unknown user. Raises as ``user``."""
        return await self.passdb_with(username, _parameters(service, None, None))

    async def passdb_with(self, username: str, parameters: Parameters) -> UserFields | None:
        """As ``passdb``, with all parameters as the caller has them."""
        return await self._lookup(lambda machine: machine.passdb(username, parameters))

    async def login(self, success: AuthSuccess) -> UserFields | None:
        """The userdb's fields for a log-in that was made on an ``auth-login`` socket. Raises as ``user``."""
        pid, request, cookie = success.request
        return await self._lookup(lambda machine: machine.login(pid, request, cookie))

    async def flush_cache(self, *users: str) -> int:
        """Forget cached results of these users, or of all; returns how many entries went. Raises AuthUnavailable."""
        async with self._asked(lambda machine: machine.flush(users)) as asked:
            return asked.first.count if isinstance(asked.first, master.Done) else 0

    async def list(self, mask: str = "", service: str = "") -> AsyncIterator[str]:
        """All users the userdbs can list; the server may ignore ``mask``. Raises AuthUnavailable."""
        parameters = _parameters(service, None, None)
        async with self._asked(lambda machine: machine.list_users(mask, parameters)) as asked:
            event = asked.first
            while isinstance(event, master.Listed):
                yield event.user
                event = await self._answer(asked.queue)
            if isinstance(event, master.Failed):
                raise LookupFailed(event.fields)

    async def _lookup(self, send: Callable[[MasterClientConnection], int]) -> UserFields | None:
        async with self._asked(send) as asked:
            event = asked.first
        if isinstance(event, master.Found):
            return UserFields(event.user, event.fields)
        if isinstance(event, master.Failed):
            raise LookupFailed(event.fields)
        return None


def _parameters(service: str, local: Address | None, remote: Address | None) -> Parameters:
    parameters = Parameters(service=service)
    if local:
        parameters.lip, parameters.lport = local
    if remote:
        parameters.rip, parameters.rport = remote
    return parameters
