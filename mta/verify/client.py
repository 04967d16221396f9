"""The client of private/verify: one connection of an smtpd process, on which its sessions take turns."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

from mta.proxymap.protocol import ProtocolError, Reader, encode, number
from mta.verify.protocol import GREETING, OK, Fate

ANSWER_SECONDS: Final = 10.0
"""The service answers from what it knows; what takes longer will not come."""
CHUNK: Final = 1 << 16


class VerifyClient:
    """Asks about addresses; connects when it is first needed, and again when the connection was lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._turn = asyncio.Lock()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._incoming = Reader()

    async def ask(self, address: str) -> tuple[Fate, str]:
        """What is known of an address, and the reason. Raises OSError where the service does not answer."""
        async with self._turn:
            fresh = self._streams is None
            try:
                return await self._ask(address)
            except (OSError, ProtocolError):
                self.close()
                if fresh:
                    raise OSError(f"{self._path}: no answer") from None
            # The service was started anew since the last question.
            try:
                return await self._ask(address)
            except (OSError, ProtocolError):
                self.close()
                raise OSError(f"{self._path}: no answer") from None

    async def _ask(self, address: str) -> tuple[Fate, str]:
        async with asyncio.timeout(ANSWER_SECONDS):
            if self._streams is None:
                self._incoming = Reader()
                self._streams = await asyncio.open_unix_connection(self._path)
                if await self._message() != GREETING:
                    raise ProtocolError("not the verify service")
            self._streams[1].write(encode({"request": "query", "address": address}))
            answer = await self._message()
        if answer.get("status") != OK:
            raise ProtocolError(f"status {answer.get('status')}")
        try:
            return Fate(number(answer.get("recipient_status"))), answer.get("reason", "")
        except ValueError:
            raise ProtocolError("unknown address status") from None

    async def _message(self) -> dict[str, str]:
        assert self._streams is not None
        while True:
            data = await self._streams[0].read(CHUNK)
            if not data:
                raise ConnectionResetError
            if messages := self._incoming.feed(data):
                return messages[0]

    def close(self) -> None:
        """Let go of the connection."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].close()
