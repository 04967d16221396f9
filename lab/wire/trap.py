"""A trap: a server that offers AUTH without TLS and notes whether a client gives its password away."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Self

from lab.wire.transcript import Transcript

LINE_SECONDS = 10.0


class Trap:
    """An SMTP server on 127.0.0.1 that answers just enough to be tempted with a password. It keeps no mail."""

    def __init__(self, transcript: Transcript) -> None:
        self.transcript = transcript
        self.credentials = False
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._session, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(text: str) -> None:
            self.transcript.server(text.encode(), tls=False)
            writer.write(text.encode() + b"\r\n")
            await writer.drain()

        with contextlib.suppress(OSError, TimeoutError, ValueError):
            await say("220 trap.example ESMTP")
            while line := await asyncio.wait_for(reader.readline(), LINE_SECONDS):
                verb = line.split(b" ")[0].strip().upper()
                self.transcript.client(b"AUTH <credentials>" if verb == b"AUTH" else line, tls=False)
                if verb == b"EHLO":
                    self.transcript.server(b"250-trap.example", tls=False)
                    writer.write(b"250-trap.example\r\n")
                    await say("250 AUTH PLAIN LOGIN")
                elif verb == b"AUTH":
                    self.credentials = True
                    await say("535 5.7.8 thank you")
                elif verb == b"QUIT":
                    await say("221 bye")
                    break
                else:
                    await say("450 4.7.1 log in first")
        writer.close()
