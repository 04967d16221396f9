"""Plaintext injected around STARTTLS into Twisted protocols, over real sockets."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tls.authority import Credentials

PEER = Path(__file__).with_name("twisted_peer.py")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ports(server: Credentials) -> Iterator[dict[str, int]]:
    command = [sys.executable, PEER, server.certificate_file, server.key_file]
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def skip_line(plain: socket.socket) -> None:
    """Byte by byte, so that nothing behind the line is taken."""
    while (byte := plain.recv(1)) != b"\n":
        assert byte, "the server closed the connection"


def talk(port: int, context: ssl.SSLContext, before: bytes, under_tls: bytes, end: bytes, after: bytes = b"") -> bytes:
    """Send `before` in the clear, shake hands, send `under_tls`; everything answered under TLS up to `end`."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        if under_tls.startswith(b"a2 "):
            skip_line(plain)  # the IMAP greeting
        plain.sendall(before)
        skip_line(plain)
        if after:
            plain.sendall(after)
        with context.wrap_socket(plain, server_hostname="localhost") as secure:
            secure.sendall(under_tls)
            answer = b""
            while end not in answer and (chunk := secure.recv(1 << 16)):
                answer += chunk
            return answer


@pytest.mark.parametrize(
    "injected", [b"", b"EVIL\r\n", b"EVIL\r\nEVIL\r\n", b"EV", b"\r\n", b"STARTTLS\r\nEVIL\r\n", b"x" * 8000 + b"\r\n"]
)
def test_what_was_sent_before_the_handshake_is_dropped(
    ports: dict[str, int], client_side: ssl.SSLContext, injected: bytes
) -> None:
    answer = talk(ports["Echo"], client_side, b"STARTTLS\r\n" + injected, b"NOOP\r\n", b"ok NOOP\r\n")
    assert answer == b"ok NOOP\r\n"


@pytest.mark.parametrize("hole", ["Naive", "Twin"])
def test_the_probe_sees_the_hole(ports: dict[str, int], client_side: ssl.SSLContext, hole: str) -> None:
    answer = talk(ports[hole], client_side, b"STARTTLS\r\nEVIL\r\n", b"NOOP\r\n", b"ok NOOP\r\n")
    assert answer == b"ok EVIL\r\nok NOOP\r\n", "EVIL is not answered under TLS: the test tests nothing"


def test_what_is_sent_between_go_ahead_and_handshake_breaks_the_handshake(
    ports: dict[str, int], client_side: ssl.SSLContext
) -> None:
    seen = len(failures(ports))
    with pytest.raises(OSError):
        talk(ports["Echo"], client_side, b"STARTTLS\r\n", b"NOOP\r\n", b"ok NOOP\r\n", after=b"EVIL\r\n")
    assert await_failure(ports, seen) not in ("None", "")


@pytest.mark.parametrize("kind", ["IMAP4Server", "HandlerOnly"])
def test_twisted_runs_imap_commands_from_before_the_handshake(
    ports: dict[str, int], client_side: ssl.SSLContext, kind: str
) -> None:
    """Why the gate is needed, and why overriding do_STARTTLS alone does not close it."""
    before = b"a1 STARTTLS\r\nevil CAPABILITY\r\n"
    answer = talk(ports[kind], client_side, before, b"a2 NOOP\r\n", b"a2 OK")
    assert b"evil OK" in answer


def test_imap_commands_from_before_the_handshake_are_dropped(
    ports: dict[str, int], client_side: ssl.SSLContext
) -> None:
    before = b"a1 STARTTLS\r\nevil CAPABILITY\r\n"
    answer = talk(ports["Guarded"], client_side, before, b"a2 NOOP\r\n", b"a2 OK")
    assert b"a2 OK" in answer
    assert b"evil" not in answer


def test_a_protocol_that_cannot_be_emptied_is_refused(ports: dict[str, int]) -> None:
    with socket.create_connection(("127.0.0.1", ports["OnlyLines"]), 10) as plain:
        plain.sendall(b"STARTTLS\r\n")
        assert plain.makefile("rb").readline() == (b"OnlyLines does not say how its buffered input is discarded\r\n")


def test_a_client_refuses_answers_injected_before_the_handshake(ports: dict[str, int]) -> None:
    seen = len(failures(ports))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)
        failures(ports, f"connect {listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(10)
            assert connection.recv(100) == b"STARTTLS\r\n"
            connection.sendall(b"220 ready\r\n250 injected\r\n")
            assert await_failure(ports, seen) == "client: 14 bytes of plaintext follow the reply to STARTTLS"
            with pytest.raises(ConnectionResetError):
                connection.recv(1)


def failures(ports: dict[str, int], line: str = "failures") -> list[str]:
    """What the Twisted process has recorded."""
    with socket.create_connection(("127.0.0.1", ports["Control"]), 10) as control:
        control.sendall(line.encode() + b"\r\n")
        recorded = json.loads(control.makefile("rb").readline())
        assert isinstance(recorded, list)
        return recorded


def await_failure(ports: dict[str, int], seen: int) -> str:
    """The first failure recorded after the first `seen`."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if len(recorded := failures(ports)) > seen:
            return recorded[seen]
    raise AssertionError("the Twisted process recorded nothing")
