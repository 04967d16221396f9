"""What main.cf says of sessions, groups, other certificates by name, and Diffie-Hellman; real handshakes with smtpd."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mta.config import ConfigErrors
from mta.smtpd.connection import Connection
from tests.tls.test_server_settings import connect
from tls.authority import Authority
from tls.context import client_context
from tls.policy import Policy, Version


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca")


@pytest.fixture
def tls_settings(authority: Authority) -> str:
    made = authority.issue_server(["localhost"])
    return f"""
        smtpd_tls_wrappermode = yes
        smtpd_tls_cert_file = {made.certificate_file}
        smtpd_tls_key_file = {made.key_file}
    """


@pytest.fixture
async def listen(start: Any, tls_settings: str) -> AsyncIterator[Any]:
    """`listen(MAIN_CF)` is the port of an smtpd that speaks TLS from the start."""
    listeners = []

    async def listening(main: str) -> int:
        site = await start(f"{tls_settings}\n        {main}\n")
        loop = asyncio.get_running_loop()
        listener = await loop.create_server(
            lambda: Connection(site.server), "127.0.0.1", 0, ssl=site.server.tls.context
        )
        listeners.append(listener)
        return int(listener.sockets[0].getsockname()[1])

    yield listening
    for listener in listeners:
        listener.close()


async def shown(port: int, client: ssl.SSLContext, **more: Any) -> Any:
    """tests.tls's view of one connection: session, whether it was resumed, the certificate, the greeting."""
    return await asyncio.to_thread(connect, port, client, **more)


@pytest.mark.parametrize(
    ("main", "resumed"),
    [
        ("", True),
        ("smtpd_tls_session_cache_timeout = 1h", True),
        ("smtpd_tls_session_cache_timeout = 0s", False),
        ("tls_session_ticket_cipher =", False),
    ],
)
async def test_sessions(listen: Any, authority: Authority, main: str, resumed: bool) -> None:
    site = await listen(main)
    client = client_context(Policy(), authority.certificate_file)
    session, *_ = await shown(site, client)
    assert (await shown(site, client, session=session))[1] is resumed


@pytest.mark.parametrize("form", ["files", "contents"])
async def test_certificates_by_name(listen: Any, authority: Authority, form: str) -> None:
    """The value names chain files, or has the text of one as `postmap -F` puts it there."""
    made = authority.issue_server(["shop.example"])
    chain = authority.directory / "chain.pem"
    chain.write_bytes(made.key_file.read_bytes() + made.certificate_file.read_bytes())
    value = str(chain) if form == "files" else base64.b64encode(chain.read_bytes()).decode()
    site = await listen(f"tls_server_sni_maps = inline:{{{{ shop.example = {value} }}}}")
    for name in ("localhost", "shop.example"):
        assert (await shown(site, client_context(Policy(), authority.certificate_file), name=name))[3].startswith(
            b"220"
        )


@pytest.mark.parametrize(
    ("main", "text"),
    [
        ("tls_eecdh_auto_curves = nonsense", "no usable group"),
        ("tls_server_sni_maps = inline:{a.example=/nonexistent/chain.pem}", "/nonexistent/chain.pem"),
        ("tls_server_sni_maps = inline:{a.example=%%%}", "neither files nor what postmap -F makes"),
        ("tls_server_sni_maps = static:/nonexistent", "tls_server_sni_maps: "),
        ("smtpd_tls_dh1024_param_file = /nonexistent/dh.pem", "/nonexistent/dh.pem"),
    ],
)
async def test_what_cannot_be_is_told_at_the_start(start: Any, tls_settings: str, main: str, text: str) -> None:
    with pytest.raises(ConfigErrors, match=text):
        await start(f"{tls_settings}\n        {main}\n")


@pytest.mark.parametrize(
    ("main", "group", "agrees"),
    [
        ("", "prime256v1", True),
        ("tls_eecdh_auto_curves = prime256v1 nonsense", "prime256v1", True),
        ("tls_eecdh_auto_curves = prime256v1", "secp384r1", False),
    ],
)
async def test_groups(listen: Any, authority: Authority, main: str, group: str, agrees: bool) -> None:
    site = await listen(main)
    client = client_context(Policy(versions=frozenset({Version.TLSv1_3})), authority.certificate_file)
    client.set_ecdh_curve(group)
    if agrees:
        assert (await shown(site, client))[3].startswith(b"220")
    else:
        with pytest.raises((ssl.SSLError, ConnectionError, socket.error)):
            await shown(site, client)
