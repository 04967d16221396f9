"""Contexts for asyncio and for Twisted, against Python's and OpenSSL's own clients."""

from __future__ import annotations

import functools
import re
import ssl
import subprocess
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from tls import fingerprint
from tls.authority import Authority, Credentials
from tls.context import Verify, client_context, server_context
from tls.context_twisted import twisted_server_options
from tls.description import Session, describe
from tls.errors import TLSConfigError
from tls.pem import PEM
from tls.policy import Policy, Version

Handshake = Callable[..., tuple[Session, Session]]


def handshake_python(server: ssl.SSLContext, client: ssl.SSLContext, name: str | None) -> tuple[Session, Session]:
    """Both ends' view of one handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server.wrap_bio(to_server, to_client, server_side=True)
    other = client.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (other, one) * 4:
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return describe(one), describe(other)


def handshake_twisted(make: SSL.Connection, client: ssl.SSLContext, name: str | None) -> tuple[Session, Session]:
    make.set_accept_state()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    other = client.wrap_bio(incoming, outgoing, server_hostname=name)
    for _ in range(4):
        with suppress(ssl.SSLWantReadError):
            other.do_handshake()
        if outgoing.pending:
            make.bio_write(outgoing.read())
        with suppress(SSL.WantReadError):
            make.do_handshake()
        with suppress(SSL.WantReadError):
            incoming.write(make.bio_read(1 << 16))
    return describe(make), describe(other)


@pytest.fixture(params=["asyncio", "asyncio in detail", "twisted"])
def handshake(request: pytest.FixtureRequest, server: Credentials) -> Handshake:
    """Called with a client context and settings of the server's."""

    def asyncio_side(client: ssl.SSLContext, policy: Policy, name: str | None = "localhost", **settings: object):
        detailed = request.param == "asyncio in detail"
        context = server_context(server.certificate_file, server.key_file, policy, detailed=detailed, **settings)
        return handshake_python(context, client, name)

    def twisted_side(client: ssl.SSLContext, policy: Policy, name: str | None = "localhost", **settings: object):
        options = twisted_server_options(server.certificate_file, server.key_file, policy, **settings)
        return handshake_twisted(options.serverConnectionForTLS(None), client, name)

    return twisted_side if request.param == "twisted" else asyncio_side


def only(version: Version, authority: Authority) -> ssl.SSLContext:
    """A client that speaks nothing but this version."""
    return client_context(Policy(frozenset({version}), "ALL"), authority.certificate_file)


ALL_VERSIONS = [Version.TLSv1, Version.TLSv1_1, Version.TLSv1_2, Version.TLSv1_3]


@pytest.mark.parametrize("version", ALL_VERSIONS, ids=lambda version: version.label)
@pytest.mark.parametrize(
    ("protocols", "spoken"),
    [
        (None, {"TLSv1.2", "TLSv1.3"}),
        (">=TLSv1", {v.label for v in ALL_VERSIONS}),
        ("TLSv1, TLSv1.2", {"TLSv1", "TLSv1.2"}),
    ],
)
def test_protocol_floor(
    handshake: Handshake, authority: Authority, version: Version, protocols: str | None, spoken: set[str]
) -> None:
    """The floor holds, and where a configuration names an older version the weakened twin really speaks it."""
    client, policy = only(version, authority), Policy.from_postfix(protocols)
    if version.label in spoken:
        assert handshake(client, policy)[0].protocol == version.label
    else:
        with pytest.raises((ssl.SSLError, SSL.Error)):
            handshake(client, policy)


def test_the_description_is_that_of_postfix(handshake: Handshake, client_side: ssl.SSLContext) -> None:
    server, client = handshake(client_side, Policy())
    begin = "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"
    assert server.summary().startswith(begin)
    assert client.summary() == f"{begin} server-signature ECDSA (prime256v1) server-digest SHA256"
    assert server.received()[-1] == "(No client certificate requested)"
    assert server.received(certificate_requested=True)[-1] == "(Client did not present a certificate)"
    assert server.trust == "Anonymous" and client.trust == "Trusted"


@pytest.mark.parametrize("side", ["asyncio", "twisted"])
def test_the_whole_exchange(server: Credentials, client_side: ssl.SSLContext, side: str) -> None:
    client_side.set_ecdh_curve("prime256v1")
    if side == "twisted":
        options = twisted_server_options(server.certificate_file, server.key_file, Policy())
        session, _ = handshake_twisted(options.serverConnectionForTLS(None), client_side, "localhost")
    else:
        context = server_context(server.certificate_file, server.key_file, Policy(), detailed=True)
        session, _ = handshake_python(context, client_side, "localhost")
    assert session.received() == [
        "(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
        " key-exchange ECDHE (prime256v1) server-signature ECDSA (prime256v1) server-digest SHA256)",
        "(No client certificate requested)",
    ]


def test_before_tls_13_the_cipher_tells_the_exchange(handshake: Handshake, authority: Authority) -> None:
    session, _ = handshake(only(Version.TLSv1_2, authority), Policy.from_postfix())
    assert session.received()[0] == "(using TLSv1.2 with cipher ECDHE-ECDSA-AES256-GCM-SHA384 (256/256 bits))"


