"""TLS on the SMTP server: the upgrade, implicit TLS, and what may not cross the border between plain text and TLS."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mta.config import ConfigErrors
from mta.smtpd.connection import Connection
from tls.authority import Authority
from tls.context import client_context
from tls.policy import Policy


@pytest.fixture
def tls_settings(tmp_path: Path) -> str:
    credentials = Authority.create(tmp_path / "ca").issue_server(["mx.example.com", "127.0.0.1"])
    return f"""
        smtpd_tls_security_level = may
        smtpd_tls_cert_file = {credentials.certificate_file}
        smtpd_tls_key_file = {credentials.key_file}
        smtpd_tls_received_header = yes
    """


@pytest.fixture
def trusting(tls_settings: str, tmp_path: Path) -> ssl.SSLContext:
    return client_context(Policy(), Authority.load(tmp_path / "ca").certificate_file)


async def upgrade(client: Any, context: ssl.SSLContext) -> None:
    await client.writer.start_tls(context, server_hostname="127.0.0.1")


async def test_starttls_forgets_what_was_said_in_plain_text(
    start: Any, tls_settings: str, trusting: ssl.SSLContext
) -> None:
    site = await start(tls_settings)
    client = await site.say(
        """
        C: EHLO client.example.org
        S: 250-*|250-STARTTLS|*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: STARTTLS now
        S: 501 5.5.4 Syntax: STARTTLS
        C: STARTTLS
        S: 220 2.0.0 Ready to start TLS
        """
    )
    await upgrade(client, trusting)
    await client.say(
        """
        C: RCPT TO:<alice@example.com>
        S: 503 5.5.1 Error: need MAIL command
        C: EHLO client.example.org
        S: 250-mx.example.com|250-PIPELINING|250-SIZE 10240000|250-VRFY|250-ETRN|250-ENHANCEDSTATUSCODES|*
        C: STARTTLS
        S: 554 5.5.1 Error: TLS already active
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        C: QUIT
        S: 221 *
        """
    )
    (message,) = site.queue.messages
    assert b"\r\n\t(using TLSv1.3 with cipher TLS_" in message.content
    assert (
        b"\r\n\t(No client certificate requested)\r\n\tby mx.example.com (Postfix) with ESMTPS id QID1"
        in message.content
    )


async def test_injected_plain_text_is_dropped(start: Any, tls_settings: str, trusting: ssl.SSLContext) -> None:
    """CVE-2011-0411: commands sent behind STARTTLS are not obeyed as if they had come under TLS."""
    site = await start(tls_settings)
    client = await site.say("C: EHLO x\nS: 250-*")
    await client.send(b"STARTTLS\r\nMAIL FROM:<injected@b.example>\r\n")
    assert await client.reply() == "220 2.0.0 Ready to start TLS"
    await upgrade(client, trusting)
    await client.say("C: NOOP\nS: 250 2.0.0 Ok\nC: RCPT TO:<alice@example.com>\nS: 503 5.5.1 Error: need MAIL command")


async def test_injected_plain_text_is_obeyed_on_the_weakened_twin(
    start: Any, tls_settings: str, trusting: ssl.SSLContext
) -> None:
    site = await start(tls_settings)
    site.server.keep_injected_plaintext = True
    client = await site.say("C: EHLO x\nS: 250-*")
    await client.send(b"STARTTLS\r\nMAIL FROM:<injected@b.example>\r\n")
    assert await client.reply() == "220 2.0.0 Ready to start TLS"
    await upgrade(client, trusting)
    assert await client.reply() == "250 2.1.0 Ok"


async def test_encryption_can_be_required(start: Any, tls_settings: str) -> None:
    site = await start(tls_settings + "\n        smtpd_tls_security_level = encrypt")
    await site.say(
        """
        C: EHLO x
        S: 250-*|250-STARTTLS|*
        C: MAIL FROM:<a@b.example>
        S: 530 5.7.0 Must issue a STARTTLS command first
        C: RSET
        S: 530 5.7.0 *
        C: FOO
        S: 500 *
        C: NOOP
        S: 250 *
        C: QUIT
        S: 221 *
        """
    )


async def test_a_failed_handshake_ends_the_session(start: Any, tls_settings: str) -> None:
    site = await start(tls_settings)
    client = await site.say("C: EHLO x\nS: 250-*\nC: STARTTLS\nS: 220 *")
    await client.send(b"this is no handshake\r\n" * 3)
    async with asyncio.timeout(10):
        while await client.reader.read(4096):
            pass
    while site.server.connections:
        await asyncio.sleep(0)


async def test_starttls_without_a_certificate(start: Any) -> None:
    await (await start("smtpd_tls_security_level = may")).say(
        "C: EHLO x\nS: 250-*CHUNKING\nC: STARTTLS\nS: 502 5.5.1 Error: command not implemented"
    )


async def test_implicit_tls(start: Any, tls_settings: str, trusting: ssl.SSLContext) -> None:
    site = await start(tls_settings + "\n        smtpd_tls_wrappermode = yes")
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(site.server), "127.0.0.1", 0, ssl=site.server.tls.context)
    port = listener.sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    client = type(await site.connect())(reader, writer)
    await client.say(
        """
        S: 220 *
        C: EHLO x
        S: 250-mx.example.com|250-PIPELINING|250-SIZE 10240000|250-VRFY|250-ETRN|250-ENHANCEDSTATUSCODES|*
        C: STARTTLS
        S: 554 5.5.1 Error: TLS already active
        C: QUIT
        S: 221 *
        """
    )
    writer.close()
    listener.close()


async def test_client_certificates(start: Any, tls_settings: str, tmp_path: Path) -> None:
    authority = Authority.load(tmp_path / "ca")
    alice = authority.issue_client("alice")
    context = client_context(
        Policy(), authority.certificate_file, certificate_file=alice.certificate_file, key_file=alice.key_file
    )
    site = await start(
        f"""
        {tls_settings}
        smtpd_tls_ask_ccert = yes
        smtpd_tls_CAfile = {authority.certificate_file}
        smtpd_tls_fingerprint_digest = sha256
        smtpd_relay_restrictions = permit_tls_all_clientcerts, reject_unauth_destination
        """
    )
    client = await site.say(
        """
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<x@far.example>
        S: 554 5.7.1 <x@far.example>: Relay access denied
        C: STARTTLS
        S: 220 *
        """
    )
    await upgrade(client, context)
    await client.say("C: EHLO x\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<x@far.example>\nS: 250 *")


@pytest.mark.parametrize(
    ("authority", "reply"),
    [
        ("", "421 4.7.1 mx.example.com Error: No client certificate presented"),
        ("other", "421 4.7.1 mx.example.com Error: Client certificate not trusted"),
        ("ca", "250-*"),
    ],
)
async def test_a_certificate_that_is_required(
    start: Any, tls_settings: str, trusting: ssl.SSLContext, tmp_path: Path, authority: str, reply: str
) -> None:
    """The dialogue tells what is missing: a failed handshake would not reach the client of TLS 1.3 in words."""
    ca = Authority.load(tmp_path / "ca")
    if authority:
        issuer = ca if authority == "ca" else Authority.create(tmp_path / authority)
        credentials = issuer.issue_client("client.example.org")
        trusting.load_cert_chain(credentials.certificate_file, credentials.key_file)
    site = await start(f"""{tls_settings}
        smtpd_tls_security_level = encrypt
        smtpd_tls_req_ccert = yes
        smtpd_tls_CAfile = {ca.certificate_file}
    """)
    client = await site.say("C: EHLO x\nS: 250-*\nC: STARTTLS\nS: 220 *")
    await upgrade(client, trusting)
    await client.say(f"S: {reply}" if reply.startswith("421") else f"C: EHLO x\nS: {reply}")
    if reply.startswith("421"):
        assert await client.closed()


FFDHE2048 = """\
-----BEGIN DH PARAMETERS-----
MIIBCAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAg==
-----END DH PARAMETERS-----
"""
"""RFC 7919 appendix A.1."""


@pytest.mark.parametrize("received_header", ["yes", "no"])  # pyOpenSSL runs the one, ssl the other
async def test_ciphers_options_and_parameters_are_the_site_s_choice(
    start: Any, tls_settings: str, trusting: ssl.SSLContext, tmp_path: Path, received_header: str
) -> None:
    parameters = tmp_path / "dh.pem"
    parameters.write_text(FFDHE2048)
    site = await start(
        f"{dedent(tls_settings)}\nsmtpd_tls_received_header = {received_header}\nsmtpd_tls_protocols = <=TLSv1.2\n"
        f"smtpd_tls_ciphers = high\ntls_high_cipherlist = ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256\n"
        f"tls_preempt_cipherlist = yes\ntls_ssl_options = NO_TICKET\nsmtpd_tls_dh1024_param_file = {parameters}\n"
    )
    trusting.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305")
    client = await site.say("C: EHLO x\nS: 250-*\nC: STARTTLS\nS: 220 *")
    await upgrade(client, trusting)
    assert client.writer.get_extra_info("cipher")[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
    assert not client.writer.get_extra_info("ssl_object").session.has_ticket


@pytest.mark.parametrize(
    "setting",
    ["tls_ssl_options = NO_SUCH", "tls_medium_cipherlist = NOTHING", "smtpd_tls_dh1024_param_file = /etc/passwd"],
)
async def test_choices_that_cannot_be(start: Any, tls_settings: str, setting: str) -> None:
    with pytest.raises(ConfigErrors, match="TLS: "):
        await start(f"{dedent(tls_settings)}\n{setting}")
