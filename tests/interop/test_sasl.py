"""Real SASL clients against our SMTP and IMAP: Cyrus SASL (smtptest, imtest) and GNU SASL, by every mechanism they know."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from lab.behaviours.base import Change
from lab.behaviours.stack import Lab
from tests.interop import kdc

pytestmark = pytest.mark.interop

Peer = Callable[[str, str], str]
SECONDS = 60.0
ADDRESS = "127.0.0.2"
QUIT = {"smtptest": "QUIT\r\n", "imtest": ". LOGOUT\r\n"}
CYRUS = ("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256")
PLUS = ("SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS")
SETTINGS = (
    Change("mailhost/dovecot.conf", "auth_mechanisms = " + " ".join((*CYRUS, *PLUS)).lower()),
    Change("mailhost/users", "dora:{PLAIN}@{password.alice}::::::"),
)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """A laboratory that offers the mechanisms, with a user whose stored password serves them all."""
    async with Lab.start(("mailhost",), SETTINGS) as running:
        yield running


async def output_of(*argv: str, stdin: str = "", environment: dict[str, str] | None = None) -> str:
    """What a program prints, whatever it ends with."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **(environment or {})},
    )
    async with asyncio.timeout(SECONDS):
        out, _ = await process.communicate(stdin.encode())
    return out.decode("utf-8", "replace")


@pytest.mark.parametrize(("program", "endpoint"), [("smtptest", "mailhost.submission"), ("imtest", "mailhost.imap")])
async def test_cyrus_sasl(lab: Lab, peer: Peer, program: str, endpoint: str) -> None:
    address, port = lab.endpoint(endpoint)
    path, password = peer(program, "cyrus-clients"), lab.user("alice").password

    async def login(mechanism: str, word: str) -> str:
        return await output_of(
            path,
            "-t",
            "",
            "-p",
            str(port),
            "-m",
            mechanism,
            "-a",
            "dora",
            "-u",
            "dora",
            "-w",
            word,
            address,
            stdin=QUIT[program],
        )

    said = dict(zip(CYRUS, await asyncio.gather(*(login(mechanism, password) for mechanism in CYRUS)), strict=True))
    assert {mechanism: text for mechanism, text in said.items() if "Authenticated." not in text} == {}
    assert "Authenticated." not in await login("SCRAM-SHA-256", "wrong")


@pytest.mark.parametrize(
    ("program", "endpoint", "service"),
    [("smtptest", "mailhost.submission", "smtp"), ("imtest", "mailhost.imap", "imap")],
)
@pytest.mark.needs("kadmin.local", "krb5-admin-server")
async def test_kerberos(
    place: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch, program: str, endpoint: str, service: str
) -> None:
    with kdc.realm(place) as realm:
        for name in ("alice", "mallory"):
            realm.add(name, f"password-of-{name}")
        realm.add(f"{service}/{ADDRESS}")
        realm.keytab(place / "keytab", f"{service}/{ADDRESS}")
        (place / "keytab").chmod(0o644)
        for name, value in realm.environment.items():
            monkeypatch.setenv(name, value)
        settings = (
            f"auth_mechanisms = plain gssapi\nauth_krb5_keytab = {place}/keytab\nauth_gssapi_hostname = {ADDRESS}"
        )
        async with Lab.start(("mailhost",), [Change("mailhost/dovecot.conf", settings)]) as lab:
            address, port = lab.endpoint(endpoint)
            assert address == ADDRESS

            async def login(user: str) -> str:
                arguments = ["-t", "", "-p", str(port), "-m", "GSSAPI", "-u", user, address]
                return await output_of(peer(program, "cyrus-clients"), *arguments, stdin=QUIT[program])

            realm.kinit("alice", "password-of-alice")
            said = await login("alice")
            assert "Authenticated." in said, said
            realm.kinit("mallory", "password-of-mallory")
            assert "Authenticated." not in await login("alice")


@pytest.mark.parametrize(
    ("kind", "endpoint", "priority"),
    [
        ("--smtp", "mailhost.submission", "NORMAL"),
        ("--smtp", "mailhost.submission", "NORMAL:-VERS-ALL:+VERS-TLS1.2"),
        ("--imap", "mailhost.imap", "NORMAL"),
    ],
)
async def test_gnu_sasl_binds_to_the_tls_session(lab: Lab, peer: Peer, kind: str, endpoint: str, priority: str) -> None:
    address, port = lab.endpoint(endpoint)
    for mechanism in PLUS:
        said = await output_of(
            peer("gsasl", "gsasl"), kind, "--starttls", "--x509-ca-file", str(lab.ca_file), "--priority", priority,
            "--mechanism", mechanism, "--authentication-id", "dora", "--password", lab.user("alice").password,
            "--hostname", lab.name, "--connect", f"{address}:{port}", "--verbose",
        )  # fmt: skip
        assert "Session finished" in said or "235 2.7.0" in said, said