@pytest.mark.parametrize(
    ("verify", "name", "trusted", "fails"),
    [
        ("name", "localhost", True, False),
        ("name", "other.example.org", True, True),
        ("name", "localhost", False, True),
        ("chain", "other.example.org", True, False),
        ("chain", "localhost", False, True),
        ("none", "other.example.org", False, False),
        ("fingerprint", "other.example.org", False, False),
    ],
)
def test_what_a_client_verifies(
    handshake: Handshake, authority: Authority, verify: Verify, name: str, trusted: bool, fails: bool
) -> None:
    client = client_context(Policy(), authority.certificate_file if trusted else None, verify=verify)
    if fails:
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(client, Policy(), name)
    else:
        session = handshake(client, Policy(), name)[1]
        assert session.verified is (verify == "chain" or verify == "name")
        assert fingerprint.matches(session.peer_certificate or b"", [session.public_key_fingerprint()])


def with_certificate(authority: Authority, credentials: Credentials) -> ssl.SSLContext:
    return client_context(
        Policy(),
        authority.certificate_file,
        certificate_file=credentials.certificate_file,
        key_file=credentials.key_file,
    )


def test_a_client_certificate_is_described(handshake: Handshake, authority: Authority, alice: Credentials) -> None:
    session, _ = handshake(
        with_certificate(authority, alice),
        Policy(),
        client_ca=authority.certificate_file,
        request_client_certificate=True,
    )
    assert session.verified and session.trust == "Trusted"
    assert session.received(True)[-2:] == [
        " client-signature ECDSA (prime256v1) client-digest SHA256)",
        '(Client CN "alice@example.org", Issuer "hardmail lab CA" (verified OK))',
    ]
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", alice.certificate_file],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert session.certificate_fingerprint() == printed.stdout.strip().partition("=")[2]


@pytest.mark.parametrize("signed", ["by an unknown authority", "by itself"])
def test_an_untrusted_client_certificate_is_accepted_and_told_so(
    handshake: Handshake, authority: Authority, tree: Path, signed: str
) -> None:
    """permit_tls_clientcerts goes by the fingerprint, so Postfix lets anybody show a certificate."""
    if signed == "by itself":
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        files = ["-keyout", tree / "key", "-out", tree / "pem", "-subj", "/CN=mallory", "-days", "1"]
        subprocess.run([*command, *files], check=True, capture_output=True)
        client = client_context(
            Policy(), authority.certificate_file, certificate_file=tree / "pem", key_file=tree / "key"
        )
    else:
        client = with_certificate(authority, Authority.create(tree / "other", "other CA").issue_client("mallory"))
    request = {"client_ca": authority.certificate_file, "request_client_certificate": True}
    session, _ = handshake(client, Policy(), **request)
    assert session.trust == "Untrusted" and not session.verified and session.verification_error
    assert session.received(True)[-1].startswith('(Client CN "mallory", Issuer "')
    assert session.received(True)[-1].endswith("(not verified))")
    with pytest.raises((ssl.SSLError, SSL.Error)):
        handshake(client, Policy(), client_ca=authority.certificate_file, require_client_certificate=True)


def test_a_required_client_certificate(handshake: Handshake, authority: Authority, client_side: ssl.SSLContext) -> None:
    with pytest.raises((ssl.SSLError, SSL.Error)):
        handshake(client_side, Policy(), client_ca=authority.certificate_file, require_client_certificate=True)


@pytest.mark.parametrize("version", [Version.TLSv1_2, Version.TLSv1_3])
def test_records_may_come_byte_by_byte(server: Credentials, authority: Authority, version: Version) -> None:
    context = server_context(server.certificate_file, server.key_file, Policy.from_postfix(), detailed=True)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    from_client = ssl.MemoryBIO()
    one = context.wrap_bio(to_server, to_client, server_side=True)
    other = only(version, authority).wrap_bio(to_client, from_client, server_hostname="localhost")

    def deliver(step: Callable[[], object]) -> object:
        answer = None
        while from_client.pending:
            to_server.write(from_client.read(1))
            with suppress(ssl.SSLWantReadError):
                answer = step()
        return answer

    for _ in range(4):
        with suppress(ssl.SSLWantReadError):
            other.do_handshake()
        deliver(one.do_handshake)
    assert one.version() == version.label
    other.write(b"x" * 1000)
    assert deliver(lambda: one.read(1 << 16)) == b"x" * 1000
    assert one.write(b"answer") == 6 and other.read(100) == b"answer"
    with suppress(ssl.SSLWantReadError):
        other.unwrap()
    assert deliver(lambda: one.read(1 << 16)) == b""
    one.unwrap()


