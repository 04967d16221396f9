"""Certificates that are out of date, somebody else's, nobody's, or weak; and good ones."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from lab.audit.report import Audited
from tests.lab.audit.conftest import Session, look, smtp
from tls.authority import Authority
from tls.context import server_context
from tls.errors import TLSHandshakeError
from tls.policy import Policy, Version
from tls.starttls_asyncio import upgrade_server

NAME = "mx.example.org"
ALL = Policy(frozenset({Version.TLSv1_2, Version.TLSv1_3}), "ALL:@SECLEVEL=0")
ONLY_13 = Policy(frozenset({Version.TLSv1_3}))


def tls(certificate: Path, key: Path, policy: Policy = ALL) -> Session:
    return inside(server_context(certificate, key, policy))


def inside(context: ssl.SSLContext) -> Session:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await upgrade_server(reader, writer, context, timeout=5)
        except TLSHandshakeError:
            return
        await smtp_inside(reader, writer)

    return session


async def smtp_inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.readline():
        writer.write(b"250 ok\r\n")


async def audited(certificate: Path, key: Path, policy: Policy = ALL, **settings: object) -> Audited:
    chosen = {"name": NAME, "only": frozenset({"certificate"}), "timeout": 5.0, **settings}
    return await look("submission", smtp(tls=tls(certificate, key, policy)), **chosen)


def ids(target: Audited) -> set[str]:
    assert target.undecided == ()
    return {finding.rule.id for finding in target.findings}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("authority") / "ca")


@pytest.mark.parametrize("policy", [ALL, ONLY_13], ids=["TLS 1.2", "TLS 1.3 alone"])
async def test_a_good_certificate_has_no_findings(authority: Authority, policy: Policy) -> None:
    good = authority.issue_server([NAME])
    target = await audited(good.certificate_file, good.key_file, policy, ca_file=authority.certificate_file)
    assert ids(target) == set()
    assert dict(target.facts)["certificate trusted"] is True


async def test_an_authority_that_is_not_known_proves_nothing(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue_server([NAME]), Authority.create(tmp_path / "other")
    target = await audited(good.certificate_file, good.key_file, ca_file=other.certificate_file)
    assert ids(target) == {"certificate-untrusted"}


async def test_another_name_is_told(authority: Authority) -> None:
    good = authority.issue_server(["elsewhere.example.org"])
    target = await audited(good.certificate_file, good.key_file, ca_file=authority.certificate_file)
    assert ids(target) == {"certificate-name-mismatch"}
    assert "elsewhere.example.org" in target.findings[0].said


async def test_an_address_that_the_certificate_names_is_no_mismatch(authority: Authority) -> None:
    good = authority.issue_server(["127.0.0.1"])
    target = await audited(good.certificate_file, good.key_file, ca_file=authority.certificate_file, name="")
    assert ids(target) == set()


async def test_a_certificate_that_ends_soon_is_told(authority: Authority) -> None:
    good = authority.issue_server([NAME], days=3)
    target = await audited(good.certificate_file, good.key_file, ca_file=authority.certificate_file)
    assert ids(target) == {"certificate-expires-soon"}


ALLOW_CLIENT_RENEGOTIATION = 1 << 8
"""SSL_OP_ALLOW_CLIENT_RENEGOTIATION of openssl/ssl.h, which Python has no name for."""


@pytest.mark.parametrize("allowed", [False, True])
async def test_a_server_that_lets_clients_renegotiate_is_told(authority: Authority, allowed: bool) -> None:
    good = authority.issue_server([NAME])
    context = server_context(good.certificate_file, good.key_file, Policy())
    if allowed:
        context.options &= ~ssl.OP_NO_RENEGOTIATION
        context.options |= ALLOW_CLIENT_RENEGOTIATION
    target = await look("submission", smtp(tls=inside(context)), only=frozenset({"protocols"}), timeout=5.0)
    assert ("client-renegotiation" in ids(target)) is allowed


def self_signed(directory: Path, *, bits: int, starts: float, ends: float, subject: str = NAME) -> tuple[Path, Path]:
    """A certificate from `starts` to `ends` days from now."""
    key, now = rsa.generate_private_key(65537, bits), dt.datetime.now(dt.UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + dt.timedelta(days=starts))
        .not_valid_after(now + dt.timedelta(days=ends))
        .sign(key, hashes.SHA256())
    )
    files = directory / "certificate.pem", directory / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@pytest.mark.parametrize(
    ("bits", "starts", "ends", "found"),
    [
        (2048, -10, 100, set()),
        (1024, -10, 100, {"certificate-weak-key"}),
        (2048, -10, -1, {"certificate-expired"}),
        (2048, 1, 100, {"certificate-expired"}),
    ],
)
async def test_faults_of_a_certificate_are_found(
    tmp_path: Path, bits: int, starts: float, ends: float, found: set[str]
) -> None:
    files = self_signed(tmp_path, bits=bits, starts=starts, ends=ends)
    assert ids(await audited(*files)) == {"certificate-untrusted", "certificate-common-name"} | found


async def test_a_name_of_control_characters_is_shown_as_escapes(tmp_path: Path) -> None:
    target = await audited(*self_signed(tmp_path, bits=2048, starts=-1, ends=100, subject="\x1b[2Jowned\x07"))
    said = " ".join(finding.said for finding in target.findings) + str(target.facts)
    assert "owned" in said
    assert "\x1b" not in said and "\x07" not in said


RSA_SHA256, RSA_SHA1 = (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01" + last for last in (b"\x0b", b"\x05"))
"""Object identifiers of signatures (RFC 8017); nobody signs with SHA-1 any more, so a certificate is told to say so."""


async def test_a_broken_digest_is_told(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path, bits=2048, starts=-1, ends=100)
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    certificate.write_text(ssl.DER_cert_to_PEM_cert(der.replace(RSA_SHA256, RSA_SHA1)))
    assert "certificate-weak-signature" in ids(await audited(certificate, key))
