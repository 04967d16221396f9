"""Client certificates at IMAP, revoked and not: real Dovecot and hardmail with one configuration give the same answers."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lab.behaviours.processes import running_daemon
from tests import peers
from tests.interop import realdovecot
from tls.authority import Authority, Credentials
from tls.context import client_context
from tls.policy import Policy

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.needs("dovecot", "dovecot-core")]

ANSWERS = {  # file of ssl_ca, further lines: what a good and a revoked certificate lead to
    ("ca-crl.pem", ""): ("a OK", "a NO [ALERT] Client didn't present valid SSL certificate"),
    ("ca.pem", ""): ("a NO [ALERT] Client didn't present valid SSL certificate",) * 2,
    ("ca.pem", "ssl_require_crl = no"): ("a OK", "a OK"),
}
CONFIGURATION = """
ssl = yes
ssl_cert = <{ca}/server-localhost.pem
ssl_key = <{ca}/server-localhost.key
ssl_verify_client_cert = yes
auth_ssl_require_client_cert = yes
auth_failure_delay = 0
ssl_ca = <{ca}/{file}
{more}
protocols = imap
listen = 127.0.0.1
mail_location = maildir:{place}/mail/%u
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={place}/home
}}
service imap-login {{
  inet_listener imap {{
    port = 0
  }}
  inet_listener imaps {{
    port = {port}
    ssl = yes
  }}
}}
"""


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    place = Path(tempfile.mkdtemp(prefix="hm-"))
    place.chmod(0o755)
    made = Authority.create(place / "ca")
    made.directory.chmod(0o755)
    made.issue_server(["localhost"])
    made.issue_client("good")
    made.revoke(made.issue_client("bad").certificate)
    yield made
    shutil.rmtree(place)


@asynccontextmanager
async def server(which: str, place: Path, configuration: str) -> AsyncIterator[None]:
    if which == "hardmail":
        own = f"base_dir = {place}/run\nstate_dir = {place}/state\nhardmail_default_passwords = allow\n"
        (place / "dovecot.conf").write_text(own + configuration)
        async with running_daemon(place):
            yield
        return
    with realdovecot.running(
        peers.find("dovecot", "dovecot-core"), place, configuration, [place / "run" / "login" / "login"]
    ):
        yield


def answer(port: int, authority: Authority, shown: Credentials) -> str:
    """What LOGIN is answered to a client with that certificate."""
    context = client_context(
        Policy(),
        authority.certificate_file,
        certificate_file=shown.certificate_file,
        key_file=shown.key_file,
    )
    with socket.create_connection(("127.0.0.1", port), 20) as plain:
        with context.wrap_socket(plain, server_hostname="localhost") as sock, sock.makefile("rb") as lines:
            lines.readline()
            sock.sendall(b"a LOGIN alice secret\r\n")
            return next(line for line in lines if line.startswith(b"a ")).decode().strip()


@pytest.mark.parametrize("case", ANSWERS, ids=" ".join)
@pytest.mark.parametrize("which", ["dovecot", "hardmail"])
async def test_what_a_certificate_is_worth(
    which: str, case: tuple[str, str], authority: Authority, place: Path
) -> None:
    uid, gid = (8, 8) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = CONFIGURATION.format(
        ca=authority.directory, file=case[0], more=case[1], place=place, uid=uid, gid=gid, port=port
    )
    clients = {found.certificate_file.stem: found for found in authority.issued() if not found.is_server}
    async with server(which, place, configuration):
        for name, wanted in zip(("client-good", "client-bad"), ANSWERS[case], strict=True):
            said = await asyncio.to_thread(answer, port, authority, clients[name])
            assert said.startswith(wanted), f"{name}: {said}"
