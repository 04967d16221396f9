"""STLS and implicit TLS over real sockets; plaintext behind STLS is never acted upon."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest

from tls.authority import Authority


async def stls(server: Any, behind: bytes) -> bytes:
    """Send STLS with octets behind it, do the handshake, and give what is read inside TLS first."""
    reader, writer = await server.connect()
    try:
        await reader.readline()
        writer.write(b"STLS\r\n" + behind)
        assert (await reader.readline()).startswith(b"+OK Begin TLS")
        await writer.start_tls(server.context)
        writer.write(b"QUIT\r\n")
        line: bytes = await asyncio.wait_for(reader.readline(), 10)
        return line
    finally:
        writer.close()


async def test_stls(pop3_server: Any) -> None:
    assert await stls(await pop3_server(), b"") == b"+OK Logging out\r\n"


async def test_plaintext_behind_stls_is_never_acted_upon(pop3_server: Any) -> None:
    server = await pop3_server()
    with pytest.raises((ssl.SSLError, ConnectionError)):
        if not await stls(server, b"CAPA\r\n"):
            raise ConnectionError


async def test_the_probe_sees_the_hole_on_the_weakened_twin(pop3_server: Any) -> None:
    assert await stls(await pop3_server(starttls_injection=True), b"CAPA\r\n") == b"+OK\r\n"


@pytest.mark.parametrize(("own", "named"), [(True, True), (True, False), (False, True)])
async def test_a_client_certificate_reaches_the_auth_service(
    pop3_server: Any, mail: Any, tmp_path: Path, own: bool, named: bool
) -> None:
    server = await pop3_server(username_from_cert=named)
    signer = Authority.load(tmp_path / "ca") if own else Authority.create(tmp_path / "other")
    shown = signer.issue_client("alice")
    server.context.load_cert_chain(shown.certificate_file, shown.key_file)
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.tls_port, ssl=server.context, server_hostname="localhost"
    )
    await reader.readline()
    writer.write(b"USER alice\r\nPASS testpass\r\n")
    await reader.readline()
    assert (await reader.readline()).startswith(b"+OK Logged in")
    details = mail.auth.details
    assert details["valid_client_cert"] is own
    assert details["cert_username"] == ("alice" if own and named else "")
    assert details["secured"] == "tls"
    assert len(details["binding"]("tls-exporter")) == 32
    writer.close()


async def test_implicit_tls(pop3_server: Any) -> None:
    server = await pop3_server()
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", server.tls_port, ssl=server.context, server_hostname="localhost"
    )
    assert await reader.readline() == b"+OK Dovecot ready.\r\n"
    writer.close()
