"""Renegotiation by the client: told from a server that refuses it."""

from __future__ import annotations

import asyncio
import contextlib
import ssl

import pytest

from tls.authority import Credentials
from tls.context import server_context
from tls.openssl_context import openssl_client_context
from tls.policy import Policy, Version
from tls.probe import renegotiates

ALLOW_CLIENT_RENEGOTIATION = 1 << 8
"""SSL_OP_ALLOW_CLIENT_RENEGOTIATION of openssl/ssl.h, which Python has no name for."""
CLASSIC = Policy(frozenset({Version.TLSv1_2}))


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_server_that_renegotiates_is_told_from_one_that_does_not(server: Credentials, allowed: bool) -> None:
    context = server_context(server.certificate_file, server.key_file, Policy())
    if allowed:
        context.options &= ~ssl.OP_NO_RENEGOTIATION
        context.options |= ALLOW_CLIENT_RENEGOTIATION

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.transport.abort()

    async with await asyncio.start_server(session, "127.0.0.1", 0, ssl=context) as listener:
        reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
        assert await renegotiates(reader, writer, openssl_client_context(CLASSIC), timeout=2) is allowed
        writer.transport.abort()
