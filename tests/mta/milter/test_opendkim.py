"""Real OpenDKIM as a milter: it signs what comes over SMTP and what comes by sendmail, and our own verifier agrees."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mta.authres import dkim
from mta.config import MainConfig
from mta.queue import NewMessage, Queue
from mta.queue.service import Service, make_plan
from mta.sendmail import maildrop
from mta.sendmail.maildrop import Drop
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server

pytestmark = [pytest.mark.interop, pytest.mark.needs("opendkim", "opendkim")]

MAIN = """
compatibility_level = 3.6
queue_directory = {place}/spool
myhostname = mx.example.com
mydestination =
relayhost = [127.0.0.1]:1
alias_maps =
local_recipient_maps =
mynetworks = 127.0.0.0/8
smtpd_peername_lookup = no
smtpd_milters = unix:{place}/opendkim
non_smtpd_milters = $smtpd_milters
"""
MASTER = "smtp unix - - n - - smtp\n"
LETTER = b"From: Joe <joe@example.com>\r\nTo: you@far.example\r\nSubject: signed\r\n\r\nHello\r\n"


@pytest.fixture
def key(place: Path, peer: Callable[[str, str], str]) -> Iterator[str]:
    """OpenDKIM on a unix socket; the key's record in the DNS."""
    private = rsa.generate_private_key(65537, 2048)
    file = place / "private"
    file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    file.chmod(0o600)
    (place / "opendkim.conf").write_text(
        f"Domain example.com\nSelector sel\nKeyFile {file}\nSocket local:{place}/opendkim\nMode s\nSyslog no\n"
        "InternalHosts 127.0.0.1\nOversignHeaders From\nRequireSafeKeys no\n"
    )
    process = subprocess.Popen([peer("opendkim", "opendkim"), "-f", "-x", str(place / "opendkim.conf")])
    deadline = time.monotonic() + 10
    while not (place / "opendkim").exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    spki = private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    yield f"v=DKIM1; k=rsa; p={base64.b64encode(spki).decode()}"
    process.kill()  # asked to end, it waits for five seconds
    process.wait(10)


@pytest.fixture
def config(tmp_path: Path, place: Path) -> MainConfig:
    (tmp_path / "main.cf").write_text(MAIN.format(place=place))
    (tmp_path / "master.cf").write_text(MASTER)
    return MainConfig.load(tmp_path)


def signed_well(content: bytes, key: str) -> bool:
    """Whether the one signature is there and holds. Raises DkimError."""
    message = dkim.Message.of(content)
    [field] = [octets for name, octets in message.fields if name == b"dkim-signature"]
    return dkim.verify(dkim.parse(field), message, key) == 2048


class Kept:
    """A queue that keeps what it is given."""

    def __init__(self) -> None:
        self.messages: list[NewMessage] = []

    def new_id(self) -> str:
        return "QID"

    def check_space(self, size: int = 0) -> None: ...

    async def put(self, message: NewMessage) -> str:
        self.messages.append(message)
        return "QID"


async def test_mail_over_smtp(config: MainConfig, key: str) -> None:
    kept = Kept()
    server = Server.from_config(config, kept)
    listener = await asyncio.get_running_loop().create_server(lambda: Connection(server), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    dialogue = (
        b"HELO x\r\nMAIL FROM:<joe@example.com>\r\nRCPT TO:<you@far.example>\r\nDATA\r\n" + LETTER + b".\r\nQUIT\r\n"
    )
    writer.write(dialogue)
    async with asyncio.timeout(20):
        said = await reader.read()
    assert b"250 2.0.0 Ok: queued" in said, said
    writer.close()
    listener.close()
    await server.close()
    assert signed_well(kept.messages[0].content, key)


async def test_mail_by_sendmail(config: MainConfig, key: str) -> None:
    service = Service(make_plan(config))
    queue: Queue = service.queue
    maildrop.write(queue.directory, Drop("joe@example.com", ("you@far.example",), LETTER))
    async with asyncio.timeout(20):
        while await service.manager._pickup():  # type: ignore[misc]
            pass
    [message] = queue.messages()
    content = queue.content(message)
    queue.close()
    assert signed_well(content, key)
