"""What a server can be told of groups, TLS 1.3 suites, sessions, names and revoked certificates; real handshakes."""

from __future__ import annotations

import asyncio
import datetime as dt
import functools
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from OpenSSL import SSL

from tls.authority import Authority, Credentials
from tls.context import client_context, openssl_server_context, server_context
from tls.description import Session, describe
from tls.errors import TLSConfigError
from tls.policy import Policy, Version
from tls.tool import main

Shown = tuple[Session, bool, bytes | None]
TLS_1_2 = Policy(versions=frozenset({Version.TLSv1_2}))


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[int]:
    """An asyncio server that says hello over TLS, on a thread of its own; its port."""
    loop, ready, port = asyncio.new_event_loop(), threading.Event(), [0]

    async def serve() -> None:
        async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(repr(describe(writer.get_extra_info("ssl_object")).verification_error).encode() + b"\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(hello, "127.0.0.1", 0, ssl=context) as server:
            port[0] = server.sockets[0].getsockname()[1]
            ready.set()
            await stop.wait()

    stop = asyncio.Event()
    loop.set_exception_handler(lambda *_: None)  # handshakes that are meant to fail
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield port[0]
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def connect(port: int, client: ssl.SSLContext, session: ssl.SSLSession | None = None, name: str = "localhost") -> Any:
    """The client's end of one connection, after the server's line was read, and that line."""
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        with client.wrap_socket(plain, server_hostname=name, session=session) as sock:
            line = sock.recv(100)
            return sock.session, sock.session_reused, sock.getpeercert(binary_form=True), line


@pytest.fixture
def make(server: Credentials) -> Any:
    return functools.partial(server_context, server.certificate_file, server.key_file)


@pytest.mark.parametrize("version", [Version.TLSv1_2, Version.TLSv1_3])
@pytest.mark.parametrize("seconds", [None, 3600, 0])
def test_sessions_are_resumed_unless_their_life_is_zero(
    make: Any, authority: Authority, version: Version, seconds: int | None
) -> None:
    client = client_context(Policy(versions=frozenset({version})), authority.certificate_file)
    with listening(make(Policy(), session_seconds=seconds)) as port:
        session, reused, *_ = connect(port, client)
        assert not reused
        assert connect(port, client, session)[1] is (seconds != 0)


def test_a_session_lives_as_long_as_it_is_told(make: Any, authority: Authority) -> None:
    client = client_context(Policy(), authority.certificate_file)
    for seconds, life in ((3600, 3600), (5, 120)):
        with listening(make(Policy(), session_seconds=seconds)) as port:
            assert connect(port, client)[0].ticket_lifetime_hint == life


def test_groups_and_suites(make: Any, authority: Authority) -> None:
    policy = Policy(groups=("P-384",), suites="TLS_CHACHA20_POLY1305_SHA256")
    arguments = ["-CAfile", authority.certificate_file, "-verify_return_error", "-brief"]
    for options, wanted in (
        (("-curves", "X25519"), b"error"),
        (("-ciphersuites", "TLS_AES_128_GCM_SHA256"), b"error"),
        (("-curves", "X25519:P-384"), b"TLS_CHACHA20_POLY1305_SHA256"),
    ):
        with listening(make(policy)) as port:
            argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *arguments, *options]
            done = subprocess.run(argv, input=b"", capture_output=True, timeout=20, check=False)  # type: ignore[arg-type]  # paths too
            assert wanted in done.stdout + done.stderr
            assert (done.returncode == 0) is wanted.startswith(b"TLS_")


def test_groups_that_are_unknown(make: Any) -> None:
    with pytest.raises(TLSConfigError, match="no usable group"):
        make(Policy(groups=("X25519", "nonsense")))
    make(Policy(groups=("X25519", "nonsense"), groups_as_known=True))
    with pytest.raises(TLSConfigError, match="no usable group"):
        make(Policy(groups=("nonsense",), groups_as_known=True))
    with pytest.raises(TLSConfigError, match=r"no TLS 1\.3 cipher suite"):
        make(Policy(suites="NONSENSE"))


