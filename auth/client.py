"""Clients of an auth service, ours or Dovecot's own: SASL exchanges and userdb lookups over one kept connection."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .link import Asked, AuthUnavailable, KeptConnection
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

Address = tuple[str, int]
ChannelBinding = Callable[[str], bytes | None]
ChallengeHandler = Callable[[bytes], Awaitable[bytes]]


class LookupFailed(AuthUnavailable):
    """The service could not look the user up now; ``reason`` is what it says about that, "" for nothing."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.reason = fields.get("reason", "")
        super().__init__(self.reason or "the lookup failed temporarily")


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


class AuthClient(KeptConnection[ClientConnection]):
    """SASL on behalf of users, over a client socket (``auth-client``, ``private/auth``). Belongs to one event loop.

    ``pid`` has to differ between the connections of a machine when the socket is ``auth-login``.
    """

    def __init__(self, path: str | Path, service: str = "smtp", *, pid: int | None = None) -> None:
        super().__init__(path, lambda: ClientConnection(pid or os.getpid()))
        self.service = service

    async def mechanisms(self) -> list[Mechanism]:
        """The mechanisms the server offers, in its order. Raises AuthUnavailable."""
        return list((await self.connected()).machine.mechanisms.values())

    @property
    def connection(self) -> tuple[int, int] | None:
        """The server's process id and its number for the present connection, which APOP challenges begin with; None
        without a connection."""
        link = self._link
        return None if link is None or link.closed else (link.machine.server_pid, link.machine.connection_id)

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
        binding: ChannelBinding | None = None,
    ) -> AuthSuccess:
        """One exchange. ``challenge`` is awaited with each challenge and returns the client's response; ``binding``
        gives the channel binding data of a kind (``tls-exporter``), None where there are none.

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
        return await self._exchange(mechanism.upper(), parameters, initial_response, challenge, binding)

    async def exchange(self, mechanism: str, parameters: Parameters, initial_response: bytes) -> AuthSuccess:
        """As ``authenticate`` for mechanisms without challenges, with all parameters as the caller has them."""

        async def challenge(data: bytes) -> bytes:
            raise AuthCancelled("the mechanism asks for more than the initial response")

        return await self._exchange(mechanism.upper(), parameters, initial_response, challenge)

    async def _exchange(
        self,
        mechanism: str,
        parameters: Parameters,
        initial: bytes | None,
        challenge: ChallengeHandler,
        binding: ChannelBinding | None = None,
    ) -> AuthSuccess:
        if mechanism not in (await self.connected()).machine.mechanisms:
            raise AuthFailed({"reason": "Unsupported authentication mechanism."})
        async with self.asked(lambda machine: machine.begin(mechanism, parameters, initial)) as asked:
            try:
                return await self._dialogue(asked, challenge, binding)
            finally:
                asked.link.machine.cancel(asked.id)  # does nothing once the server has answered
                asked.link.flush()

    async def _dialogue(
        self, asked: Asked[ClientConnection], challenge: ChallengeHandler, binding: ChannelBinding | None
    ) -> AuthSuccess:
        link, event = asked.link, asked.first
        while True:
            if isinstance(event, client.Success):
                return _success(event, link.machine)
            if isinstance(event, client.Failure):
                raise AuthFailed(event.fields)
            assert isinstance(event, client.Challenge)
            bound = binding(event.binding) if event.binding and binding is not None else None
            if event.binding and bound is None:
                raise AuthFailed({"reason": "Channel binding not supported"})
            response = await challenge(event.data)
            try:
                link.machine.respond(asked.id, response, bound)
            except ProtocolError as error:
                raise AuthUnavailable(str(error)) from None
            link.flush()
            event = await self.answer(asked.queue)


def _success(event: client.Success, machine: ClientConnection) -> AuthSuccess:
    fields = dict(event.fields)
    user = fields.pop("user")
    final = decode_base64(fields.pop("resp", "") or "=")
    return AuthSuccess(user, fields, final or b"", (machine.pid, event.id, machine.cookie))


class MasterClient(KeptConnection[MasterClientConnection]):
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

    async def serves(self, client: AuthClient) -> bool:
        """Whether this is a socket of the server that ``client`` asks, and we are let in."""
        try:
            link = await self.connected()
        except AuthUnavailable:
            return False
        return client.connection is not None and client.connection[0] == link.machine.server_pid

    async def login(self, success: AuthSuccess) -> UserFields | None:
        """The userdb's fields for a log-in that was made on an ``auth-login`` socket. Raises as ``user``."""
        pid, request, cookie = success.request
        return await self._lookup(lambda machine: machine.login(pid, request, cookie))

    async def flush_cache(self, *users: str) -> int:
        """Forget cached results of these users, or of all; returns how many entries went. Raises AuthUnavailable."""
        async with self.asked(lambda machine: machine.flush(users)) as asked:
            return asked.first.count if isinstance(asked.first, master.Done) else 0

    async def list(self, mask: str = "", service: str = "") -> AsyncIterator[str]:
        """All users the userdbs can list; the server may ignore ``mask``. Raises AuthUnavailable."""
        parameters = _parameters(service, None, None)
        async with self.asked(lambda machine: machine.list_users(mask, parameters)) as asked:
            event = asked.first
            while isinstance(event, master.Listed):
                yield event.user
                event = await self.answer(asked.queue)
            if isinstance(event, master.Failed):
                raise LookupFailed(event.fields)

    async def penalties(self) -> AsyncIterator[tuple[str, int, int, int]]:
        """Addresses that have to wait: failures, and when the last one that counted and the last of all were (seconds
        since 1970). Raises AuthUnavailable; a real Dovecot does not know the question."""
        async with self.asked(lambda machine: machine.penalties()) as asked:
            event = asked.first
            while isinstance(event, master.Penalized):
                yield event.address, event.count, event.penalty, event.update
                event = await self.answer(asked.queue)

    async def _lookup(self, send: Callable[[MasterClientConnection], int]) -> UserFields | None:
        async with self.asked(send) as asked:
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
