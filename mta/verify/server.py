"""The socket private/verify: smtpd processes ask about addresses, in the attribute protocol of Postfix's verify(8).

server   protocol=verify_protocol
client   request=query, address=user@example.com
server   status=0, recipient_status=2, reason=...
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from mta.proxymap.protocol import ProtocolError, Reader, encode
from mta.tables import TableError
from mta.verify.probes import Prober
from mta.verify.protocol import BAD, FAILED, GREETING, OK, Fate

log = logging.getLogger("postfix.verify")

CHUNK: Final = 1 << 16
ADDRESS_LIMIT: Final = 1000
"""Octets of an address: more than RFC 5321 allows, and more than an LMDB key can hold is refused by the table."""
REASON_LIMIT: Final = 2000


class VerifyServer:
    """Answers requests; an answer never waits for a probe."""

    def __init__(self, prober: Prober) -> None:
        self._prober = prober

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client, until it goes or breaks the protocol."""
        incoming = Reader()
        try:
            writer.write(encode(GREETING))
            while data := await reader.read(CHUNK):
                for request in incoming.feed(data):
                    writer.write(encode(await self._answer(request)))
                await writer.drain()
        except (ProtocolError, ValueError) as error:
            log.warning("%s", error)
        except OSError as error:
            log.debug("client went away: %s", error)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, request: dict[str, str]) -> dict[str, str]:
        address = request.get("address", "")
        if request.get("request") != "query" or not address or len(address.encode("utf-8", "replace")) > ADDRESS_LIMIT:
            log.warning("unrecognized request: %.100s", request.get("request", ""))
            return _reply(BAD, Fate.UNKNOWN, "")
        try:
            entry = await self._prober.ask(address)
        except TableError as error:
            log.warning("%s", error)
            return _reply(FAILED, Fate.UNKNOWN, "")
        return _reply(OK, entry.fate, entry.text)


def _reply(status: str, fate: Fate, reason: str) -> dict[str, str]:
    return {"status": status, "recipient_status": str(fate.value), "reason": reason[:REASON_LIMIT]}
