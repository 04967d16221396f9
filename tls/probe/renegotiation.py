"""Whether a server lets a client renegotiate: one handshake in full with TLS 1.2, and then another inside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from OpenSSL import SSL

_CHUNK: Final = 1 << 14


async def renegotiates(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, context: SSL.Context, *, timeout: float
) -> bool:
    """Shake hands twice on a connection that is ready for TLS; the second time is what is asked about.

    A server that ignores the second attempt for `timeout` seconds, or hangs up, has refused it.
    Raises SSL.Error, OSError or TimeoutError where even the first handshake fails.
    """
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    async with asyncio.timeout(timeout):
        await _drive(connection, connection.do_handshake, reader, writer)
    before = connection.total_renegotiations()
    try:
        connection.renegotiate()
        async with asyncio.timeout(timeout):
            await _drive(connection, connection.do_handshake, reader, writer)
    except (SSL.Error, OSError):  # TimeoutError is an OSError
        return False
    return connection.total_renegotiations() > before and not connection.renegotiate_pending()


async def _drive(
    connection: SSL.Connection, step: Callable[[], None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Repeat a step until it is done, passing on what either side has to say."""
    while True:
        try:
            step()
            done = True
        except SSL.WantReadError:
            done = False
        try:
            while True:
                writer.write(connection.bio_read(_CHUNK))
        except SSL.WantReadError:
            pass
        await writer.drain()
        if done:
            return
        received = await reader.read(_CHUNK)
        if not received:
            raise ConnectionError("closed by the server")
        connection.bio_write(received)
