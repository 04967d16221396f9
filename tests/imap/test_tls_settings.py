"""What dovecot.conf says of TLS reaches the handshake: ciphers, suites, groups, Diffie-Hellman, revoked certificates."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from auth.dovecotconf import DovecotConfig
from imap.tls_settings import server_settings
from tests.tls.test_server_settings import connect, listening, presented
from tls.authority import Authority
from tls.context import client_context, server_context
from tls.errors import TLSConfigError
from tls.policy import Policy, Version

Configured = Callable[[str], ssl.SSLContext]

DH = """-----BEGIN DH PARAMETERS-----
MIIBDAKCAQEA//////////+t+FRYortKmq/cViAnPTzx2LnFg84tNpWp4TZBFGQz
+8yTnc4kmz75fS/jY2MMddj2gbICrsRhetPfHtXV/WVhJDP1H18GbtCFY2VVPe0a
87VXE15/V8k1mE8McODmi3fipona8+/och3xWKE2rec1MKzKT0g6eXq8CrGCsyT7
YdEIqUuyyOP7uWrat2DX9GgdT0Kj3jlN9K5W7edjcrsZCwenyO4KbXCeAvzhzffi
7MA0BM0oNC9hkXL+nOmFg/+OTxIy7vKBg8P+OxtMb61zO7X8vC7CIAXFjvGDfRaD
ssbzSibBsu/6iGtCOGEoXJf//////////wIBAgICAQE=
-----END DH PARAMETERS-----
"""
"""ffdhe2048 (RFC 7919)."""


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.create(tmp_path / "ca")


@pytest.fixture
def configured(authority: Authority, tmp_path: Path) -> Configured:
    own = authority.issue_server(["localhost"])

    def context(text: str) -> ssl.SSLContext:
        file = tmp_path / "dovecot.conf"
        file.write_text(f"ssl_cert = <{own.certificate_file}\nssl_key = <{own.key_file}\n{text}\n")
        settings = server_settings(DovecotConfig.load(file))
        assert settings is not None
        return server_context(**settings)

    return context


def client(authority: Authority, version: Version, ciphers: str = "ALL") -> ssl.SSLContext:
    return client_context(Policy(versions=frozenset({version}), ciphers=ciphers), authority.certificate_file)


@pytest.mark.parametrize(
    ("text", "version", "ciphers", "group", "agrees"),
    [
        ("", Version.TLSv1_2, "ALL", "prime256v1", True),
        (
            "ssl_cipher_list = ECDHE-ECDSA-AES256-GCM-SHA384",
            Version.TLSv1_2,
            "ECDHE-ECDSA-AES128-GCM-SHA256",
            "",
            False,
        ),
        ("ssl_cipher_list = ECDHE-ECDSA-AES256-GCM-SHA384", Version.TLSv1_2, "ALL", "", True),
        ("ssl_min_protocol = TLSv1.3", Version.TLSv1_2, "ALL", "", False),
        ("ssl_curve_list = P-521:P-384", Version.TLSv1_3, "ALL", "prime256v1", False),
        ("ssl_curve_list = P-521:P-384", Version.TLSv1_3, "ALL", "secp384r1", True),
    ],
)
def test_what_can_be_agreed_on(
    configured,
    authority: Authority,
    text: str,
    version: Version,
    ciphers: str,
    group: str,
    agrees: bool,
) -> None:
    context = client(authority, version, ciphers)
    if group:
        context.set_ecdh_curve(group)
    with listening(configured(text)) as port:
        if agrees:
            connect(port, context)
        else:
            with pytest.raises((ssl.SSLError, ConnectionError)):
                connect(port, context)


@pytest.mark.parametrize(("prefer", "wanted"), [("yes", "AES256"), ("no", "AES128")])
def test_whose_order_counts(configured: Configured, authority: Authority, prefer: str, wanted: str) -> None:
    both = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256"]
    text = f"ssl_cipher_list = {':'.join(both)}\nssl_prefer_server_ciphers = {prefer}\nssl_curve_list = P-256"
    with listening(configured(text)) as port:
        context = client(authority, Version.TLSv1_2, ":".join(reversed(both)))
        with socket.create_connection(("127.0.0.1", port), 10) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as sock:
                cipher = sock.cipher()
    assert cipher is not None and wanted in cipher[0]


def test_suites_of_tls_1_3(configured: Configured, authority: Authority) -> None:
    with listening(configured("ssl_cipher_suites = TLS_CHACHA20_POLY1305_SHA256")) as port:
        assert connect(port, client(authority, Version.TLSv1_3))[0].has_ticket
    with pytest.raises(TLSConfigError, match="no TLS 1.3 cipher suite matches 'NONE'".replace(".", r"\.")):
        configured("ssl_cipher_suites = NONE")


def test_no_tickets(configured: Configured, authority: Authority) -> None:
    with listening(configured("ssl_options = no_ticket")) as port:
        session, *_ = connect(port, client(authority, Version.TLSv1_2))
        assert not session.has_ticket


def test_diffie_hellman_parameters(configured: Configured, tmp_path: Path) -> None:
    (tmp_path / "dh.pem").write_text(DH)
    configured(f"ssl_dh = <{tmp_path}/dh.pem")
    (tmp_path / "dh.pem").write_text("nonsense")
    with pytest.raises(TLSConfigError, match=f"{tmp_path}/dh.pem: no usable Diffie-Hellman"):
        configured(f"ssl_dh = <{tmp_path}/dh.pem")


def test_a_revoked_client_certificate_is_not_valid(configured: Configured, authority: Authority) -> None:
    """As in Dovecot, ssl_ca has to hold a list of each authority unless ssl_require_crl = no."""
    good, bad = authority.issue_client("good"), authority.issue_client("bad")
    lists = authority.revoke(bad.certificate)
    for ca, more, shown, error in (
        (lists, "", good, ""),
        (lists, "", bad, "certificate revoked"),
        (authority.certificate_file, "", good, "unable to get certificate CRL"),
        (authority.certificate_file, "ssl_require_crl = no", bad, ""),
    ):
        with listening(configured(f"ssl_verify_client_cert = yes\nssl_ca = <{ca}\n{more}")) as port:
            assert connect(port, presented(authority, shown))[3] == repr(error).encode() + b"\n"


def test_nothing_without_a_certificate(tmp_path: Path) -> None:
    file = tmp_path / "dovecot.conf"
    for text in ("ssl = yes\nssl_cert =\nssl_key =\n", "ssl = no\n"):
        file.write_text(text)
        assert server_settings(DovecotConfig.load(file)) is None
