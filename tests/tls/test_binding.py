"""Channel bindings as a client sees them: of TLS 1.3 and 1.2, of full handshakes and of resumed sessions."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from OpenSSL import SSL

from tls.authority import Credentials
from tls.binding import EXPORTER, UNIQUE, noted
from tls.context_twisted import TwistedServerOptions, twisted_server_options
from tls.policy import Policy


def shake_hands(
    options: TwistedServerOptions, client_side: ssl.SSLContext, session: ssl.SSLSession | None
) -> tuple[SSL.Connection, ssl.SSLObject]:
    """A handshake in memory."""
    server = options.serverConnectionForTLS(None)  # type: ignore[arg-type]  # ours asks nothing of the protocol
    server.set_accept_state()
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname="localhost", session=session)
    open_ends = {"client", "server"}
    for _ in range(10):
        if "client" in open_ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                client.do_handshake()
                open_ends.discard("client")
        if data := to_server.read():
            server.bio_write(data)
        if "server" in open_ends:
            with contextlib.suppress(SSL.WantReadError):
                server.do_handshake()
                open_ends.discard("server")
        with contextlib.suppress(SSL.WantReadError):
            to_client.write(server.bio_read(1 << 16))
    assert not open_ends
    return server, client


@pytest.fixture
def options(server: Credentials) -> TwistedServerOptions:
    return twisted_server_options(server.certificate_file, server.key_file, Policy())


def test_tls_unique_of_full_and_resumed_sessions(options: TwistedServerOptions, client_side: ssl.SSLContext) -> None:
    client_side.maximum_version = ssl.TLSVersion.TLSv1_2
    session, seen = None, set()
    for resumed in (False, True, True):
        server, client = shake_hands(options, client_side, session)
        assert client.session_reused is resumed
        binding = noted(server, UNIQUE)
        assert binding and binding == client.get_channel_binding("tls-unique")
        assert noted(server, EXPORTER) is None
        seen.add(binding)
        session = client.session
    assert len(seen) == 3


def test_tls_exporter(options: TwistedServerOptions, client_side: ssl.SSLContext) -> None:
    server, _ = shake_hands(options, client_side, None)
    other, _ = shake_hands(options, client_side, None)
    first, second = noted(server, EXPORTER), noted(other, EXPORTER)
    assert first is not None and second is not None and len(first) == 32 and first != second
    assert noted(server, UNIQUE) is None
    assert noted(server, "tls-server-end-point") is None
