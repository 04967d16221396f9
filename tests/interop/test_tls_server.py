"""TLS settings of smtpd: real Postfix and hardmail with one main.cf agree on the same handshakes."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.behaviours.processes import running_daemon
from tests import peers
from tests.interop import realpostfix
from tests.tls.test_server_settings import connect
from tls.authority import Authority
from tls.context import client_context
from tls.policy import Policy, Version

pytestmark = [pytest.mark.interop, pytest.mark.slow, pytest.mark.needs("postfix", "postfix"), pytest.mark.needs_root]

ONLY_12, ONLY_13 = frozenset({Version.TLSv1_2}), frozenset({Version.TLSv1_3})
BOTH = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"


@dataclass(frozen=True)
class Client:
    """What a client offers, and what comes of it: the cipher's name begins so, or nothing is agreed on."""

    agrees: str | None
    versions: frozenset[Version] = ONLY_13
    ciphers: str = BOTH
    group: str = ""
    name: str = "localhost"


CASES: dict[str, list[Client]] = {
    "smtpd_tls_eecdh_grade = ultra": [Client("TLS_", group="prime256v1"), Client("TLS_", group="secp384r1")],  # heeded by neither
    "tls_eecdh_auto_curves = secp521r1 nonsense": [Client(None, group="prime256v1"), Client("TLS_", group="secp521r1")],
    "smtpd_tls_mandatory_protocols = <=TLSv1.2": [Client(None), Client("ECDHE", ONLY_12)],
    "smtpd_tls_mandatory_protocols = TLSv1.3": [Client("TLS_"), Client(None, ONLY_12)],
    "smtpd_tls_exclude_ciphers = AES128": [
        Client(None, ONLY_12, "ECDHE-ECDSA-AES128-GCM-SHA256"),
        Client("ECDHE-ECDSA-AES256", ONLY_12),
    ],
    "smtpd_tls_mandatory_exclude_ciphers = AESGCM": [Client(None, ONLY_12)],
    "tls_medium_cipherlist = ECDHE-ECDSA-AES128-GCM-SHA256": [Client("ECDHE-ECDSA-AES128", ONLY_12)],
    "tls_high_cipherlist = ECDHE-ECDSA-AES128-GCM-SHA256\nsmtpd_tls_mandatory_ciphers = high": [
        Client("ECDHE-ECDSA-AES128", ONLY_12)
    ],
    "tls_preempt_cipherlist = no": [
        Client("ECDHE-ECDSA-AES128", ONLY_12, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    ],
    "tls_preempt_cipherlist = yes": [
        Client("ECDHE-ECDSA-AES256", ONLY_12, "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    ],
    "tls_server_sni_maps = texthash:{place}/sni": [
        Client("TLS_"), Client("TLS_", name="shop.example"), Client("TLS_", name="any.below.example"),
        Client(None, name="below.example"),
    ],
}  # fmt: skip
SESSIONS = {"": True, "smtpd_tls_session_cache_timeout = 1h": True, "smtpd_tls_session_cache_timeout = 0": False}


@asynccontextmanager
async def server(which: str, place: Path, main: str) -> AsyncIterator[tuple[int, Authority]]:
    """The port of an smtpd with these settings that begins with TLS, and the authority behind its certificates."""
    authority = Authority.create(place / "ca")
    (place / "ca").chmod(0o755)
    own = authority.issue_server(["localhost"])
    table = ""
    for key, name in (("shop.example", "shop.example"), (".below.example", "any.below.example")):
        made = authority.issue_server([name])
        chain = place / f"{name}.pem"
        chain.write_bytes(made.key_file.read_bytes() + made.certificate_file.read_bytes())
        chain.chmod(0o600)
        table += f"{key} {chain}\n"
    (place / "sni").write_text(table)
    main = (
        f"smtpd_tls_cert_file = {own.certificate_file}\nsmtpd_tls_key_file = {own.key_file}\n"
        f"smtpd_tls_mandatory_protocols = >=TLSv1.2\nmyhostname = a.example\n{main.format(place=place)}\n"
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    line = f"127.0.0.1:{port} inet n - n - 1 smtpd\n  -o smtpd_tls_wrappermode=yes\n"
    if which == "postfix":
        with realpostfix.running(peers.find("postfix", "postfix"), place / "postfix", line, main):
            yield port, authority
        return
    (place / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {place}/queue\ndata_directory = {place}/data\nalias_maps =\n"
        f"hardmail_smtpd_processes = 1\nlocal_recipient_maps =\n{main}"
    )
    (place / "master.cf").write_text(line)
    async with running_daemon(place):
        yield port, authority


def agreed(port: int, authority: Authority, client: Client) -> str | None:
    """The cipher, or None."""
    context = client_context(
        Policy(versions=client.versions, ciphers=client.ciphers), authority.certificate_file, verify="name"
    )
    if client.group:
        context.set_ecdh_curve(client.group)
    try:
        with socket.create_connection(("127.0.0.1", port), 20) as plain:
            with context.wrap_socket(plain, server_hostname=client.name) as sock:
                sock.recv(100)
                cipher = sock.cipher()
                return cipher[0] if cipher else None
    except (ssl.SSLError, ConnectionError):
        return None


@pytest.mark.parametrize("main", CASES)
@pytest.mark.parametrize("which", ["postfix", "hardmail"])
async def test_handshakes(which: str, main: str, place: Path) -> None:
    async with server(which, place, main) as (port, authority):
        for client in CASES[main]:
            cipher = await asyncio.to_thread(agreed, port, authority, client)
            assert cipher == client.agrees or (cipher and client.agrees and cipher.startswith(client.agrees)), client


@pytest.mark.parametrize("main", SESSIONS)
@pytest.mark.parametrize("which", ["postfix", "hardmail"])
async def test_sessions(which: str, main: str, place: Path) -> None:
    async with server(which, place, main) as (port, authority):
        context = client_context(Policy(), authority.certificate_file)
        session, *_ = await asyncio.to_thread(connect, port, context)
        _, resumed, *_ = await asyncio.to_thread(connect, port, context, session)
        assert resumed is SESSIONS[main]
