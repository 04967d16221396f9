"""A master or userdb socket of the auth service: lookups, lists, finished log-ins."""

from __future__ import annotations

import asyncio
import logging
import secrets
import struct
from socket import SO_PEERCRED, SOL_SOCKET

from . import proxying, wiretap
from .client_connection import ClientConnection
from .connection import Connection
from .core import Core
from .databases import DatabaseError
from .protocol import MasterServerConnection, Parameters, ProtocolError, master_server
from .replies import pass_words, user_words
from .request import AuthRequest, BadUsername, describe
from .results import Result
from .userdbs import UserResult

log = logging.getLogger("dovecot.auth")


class MasterConnection(Connection):
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
        if wiretap.on():
            wiretap.show(self, data, client=True)
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
            case master_server.ListPenalties(number):
                for address, count, penalty, update in self.core.penalties.waiting():
                    self._machine.send_penalty(number, address, count, penalty, update)
                self._machine.send_done(number)
            case master_server.FlushCache(id, users):
                self._machine.send_flushed(id, self.core.authenticator.flush(users))
        self._flush()

    def _request(self, user: str, parameters: Parameters) -> AuthRequest | None:
        request = AuthRequest(self.core.settings, parameters)
        try:
            request.set_user(user)
        except BadUsername as error:
            log.info("userdb lookup: %s", error)
            return None
        request.userdb_lookup = True
        return request

    async def _user(self, id: int, user: str, parameters: Parameters) -> None:
        request = self._request(user, parameters)
        if request is None:
            self._machine.send_not_found(id)
        else:
            await self._answer_user(id, request)

    async def _answer_user(self, id: int, request: AuthRequest) -> None:
        result = await self.core.authenticator.userdbs.ask(request)
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
        if result is Result.OK and not request.failed and proxying.finish(request):
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
            request = AuthRequest(self.core.settings, Parameters())
            async for user in self.core.authenticator.userdbs.users(request):
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