def test_a_certificate_for_the_name_that_the_client_asks_for(make: Any, authority: Authority) -> None:
    others = {name: authority.issue_server([name]) for name in ("one.example", "below.two.example")}
    contexts = {
        key: openssl_server_context(others[name].certificate_file, others[name].key_file, Policy())
        for key, name in (("one.example", "one.example"), (".two.example", "below.two.example"))
    }
    client = client_context(Policy(), authority.certificate_file)
    with listening(make(Policy(), by_name=contexts)) as port:
        for name in ("localhost", "one.example", "ONE.example", "below.two.example"):
            connect(port, client, name=name)  # verifies the name
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, client, name="two.example")  # below .two.example only


def test_only_the_issuer_revokes(authority: Authority, tmp_path: Path) -> None:
    stranger = Authority.create(tmp_path / "other", "another CA")
    with pytest.raises(TLSConfigError, match="not issued by this authority"):
        stranger.revoke(authority.issue_client("x").certificate)


def presented(authority: Authority, client: Credentials) -> ssl.SSLContext:
    return client_context(
        TLS_1_2,
        authority.certificate_file,
        certificate_file=client.certificate_file,
        key_file=client.key_file,
    )


def test_revoked_and_unlisted_certificates(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    own = authority.issue_server(["localhost"])
    good, bad = authority.issue_client("good"), authority.issue_client("bad")
    lists = authority.revoke(bad.certificate)
    assert authority.revoke() == lists  # anew, with the same entry
    assert main(["revoke", str(tmp_path / "ca"), str(bad.certificate_file)]) == 0
    assert [entry.serial_number for entry in x509.load_pem_x509_crl(crl_of(lists))] == [bad.certificate.serial_number]
    ask = functools.partial(
        server_context, own.certificate_file, own.key_file, Policy(), request_client_certificate=True
    )
    for ca, required, client, error in (
        (lists, True, good, ""),
        (lists, True, bad, "certificate revoked"),
        (authority.certificate_file, True, good, "unable to get certificate CRL"),
        (lists, False, bad, ""),
    ):
        with listening(ask(client_ca=ca, require_crl=required)) as port:
            assert connect(port, presented(authority, client))[3] == repr(error).encode() + b"\n"


def crl_of(file: Path) -> bytes:
    return file.read_bytes()[file.read_bytes().index(b"-----BEGIN X509 CRL") :]


def test_a_list_that_has_expired_or_is_damaged(tmp_path: Path) -> None:
    authority = Authority.create(tmp_path / "ca")
    own, client = authority.issue_server(["localhost"]), authority.issue_client("alice")
    lists = authority.revoke(now=dt.datetime.now(dt.UTC) - dt.timedelta(days=31))
    ask = functools.partial(
        server_context, own.certificate_file, own.key_file, Policy(),
        client_ca=lists, request_client_certificate=True, require_crl=True,
    )  # fmt: skip
    with listening(ask()) as port:
        assert b"CRL has expired" in connect(port, presented(authority, client))[3]
    lists.write_bytes(lists.read_bytes().replace(b"BEGIN X509 CRL-----\n", b"BEGIN X509 CRL-----\nAAAA"))
    for attempt in (ask, authority.revoke):
        with pytest.raises(TLSConfigError, match=f"{lists}: no.* usable"):
            attempt()


def test_a_chain_may_be_no_longer_than_told(make: Any, authority: Authority, alice: Credentials) -> None:
    ask = functools.partial(make, Policy(), request_client_certificate=True, client_ca=authority.certificate_file)
    for depth in (0, 1, 9):
        with listening(ask(verify_depth=depth)) as port:
            assert connect(port, presented(authority, alice))[3] == b"''\n"


def test_the_context_of_twisted_takes_the_same(server: Credentials) -> None:
    context = openssl_server_context(server.certificate_file, server.key_file, Policy(), session_seconds=0)
    assert context.get_session_cache_mode() == SSL.SESS_CACHE_OFF
