"""Real stunnel on either side: before our TLS ports and our plain ones, and at the other end of our own wrapper."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lab.behaviours.base import Change
from lab.behaviours.stack import Lab
from lab.wire import IMAP, POP3, Tap, Transcript
from tls.authority import Authority
from tls.context import client_context, server_context
from tls.policy import Policy
from tls.wrapper import Endpoint, Program, Wrapper

pytestmark = pytest.mark.interop

Peer = Callable[[str, str], str]
STARTS_IN_SECONDS = 20.0


@asynccontextmanager
async def stunnel(program: str, place: Path, *lines: str) -> AsyncIterator[int]:
    """A private stunnel; the port that it listens on."""
    port = Lab.free_port()
    configuration = "\n".join(("foreground = yes", "pid =", "[it]", f"accept = 127.0.0.1:{port}", *lines, ""))
    (place / "stunnel.conf").write_text(configuration)
    process = await asyncio.create_subprocess_exec(
        program, str(place / "stunnel.conf"), stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(STARTS_IN_SECONDS):
        while b"Configuration successful" not in said:
            line = await process.stderr.readline()
            assert line, said.decode()
            said += line
    reading = asyncio.create_task(process.stderr.read())
    try:
        yield port
    finally:
        process.terminate()
        await process.wait()
        await reading


async def test_its_client_before_our_tls_port(peer: Peer, place: Path) -> None:
    async with Lab.start(["mailhost"]) as lab:
        address, port = lab.endpoint("mailhost.imaps")
        client = ("client = yes", f"connect = {address}:{port}", f"CAfile = {lab.ca_file}", f"checkHost = {lab.name}")
        alice = lab.user("alice")
        async with stunnel(peer("stunnel4", "stunnel4"), place, *client, "verifyChain = yes") as door:
            async with await IMAP.open("127.0.0.1", door, transcript=Transcript()) as imap:
                assert imap.greeting.startswith("* OK")
                assert (await imap.login(alice.name, alice.password)).status == "OK"


async def test_its_server_before_our_plain_port(peer: Peer, place: Path) -> None:
    plain = [Change("mailhost/dovecot.conf", "disable_plaintext_auth = no\nssl = yes")]
    async with Lab.start(["mailhost"], plain) as lab:
        alice, (certificate_file, key_file) = lab.user("alice"), lab.certificate("mailhost")
        (place / "stunnel.pem").touch(0o600)
        (place / "stunnel.pem").write_text(certificate_file.read_text() + key_file.read_text())
        address, port = lab.endpoint("mailhost.pop3")
        server = (f"cert = {place}/stunnel.pem", f"connect = {address}:{port}")
        async with stunnel(peer("stunnel4", "stunnel4"), place, *server) as door, Tap(("127.0.0.1", door)) as tap:
            async with await POP3.open(
                "127.0.0.1", tap.port, tls=lab.trust, server_name=lab.name, transcript=Transcript()
            ) as pop3:
                assert (await pop3.login(alice.name, alice.password)).startswith("+OK")
            assert tap.octets
            assert not tap.heard(alice.password)


@asynccontextmanager
async def wrapped(wrapper: Wrapper) -> AsyncIterator[int]:
    """Our own wrapper; the port that it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        drain = asyncio.Event()
        serving = asyncio.create_task(wrapper.serve([sock], drain))
        try:
            yield sock.getsockname()[1]
        finally:
            drain.set()
            await serving


async def test_our_wrapper_and_its_client_and_server(peer: Peer, place: Path) -> None:
    """A plain client, stunnel, our wrapper, a plain program; and a plain client, our wrapper, stunnel, a program."""
    program, popd = peer("stunnel4", "stunnel4"), Program("/bin/sh", ["sh", "-c", "echo +OK ready; read line"])
    authority = Authority.create(place / "ca")
    made = authority.issue_server(["localhost"])
    pem = place / "stunnel.pem"
    pem.touch(0o600)
    pem.write_text(made.certificate_file.read_text() + made.key_file.read_text())
    async with wrapped(Wrapper(popd, accepting=server_context(pem, pem, Policy()))) as inner:
        trusting = (f"CAfile = {authority.certificate_file}", "verifyChain = yes", "checkHost = localhost")
        async with stunnel(program, place, "client = yes", f"connect = 127.0.0.1:{inner}", *trusting) as door:
            async with await POP3.open("127.0.0.1", door, transcript=Transcript()) as pop3:
                assert pop3.greeting == "+OK ready"
    async with stunnel(program, place, f"cert = {pem}", "exec = /bin/echo", "execArgs = echo +OK") as inner:
        context = client_context(Policy(), authority.certificate_file)
        async with wrapped(Wrapper(Endpoint("localhost", inner), connecting=context)) as door:
            async with await POP3.open("127.0.0.1", door, transcript=Transcript()) as pop3:
                assert pop3.greeting == "+OK"
