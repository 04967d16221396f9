"""The auth service's HTTP client: TLS that is verified, bounds, and errors that tell no secret."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from auth.http import BODY_MAX, HttpClient, HttpError
from tls.authority import Authority


class Handler(BaseHTTPRequestHandler):
    """Tells what it was asked; a path of digits is a number of octets."""

    def do_GET(self) -> None:
        body = b"x" * int(self.path[1:]) if self.path[1:].isdigit() else str(self.headers["Authorization"]).encode()
        self.send_response(302 if self.path == "/elsewhere" else 200)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@contextmanager
def server(context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on a port of its own."""
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield http.server_address[1]
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


async def test_userinfo_redirections_and_bounds() -> None:
    client = HttpClient(5)
    with server() as port:
        answer = await client.ask("GET", f"http://us%40er:pass%3Aword@127.0.0.1:{port}/", b"", {})
        assert answer.body == b"Basic dXNAZXI6cGFzczp3b3Jk"
        assert (await client.ask("GET", f"http://127.0.0.1:{port}/elsewhere", b"", {})).status == 302
        assert len((await client.ask("GET", f"http://127.0.0.1:{port}/{BODY_MAX + 5}", b"", {})).body) == BODY_MAX
    client.close()


async def test_a_certificate_is_verified(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    credentials = authority.issue_server(["localhost", "127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    trusting = HttpClient(5, context=ssl.create_default_context(cafile=str(authority.certificate_file)))
    strange = HttpClient(5)
    with server(context) as port:
        assert (await trusting.ask("GET", f"https://127.0.0.1:{port}/", b"", {})).status == 200
        with pytest.raises(HttpError):
            await strange.ask("GET", f"https://127.0.0.1:{port}/", b"", {})
    trusting.close()
    strange.close()


@pytest.mark.parametrize(
    "url", ["http://u:hush@127.0.0.1:1/", "ftp://hush@h/", "http://[hush", "http://h:hush/", "//hush"]
)
async def test_errors_do_not_repeat_the_url(url: str) -> None:
    client = HttpClient(5)
    with pytest.raises(HttpError) as caught:
        await client.ask("GET", url, b"", {})
    assert "hush" not in str(caught.value)
    client.close()


async def test_a_header_cannot_be_broken_out_of() -> None:
    client = HttpClient(5)
    with pytest.raises(HttpError) as caught:
        await client.ask("GET", "http://127.0.0.1:1/", b"", {"Authorization": "Bearer hush\r\nX: y"})
    assert "hush" not in str(caught.value)
    client.close()


async def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        client = HttpClient(0.2)
        with pytest.raises(HttpError):
            await client.ask("GET", f"http://127.0.0.1:{silent.getsockname()[1]}/", b"", {})
        client.close()
