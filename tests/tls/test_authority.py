"""The lab authority: what it issues, how it keeps it, and what OpenSSL's own tools say to it."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import re
import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from tls.authority import Authority, AuthorityExistsError, Credentials
from tls.errors import TLSConfigError


def openssl(*arguments: object) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_what_is_issued(
    authority: Authority, server: Credentials, alice: Credentials, purpose: str
) -> None:
    leaf = server if purpose == "sslserver" else alice
    common = ("verify", "-x509_strict", "-CAfile", authority.certificate_file, "-purpose", purpose)
    assert openssl(*common, leaf.certificate_file).strip().endswith("OK")


@pytest.mark.parametrize(
    "option", [("-verify_hostname", "mail.example.org"), ("-verify_ip", "127.0.0.1"), ("-verify_ip", "::1")]
)
def test_openssl_finds_the_names(authority: Authority, server: Credentials, option: tuple[str, str]) -> None:
    openssl("verify", "-CAfile", authority.certificate_file, *option, server.certificate_file)


def test_openssl_refuses_the_wrong_name_and_the_wrong_purpose(
    authority: Authority, server: Credentials, alice: Credentials
) -> None:
    common = ("openssl", "verify", "-CAfile", authority.certificate_file)
    for wrong in (
        (*common, "-verify_hostname", "other.example.org", server.certificate_file),
        (*common, "-purpose", "sslclient", server.certificate_file),
        (*common, "-purpose", "sslserver", alice.certificate_file),
    ):
        assert subprocess.run(wrong, capture_output=True).returncode != 0


def test_openssl_reads_the_key(server: Credentials) -> None:
    text = openssl("pkey", "-in", server.key_file, "-noout", "-text")
    assert "prime256v1" in text


def test_extensions(authority: Authority, server: Credentials, alice: Credentials) -> None:
    root = authority.certificate.extensions
    assert root.get_extension_for_class(x509.BasicConstraints).value == x509.BasicConstraints(True, 0)
    assert root.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    own = root.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    for leaf, purpose in ((server, ExtendedKeyUsageOID.SERVER_AUTH), (alice, ExtendedKeyUsageOID.CLIENT_AUTH)):
        extensions = leaf.certificate.extensions
        assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [purpose]
        assert extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier == own
        usage = extensions.get_extension_for_class(x509.KeyUsage)
        assert usage.critical and usage.value.digital_signature and not usage.value.key_cert_sign
        assert isinstance(leaf.certificate.public_key(), ec.EllipticCurvePublicKey)
    assert server.certificate.serial_number != alice.certificate.serial_number
    assert server.names == ["localhost", "mail.example.org", "127.0.0.1", "::1"]
    assert alice.names == ["alice@example.org"]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_nobody_else_can_read_a_key(authority: Authority, server: Credentials) -> None:
    assert mode(authority.directory) == 0o700
    assert mode(authority.directory / "ca.key") == 0o600
    assert mode(server.key_file) == 0o600
    assert mode(server.certificate_file) == 0o644
    assert not list(authority.directory.glob(".*")), "a temporary file was left behind"


def test_loading_gives_the_same_authority(authority: Authority, server: Credentials) -> None:
    loaded = Authority.load(authority.directory)
    assert loaded.certificate == authority.certificate
    assert server.certificate in [credentials.certificate for credentials in loaded.issued()]


def test_an_authority_is_never_overwritten(authority: Authority) -> None:
    with pytest.raises(AuthorityExistsError):
        Authority.create(authority.directory)
    assert Authority.load_or_create(authority.directory).certificate == authority.certificate


def test_many_starters_make_one_authority(tree: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Authority.load_or_create(tree / "ca"), range(8)))
    assert len({authority.certificate for authority in made}) == 1


@pytest.mark.parametrize(
    "name",
    ["", ".", "a..b", "-a.example", "a b", "a/../b", "x" * 64 + ".org", "münchen.example", "a\n", "a.*.b", "*", "a\0b"],
)
def test_malformed_server_names_are_refused(authority: Authority, name: str) -> None:
    with pytest.raises(TLSConfigError):
        authority.issue_server([name])


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "\0"])
def test_malformed_client_names_are_refused(authority: Authority, name: str) -> None:
    with pytest.raises(TLSConfigError):
        authority.issue_client(name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..", "ca", "a/b", "@", "a b@c", "ü@example.org"])
def test_a_name_does_not_lead_out_of_the_directory(authority: Authority, name: str) -> None:
    credentials = authority.issue_client(name)
    assert credentials.key_file.parent == authority.directory
    assert Authority.load(authority.directory).certificate == authority.certificate


def test_a_long_name_stands_in_the_alternative_names_alone(authority: Authority) -> None:
    name = ".".join(["a" * 30] * 3) + ".example.org"
    credentials = authority.issue_server([name])
    alternative = credentials.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert alternative.critical and not list(credentials.certificate.subject)
    openssl("verify", "-x509_strict", "-CAfile", authority.certificate_file, credentials.certificate_file)


def test_renewal_only_when_due(authority: Authority) -> None:
    credentials = authority.issue_server(["renew.example.org"], days=40)
    assert authority.renew(credentials, within_days=30) is credentials
    renewed = authority.renew(credentials, within_days=50)
    assert renewed.certificate.serial_number != credentials.certificate.serial_number
    assert renewed.certificate.public_key() == credentials.certificate.public_key()
    assert renewed.names == credentials.names
    assert renewed.days_left() > 390
    openssl("verify", "-CAfile", authority.certificate_file, renewed.certificate_file)


def test_renewal_with_a_clock(authority: Authority) -> None:
    credentials = authority.issue_client("clock@example.org")
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=380)
    assert authority.renew(credentials, now=later - dt.timedelta(days=20)) is credentials
    assert not authority.renew(credentials, now=later).is_server


def test_no_certificate_outlives_its_authority(tree: Path) -> None:
    authority = Authority.create(tree / "ca", days=10)
    assert authority.issue_server(["short.example.org"]).not_after == authority.certificate.not_valid_after_utc
    longer = authority.renew_root(within_days=30)
    assert longer.certificate.not_valid_after_utc > authority.certificate.not_valid_after_utc
    old = authority.issue_server(["short.example.org"])
    openssl("verify", "-CAfile", longer.certificate_file, old.certificate_file)


def damage(path: Path, content: bytes | None) -> None:
    path.unlink() if content is None else path.write_bytes(content)


@pytest.mark.parametrize("file", ["ca.pem", "ca.key"])
@pytest.mark.parametrize(
    "content", [None, b"", b"rubbish", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_damaged_authority_is_named(tree: Path, file: str, content: bytes | None) -> None:
    Authority.create(tree / "ca")
    damage(tree / "ca" / file, content)
    with pytest.raises(TLSConfigError, match=re.escape(file)):
        Authority.load(tree / "ca")


def test_a_key_of_another_certificate_is_refused(tree: Path) -> None:
    Authority.create(tree / "one")
    Authority.create(tree / "two")
    (tree / "one/ca.key").write_bytes((tree / "two/ca.key").read_bytes())
    with pytest.raises(TLSConfigError, match="not the key of"):
        Authority.load(tree / "one")


def test_a_server_certificate_is_no_authority(tree: Path) -> None:
    authority = Authority.create(tree / "ca")
    leaf = authority.issue_server(["mail.example.org"])
    leaf.certificate_file.replace(tree / "ca/ca.pem")
    leaf.key_file.replace(tree / "ca/ca.key")
    with pytest.raises(TLSConfigError, match="not the certificate of an authority"):
        Authority.load(tree / "ca")
