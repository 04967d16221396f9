"""proxymap as a service of the supervisor: the sockets private/proxymap and private/proxywrite."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from mta.config import MainConfig
from mta.inherited import KEEP_FILE
from mta.proxymap.access import Approved
from mta.proxymap.server import Server, Tables

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


class Bound(Protocol):
    """A socket that the supervisor bound for us."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...


def prepare(config: MainConfig, sockets: Sequence[Bound]) -> Serve:
    """Open the approved tables, still privileged; returns what serves them. Raises ConfigErrors.

    sockets: tagged "proxymap" or "proxywrite".
    """
    tables = Tables(config)
    servers = list[tuple[socket.socket, Server]]()
    for bound in sockets:
        write = bound.tag == "proxywrite"
        server = Server(tables, Approved(config, write=write), write=write)
        server.open_all()
        servers.append((bound.socket, server))

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        clients = set[asyncio.Task[None]]()

        def accept(server: Server) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
            async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.current_task()
                assert task is not None
                clients.add(task)
                try:
                    await server.serve(reader, writer)
                except asyncio.CancelledError:
                    # Ours, below; asyncio's streams would report it as a failure of the handler.
                    if not drain.is_set():
                        raise
                finally:
                    clients.discard(task)

            return handle

        listening = [
            await asyncio.start_unix_server(accept(server), sock=sock, **KEEP_FILE) for sock, server in servers
        ]
        try:
            ready()
            await drain.wait()
        finally:
            for listener in listening:
                listener.close()
            # Clients keep their connections for good; whoever still needs an answer asks again.
            for task in clients:
                task.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
            await tables.aclose()

    return serve
