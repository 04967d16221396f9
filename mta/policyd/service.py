"""The policy server as a service: private/NAME of master.cf, standard input under spawn(8), or any socket."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.dns import Resolver
from mta.inherited import KEEP_FILE
from mta.policyd.policy import Networks, Policy
from mta.policyd.protocol import ProtocolError, RequestReader, answer
from mta.policyd.spf import Checker

log = logging.getLogger("postfix.policyd")

CLIENT_LIMIT: Final = 1000
"""Connections at once; an smtpd process keeps one for each request that it waits for."""
READ_SIZE: Final = 16 * 1024

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


class Bound(Protocol):
    """A listening socket."""

    @property
    def socket(self) -> socket.socket: ...


def prepare(config: MainConfig, sockets: Sequence[Bound]) -> Serve:
    """A policy service with the site's resolver. Raises ConfigErrors."""
    policy = policy_of(config)

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        server = PolicyServer(policy)
        try:
            await server.listen([bound.socket for bound in sockets])
            ready()
            await drain.wait()
        finally:
            await server.close()

    return serve


def policy_of(config: MainConfig) -> Policy:
    """The policy that main.cf describes. Raises ConfigErrors."""
    hostname = config.str("myhostname")
    return Policy(Checker(Resolver.of(config), hostname), hostname, _networks(config))


def _networks(config: MainConfig) -> Networks:
    words = config.list("hardmail_spf_skip_addresses")
    try:
        return [ipaddress.ip_network(word.replace("[", "").replace("]", "")) for word in words]
    except ValueError as error:
        where = config.where("hardmail_spf_skip_addresses")
        raise ConfigErrors([ConfigError(where, f"hardmail_spf_skip_addresses: {error}")]) from None


class PolicyServer:
    """Answers on sockets: the requests of one connection in their order, without waiting for other connections."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._servers: list[asyncio.Server] = []
        self._clients: set[asyncio.StreamWriter] = set()

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept on listening sockets."""
        for bound in sockets:
            if bound.family == socket.AF_UNIX:
                server = await asyncio.start_unix_server(self._client, sock=bound, **KEEP_FILE)
            else:
                server = await asyncio.start_server(self._client, sock=bound)
            self._servers.append(server)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= CLIENT_LIMIT:
            log.warning("too many clients")
            writer.close()
            return
        self._clients.add(writer)
        try:
            await converse(self.policy, reader, writer)
        except ProtocolError as error:
            log.warning("bad request: %s", error)
        except ConnectionError as error:
            log.info("lost connection: %s", type(error).__name__)
        finally:
            self._clients.discard(writer)
            writer.close()

    async def close(self) -> None:
        """Let go of everybody: smtpd asks again, on a new connection."""
        for server in self._servers:
            server.close()
        for writer in tuple(self._clients):
            writer.close()
        for writer in tuple(self._clients):
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def converse(policy: Policy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection to its end. Raises ProtocolError, ConnectionError."""
    requests = RequestReader()
    while octets := await reader.read(READ_SIZE):
        for request in requests.feed(octets):
            writer.write(answer(await policy.action(request)))
            await writer.drain()