@given(st.lists(st.binary(max_size=40), max_size=5))
def test_rubbish_instead_of_tls_raises_only_what_ssl_raises(server: Credentials, chunks: list[bytes]) -> None:
    context = rubbish_context(server.certificate_file, server.key_file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = context.wrap_bio(to_server, to_client, server_side=True)
    for chunk in [*chunks, b"GET / HTTP/1.0\r\n\r\n"]:
        to_server.write(chunk)
        with pytest.raises(ssl.SSLError):
            one.do_handshake()


@functools.cache
def rubbish_context(certificate: Path, key: Path) -> ssl.SSLContext:
    return server_context(certificate, key, Policy(), detailed=True)


def test_a_name_in_a_certificate_cannot_break_the_header(authority: Authority) -> None:
    session = Session("TLSv1.3", "X", 1, 1, peer_certificate=None)
    assert session.peer_name == "" and session.issuer_name == ""
    evil = authority.issue_client('a"b\\c').certificate
    from cryptography.hazmat.primitives.serialization import Encoding

    session = Session("TLSv1.3", "X", 1, 1, peer_certificate=evil.public_bytes(Encoding.DER))
    assert session.received()[-1] == '(Client CN "a?b?c", Issuer "hardmail lab CA" (not verified))'


@pytest.mark.parametrize("kind", [str, Path, lambda path: path.read_bytes(), lambda path: path.read_text()])
@pytest.mark.parametrize("make", [server_context, twisted_server_options])
def test_pem_from_a_file_or_from_memory(
    server: Credentials, make: Callable[..., object], kind: Callable[[Path], PEM]
) -> None:
    assert make(kind(server.certificate_file), kind(server.key_file), Policy())


@pytest.mark.parametrize("make", [server_context, twisted_server_options])
@pytest.mark.parametrize(
    ("certificate", "key", "text"),
    [
        ("missing.pem", None, "missing.pem: No such file"),
        (None, "missing.key", "missing.key: No such file"),
        ("rubbish.pem", None, "rubbish.pem"),
        (None, "rubbish.pem", "rubbish.pem"),
        (None, "other.key", "does not belong"),
        (None, "encrypted.key", "is the key encrypted"),
    ],
)
def test_an_unusable_file_is_named(
    tree: Path,
    server: Credentials,
    alice: Credentials,
    make: Callable[..., object],
    certificate: str | None,
    key: str | None,
    text: str,
) -> None:
    (tree / "rubbish.pem").write_text("rubbish")
    (tree / "other.key").write_bytes(alice.key_file.read_bytes())
    encrypt = ["openssl", "pkey", "-in", server.key_file, "-aes128", "-passout", "pass:secret"]
    subprocess.run([*encrypt, "-out", tree / "encrypted.key"], check=True)
    with pytest.raises(TLSConfigError, match=re.escape(text)) as caught:
        make(
            tree / certificate if certificate else server.certificate_file,
            tree / key if key else server.key_file,
            Policy(),
        )
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("make", [server_context, twisted_server_options])
def test_an_encrypted_key_with_its_password(tree: Path, server: Credentials, make: Callable[..., object]) -> None:
    encrypt = ["openssl", "pkey", "-in", server.key_file, "-aes128", "-passout", "pass:secret"]
    subprocess.run([*encrypt, "-out", tree / "encrypted.key"], check=True)
    assert make(server.certificate_file, tree / "encrypted.key", Policy(), key_password="secret")


@pytest.mark.parametrize("make", [server_context, twisted_server_options])
def test_impossible_ciphers_are_told(server: Credentials, make: Callable[..., object]) -> None:
    with pytest.raises(TLSConfigError, match="NO-SUCH-CIPHER"):
        make(server.certificate_file, server.key_file, Policy(ciphers="NO-SUCH-CIPHER"))


def test_missing_authorities_are_told(tree: Path) -> None:
    with pytest.raises(TLSConfigError, match=r"none\.pem"):
        client_context(Policy(), tree / "none.pem")
    with pytest.raises(TLSConfigError, match="no such directory"):
        client_context(Policy(), ca_path=tree / "none")


def test_a_directory_of_authorities(authority: Authority, server_side: ssl.SSLContext, tree: Path) -> None:
    (tree / "ca.pem").write_bytes(authority.certificate_file.read_bytes())
    subprocess.run(["openssl", "rehash", tree], check=True)
    client = client_context(Policy(), ca_path=tree)
    assert handshake_python(server_side, client, "localhost")[1].verified


def test_no_version_and_no_warning_slips_through(server: Credentials) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        server_context(server.certificate_file, server.key_file, Policy.from_postfix("TLSv1, TLSv1.2"))


def test_a_client_cannot_renegotiate(server_side: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = server_side.wrap_bio(to_server, to_client, server_side=True)
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    other = SSL.Connection(context, None)
    other.set_connect_state()

    def exchange() -> None:
        for _ in range(4):
            with suppress(SSL.WantReadError):
                other.do_handshake()
            with suppress(SSL.WantReadError):
                to_server.write(other.bio_read(1 << 16))
            with suppress(ssl.SSLWantReadError):
                one.do_handshake()
            with suppress(ssl.SSLWantReadError):
                one.read(1)
            if to_client.pending:
                other.bio_write(to_client.read())

    exchange()
    assert other.get_protocol_version_name() == "TLSv1.2"
    other.renegotiate()
    with pytest.raises(SSL.Error, match="no renegotiation"):
        exchange()
