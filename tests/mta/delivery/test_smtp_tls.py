"""TLS to the next hop: each level does what TLS_README says, and mail is kept where it may not go."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.delivery.smtp.sasl import SaslSettings
from mta.delivery.smtp.tlssettings import TlsDefaults
from tls import fingerprint
from tls.authority import Authority

from .conftest import Table


def fate(results) -> tuple[str, str, str]:
    [result] = results
    return str(result.status), result.dsn.status, result.dsn.reason


NOT_VERIFIED = ("deferred", "4.7.5", "Server certificate not verified")


async def test_may_uses_tls_where_it_is_offered(peer, agent, request_to, server_tls, caplog) -> None:
    caplog.set_level(logging.INFO)
    server = await peer(tls=server_tls())
    results = await agent(tls=TlsDefaults(level="may", loglevel=1)).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "sent"
    assert server.encrypted == [True]
    assert server.commands[:3] == ["EHLO mx.here", "STARTTLS", "EHLO mx.here"]
    assert f"Untrusted TLS connection established to 127.0.0.1[127.0.0.1]:{server.port}: TLSv1.3" in caplog.text


async def test_none_does_not(peer, agent, request_to, server_tls) -> None:
    server = await peer(tls=server_tls())
    results = await agent(tls=TlsDefaults(level="none")).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "sent"
    assert server.encrypted == [False]


async def test_may_falls_back_to_plain_text_for_mail_that_has_waited(peer, agent, request_to, server_tls) -> None:
    context = server_tls()
    context.maximum_version = context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    server = await peer(tls=context)
    results = await agent(tls=TlsDefaults(level="may", protocols=">=TLSv1.3")).deliver(
        request_to(f"[127.0.0.1]:{server.port}", waited=301)
    )
    assert fate(results)[0] == "sent"
    assert server.encrypted == [False]
    assert server.connections == 2


NO_HANDSHAKE = ("deferred", "4.7.5", "Cannot start TLS: handshake failure")


async def test_fresh_mail_waits_after_a_spoilt_handshake(peer, agent, request_to) -> None:
    server = await peer(spoil=True)
    [result] = results = await agent(minimal_backoff=300.0).deliver(
        request_to(f"[127.0.0.1]:{server.port}", waited=299)
    )
    assert fate(results) == NO_HANDSHAKE
    assert result.site_failure is None  # the destination is not throttled for it
    assert server.commands == ["EHLO mx.here", "STARTTLS"]
    assert server.connections == 1


@pytest.mark.parametrize("waited", [0, 100_000])
async def test_a_spoilt_handshake_earns_no_password(peer, agent, request_to, waited: float) -> None:
    server = await peer(keywords=("AUTH PLAIN LOGIN",), spoil=True, replies={"AUTH": "235 2.7.0 ok"})
    results = await agent(
        sasl=SaslSettings(enabled=True, options=("noanonymous",)), passwords=Table({"127.0.0.1": "user:secret"})
    ).deliver(request_to(f"[127.0.0.1]:{server.port}", waited=waited))
    assert fate(results) == NO_HANDSHAKE
    assert server.commands == ["EHLO mx.here", "STARTTLS"]
    assert server.contents == []


async def test_the_next_server_is_tried_after_a_spoilt_handshake(peer, agent, request_to, names) -> None:
    server = await peer(spoil=True)
    names.hosts["mail.example.org"] = ["127.0.0.1", "127.0.0.2"]
    results = await agent(randomize=False).deliver(request_to(f"[mail.example.org]:{server.port}"))
    assert fate(results)[0] == "deferred"
    assert "connect to mail.example.org[127.0.0.2]" in fate(results)[2]


async def test_encrypt_does_not_fall_back(peer, agent, request_to, server_tls) -> None:
    context = server_tls()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    server = await peer(tls=context)
    results = await agent(tls=TlsDefaults(level="encrypt", mandatory_protocols=">=TLSv1.3")).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results) == ("deferred", "4.7.5", "Cannot start TLS: handshake failure")
    assert server.contents == []


async def test_encrypt_needs_an_offer(peer, agent, request_to) -> None:
    server = await peer()
    results = await agent(tls=TlsDefaults(level="encrypt")).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results) == (
        "deferred",
        "4.7.4",
        "TLS is required, but was not offered by host 127.0.0.1[127.0.0.1]",
    )


async def test_encrypt_takes_a_refusal_for_an_answer(peer, agent, request_to) -> None:
    server = await peer(keywords=("STARTTLS",), replies={"STARTTLS": "454 4.7.0 not now"})
    results = await agent(tls=TlsDefaults(level="encrypt")).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results) == (
        "deferred",
        "4.7.0",
        "TLS is required, but host 127.0.0.1[127.0.0.1] refused to start TLS: 454 4.7.0 not now",
    )
    assert not [command for command in server.commands if command.startswith("MAIL")]


async def test_may_goes_on_after_a_refusal(peer, agent, request_to) -> None:
    server = await peer(keywords=("STARTTLS",), replies={"STARTTLS": "454 4.7.0 not now"})
    results = await agent(tls=TlsDefaults(level="may")).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "sent"


@pytest.mark.parametrize("level", ["verify", "secure"])
async def test_a_certificate_with_the_right_name_is_accepted(
    peer, agent, request_to, server_tls, authority, level, caplog
) -> None:
    caplog.set_level(logging.INFO)
    server = await peer(tls=server_tls("mail.example.org"))
    tls = TlsDefaults(level=level, ca_file=str(authority.certificate_file), loglevel=1)
    results = await agent(tls=tls).deliver(request_to(f"[mail.example.org]:{server.port}"))
    assert fate(results)[0] == "sent"
    assert "Verified TLS connection established" in caplog.text


@pytest.mark.parametrize("level", ["verify", "secure"])
async def test_a_certificate_with_a_wrong_name_is_not(peer, agent, request_to, server_tls, authority, level) -> None:
    server = await peer(tls=server_tls("other.example.org"))
    tls = TlsDefaults(level=level, ca_file=str(authority.certificate_file))
    results = await agent(tls=tls).deliver(request_to(f"[mail.example.org]:{server.port}"))
    assert fate(results) == NOT_VERIFIED
    assert server.contents == []


@pytest.mark.parametrize("level", ["verify", "secure"])
async def test_a_certificate_of_an_unknown_issuer_is_not(peer, agent, request_to, server_tls, level) -> None:
    server = await peer(tls=server_tls("mail.example.org"))
    results = await agent(tls=TlsDefaults(level=level)).deliver(request_to(f"[mail.example.org]:{server.port}"))
    assert fate(results) == NOT_VERIFIED
    assert server.contents == []


async def test_an_address_needs_a_certificate_for_that_address(peer, agent, request_to, server_tls, authority) -> None:
    # Checked against posttls-finger of Postfix 3.7 with OpenSSL 3.
    named, numbered = await peer(tls=server_tls("mail.example.org")), await peer(tls=server_tls("127.0.0.1"))
    ca = str(authority.certificate_file)
    for level, server, wanted in (
        ("verify", numbered, "sent"),
        ("verify", named, "deferred"),
        ("secure", numbered, "deferred"),
    ):
        smtp = agent(tls=TlsDefaults(level=level, ca_file=ca))
        assert fate(await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}")))[0] == wanted


async def test_secure_looks_at_the_next_hop_not_at_the_mx_name(peer, agent, request_to, server_tls, authority, names):
    # Whoever forges the MX record also chooses its name.
    server = await peer(tls=server_tls("mail.example.org"))
    names.mx["bank.example"] = [(10, "mail.example.org")]
    ca = str(authority.certificate_file)
    secure = agent(tls=TlsDefaults(level="secure", ca_file=ca), default_port=str(server.port))
    assert fate(await secure.deliver(request_to("bank.example"))) == NOT_VERIFIED
    verify = agent(tls=TlsDefaults(level="verify", ca_file=ca), default_port=str(server.port))
    assert fate(await verify.deliver(request_to("bank.example")))[0] == "sent"


async def test_fingerprint(peer, agent, request_to, server_tls, authority) -> None:
    credentials = authority.issue_server(["self.example.org"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(credentials.certificate_file, credentials.key_file)
    server = await peer(tls=context)
    from cryptography.hazmat.primitives.serialization import Encoding

    print_of = fingerprint.certificate_fingerprint(credentials.certificate.public_bytes(Encoding.DER), "sha256")
    good = TlsDefaults(level="fingerprint", fingerprint_match=(print_of,))
    assert fate(await agent(tls=good).deliver(request_to(f"[127.0.0.1]:{server.port}")))[0] == "sent"
    wrong = TlsDefaults(level="fingerprint", fingerprint_match=("00" + print_of[2:],))
    assert fate(await agent(tls=wrong).deliver(request_to(f"[127.0.0.1]:{server.port}"))) == NOT_VERIFIED


@pytest.mark.parametrize("level", ["dane", "dane-only", "nonsense"])
async def test_a_level_that_cannot_be_kept_is_refused(peer, agent, request_to, level) -> None:
    server = await peer()
    results = await agent(tls=TlsDefaults(level=level)).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[:2] == ("deferred", "4.7.5")
    assert server.connections == 0


async def test_the_policy_table_overrides(peer, agent, request_to, server_tls) -> None:
    server, plain = await peer(tls=server_tls()), await peer()
    policies = Table({f"[127.0.0.1]:{server.port}": "none", f"[127.0.0.1]:{plain.port}": "encrypt"})
    smtp = agent(tls=TlsDefaults(level="may"), policies=policies)
    assert fate(await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}")))[0] == "sent"
    assert server.encrypted == [False]
    assert fate(await smtp.deliver(request_to(f"[127.0.0.1]:{plain.port}")))[1] == "4.7.4"


async def test_wrapper_mode(peer, agent, request_to, server_tls) -> None:
    server = await peer(tls=server_tls(), wrapper=True)
    results = await agent(tls=TlsDefaults(level="encrypt", wrappermode=True)).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[0] == "sent"
    assert server.verbs[:2] == ["EHLO", "MAIL"]


async def test_plaintext_behind_the_go_ahead_is_not_believed(peer, agent, request_to, server_tls) -> None:
    """CVE-2011-0411, the client's side: replies injected before the handshake must not answer commands after it."""
    forged = b"250-peer.example\r\n250 AUTH PLAIN\r\n250 2.1.0 Ok\r\n"
    server = await peer(tls=server_tls(), inject=forged)
    results = await agent(tls=TlsDefaults(level="encrypt")).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    status, code, reason = fate(results)
    if status == "sent":
        # The forged lines were thrown away: each of our commands got its own answer.
        assert server.commands[:4][-1].startswith("MAIL FROM")
        assert reason == "250 2.0.0 Ok: queued"
    else:
        assert (status, code) == ("deferred", "4.7.5")
        assert server.contents == []


