"""Servers that say what a test wants them to say, and audits of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lab.audit.audit import audit
from lab.audit.report import Audited
from lab.audit.settings import Settings
from lab.audit.target import Target

Session = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(session: Session) -> AsyncIterator[int]:
    """The port of a server that holds this conversation with everybody."""
    sessions: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sessions.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await session(reader, writer)
        finally:
            sessions.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(sessions):
            task.cancel()
        await server.wait_closed()
        while sessions:
            await asyncio.sleep(0)


async def look(scheme: str, session: Session, **settings: object) -> Audited:
    """The audit of a server that holds this conversation."""
    chosen = Settings(**{"rate": 1000.0, "timeout": 0.5, **settings})  # type: ignore[arg-type]
    async with serving(session) as port:
        report = await audit([Target(scheme, "127.0.0.1", port)], chosen)
    return report.targets[0]


def smtp(*, greeting: str = "220 mx.example.org ESMTP", tls: Session | None = None, **answers: str) -> Session:
    """A server that knows EHLO, and gives these answers to other commands; after STARTTLS comes the session `tls`."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting.encode() + b"\r\n")
        while line := await reader.readline():
            verb = line.split()[0].decode("latin-1").upper() if line.split() else ""
            if verb == "STARTTLS" and tls:
                writer.write(b"220 go ahead\r\n")
                await tls(reader, writer)
                return
            answer = answers.get(verb, "502 5.5.1 no")
            if verb in ("EHLO", "HELO") and verb not in answers:
                answer = "250-mx.example.org\r\n" + ("250-STARTTLS\r\n" if tls else "") + "250 SIZE 10000"
            if verb == "QUIT":
                answer = "221 bye"
            writer.write(answer.encode("latin-1") + b"\r\n")
            await writer.drain()

    return session