async def test_an_encrypted_connection_is_kept_too(peer, agent, request_to, server_tls) -> None:
    server = await peer(tls=server_tls())
    smtp = agent(tls=TlsDefaults(level="encrypt"))
    for _ in range(3):
        assert fate(await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", more=True)))[0] == "sent"
    assert server.connections == 1
    assert server.encrypted == [True] * 3


async def test_only_trust_anchors_count_where_they_are_named(
    peer, agent, request_to, server_tls, authority, tmp_path
) -> None:
    stranger = Authority.create(tmp_path / "stranger")
    anchors = {str(authority.certificate_file): "sent", str(stranger.certificate_file): "deferred", "/none": "deferred"}
    for anchor, status in anchors.items():
        server = await peer(tls=server_tls())
        tls = TlsDefaults(
            level="verify",
            verify_match=("mail.example.org",),
            ca_file="" if status == "sent" else str(authority.certificate_file),
            trust_anchor_files=(anchor,),
        )
        assert fate(await agent(tls=tls).deliver(request_to(f"[127.0.0.1]:{server.port}")))[0] == status


async def test_an_unused_offer_of_tls_is_noted(peer, agent, request_to, server_tls, caplog) -> None:
    caplog.set_level(logging.INFO)
    server = await peer(tls=server_tls())
    await agent(tls=TlsDefaults(level="none", note_offer=True)).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert "Host offered STARTTLS: [127.0.0.1]" in caplog.text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_sessions_are_resumed_where_there_is_a_cache(
    peer, agent, request_to, server_tls, authority, version
) -> None:
    context = server_tls("mail.example.org")
    context.maximum_version = version
    server = await peer(tls=context)
    verified = TlsDefaults(level="verify", ca_file=str(authority.certificate_file), session_seconds=3600.0)
    client = agent(tls=verified)
    for _ in range(3):
        assert fate(await client.deliver(request_to(f"[mail.example.org]:{server.port}")))[0] == "sent"
    assert server.resumed == [False, True, True]
    assert (
        fate(await agent(tls=TlsDefaults(level="may")).deliver(request_to(f"[mail.example.org]:{server.port}")))[0]
        == "sent"
    )
    assert server.resumed == [False, True, True, False]


async def test_a_server_that_has_forgotten_a_session_agrees_on_another(peer, agent, request_to, server_tls) -> None:
    server = await peer(tls=server_tls())
    client = agent(tls=TlsDefaults(level="encrypt", session_seconds=3600.0))
    for forgetful in (False, False, True, False):
        if forgetful:
            server.tls = server_tls()
        assert fate(await client.deliver(request_to(f"[127.0.0.1]:{server.port}")))[0] == "sent"
    assert server.resumed == [False, True, False, True]


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ("", 0.0),
        ("smtp_tls_session_cache_database = btree:${data_directory}/smtp_scache", 3600.0),
        ("smtp_tls_session_cache_database = btree:/x\nsmtp_tls_session_cache_timeout = 10s", 120.0),
        ("smtp_tls_session_cache_database = btree:/x\nsmtp_tls_session_cache_timeout = 0", 0.0),
    ],
)
def test_the_cache_is_switched_on_by_its_database(tmp_path: Path, settings: str, seconds: float) -> None:
    (tmp_path / "main.cf").write_text(settings + "\n")
    assert TlsDefaults.from_config(MainConfig.load(tmp_path), "smtp").session_seconds == seconds
