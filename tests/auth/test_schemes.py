"""Password schemes: hashes made by Dovecot 2.3.19 are verified, ours are verified back, broken ones are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth import schemes
from auth.schemes import crypts, md5state, sasl

PASSWORD = b"pa55-Word"
MADE_BY_DOVECOT = [
    "{PLAIN}pa55-Word",
    "{CLEARTEXT}pa55-Word",
    "{PLAIN-TRUNC}4-pa55",
    "{SHA512-CRYPT}$6$oj3hTHVYFyUuqBqB$jc1PkAP/BEvks1W3PPKWg7CcYg3mfoHhH.ZvDVWajZ.9LI6RLHAyd5qLMM7IzuhypjMYHP04SuaMDxbXNp0IT0",
    "{SHA256-CRYPT}$5$YKKI8iJR75PRvPhj$iQVReHZPVGGrC1LEIWapDYm9VfYXtnCKLoqfvFGKkb0",
    "{BLF-CRYPT}$2y$05$bkyzl9kE8NgXibIPSZsFNu6df1SUSqAkFKEkZBhdhCchdoEHBii3G",
    "{CRYPT}$2y$05$bkyzl9kE8NgXibIPSZsFNu6df1SUSqAkFKEkZBhdhCchdoEHBii3G",
    "{ARGON2ID}$argon2id$v=19$m=8192,t=2,p=1$AAECAwQFBgcICQoLDA0ODw$hss4xlqQTZ/KxA1pbwptIbT2a47h+cgDRr/LWNpLoBU",
    "{SSHA256}BJE4WpuiuVJEj9WZRKsiTQSfsMODwu4ve26PKvx0Cdfc7Nyb",
    "{SSHA512}Oaj2Nju/W8mvGrV2UUOQqAzB9fXE8TTFXz9OiFgPIw5Rz1WFOOg6LbNgQ0YzWQJ2rRfR2g4EIKSWNQ6LtgV0zUXtrHo=",
    "{SSHA}DBsWi9Xv936jqKJsT9BJzW93HHoQUOMF",
    "{SMD5}xZkM0b2YAFAPzOLFVO+fBZKD07k=",
    "{SHA}JBL+KWLZLhuUoPAq9SCz5g3h9+0=",
    "{SHA256}1F3KFidBcpF3OJN1S6SHtOZQHtLU8oMLZjf72LA/Ufc=",
    "{SHA256.HEX}d45dca1627417291773893754ba487b4e6501ed2d4f2830b6637fbd8b03f51f7",
    "{SHA256}d45dca1627417291773893754ba487b4e6501ed2d4f2830b6637fbd8b03f51f7",
    "{sha256.b64}1F3KFidBcpF3OJN1S6SHtOZQHtLU8oMLZjf72LA/Ufc=",
    "{PBKDF2}$1$CPMnG4eH5jOxw4Hh$500$9674d657a6db5672c73c8fac33c44e741c542e3e",
    "{CRAM-MD5}00b49fb10e29d87bcbe6f235bbdaf071f095104a5d6f81c22e60a621f8b84520",
    "{SCRAM-SHA-256}4096,Fym724Dl6nx/Ha7QfeT/7g==,ERuddfXbpHZWNWtv2upvBD+fkaINohMbNbpsOKdDSz0=,"
    "1BS9KMNZbWWbd8wayLM7FmKC5WNO1xxwO8xo6178UWk=",
    "{SCRAM-SHA-1}4096,6fpWtyXF3BQHhDBZVXGzGw==,5gJxRVh6RpoZa6A3eTL/eEPktVk=,Wo1796VIs3sLftIgbhvqiOFQgy0=",
    "{MD5-CRYPT}$1$ddqSXrkl$sMR1MYuDwwiFDd4AqBTiv1",
    "{MD5}$1$ddqSXrkl$sMR1MYuDwwiFDd4AqBTiv1",
    "{MD5}4ca749abe92636d83c5c882f57374c3a",
    "{PLAIN-MD4}370ab5051d1fa96c16cee7e093249f87",
    "{PLAIN-MD5}4ca749abe92636d83c5c882f57374c3a",
    "{LDAP-MD5}TKdJq+kmNtg8XIgvVzdMOg==",
    "{DIGEST-MD5}28ce0f0fd9c2b81b14ff9f773eb860b9",
    "{DES-CRYPT}Gmnvul0hhMqE2",
]


@pytest.mark.parametrize("stored", MADE_BY_DOVECOT, ids=lambda stored: stored.partition("}")[0][1:])
def test_hash_made_by_dovecot(stored: str) -> None:
    scheme, text = schemes.split(stored, "CRYPT")
    assert schemes.verify(scheme, text, PASSWORD, "alice@dom")
    assert not schemes.verify(scheme, text, b"pb55-Word", "alice@dom")


@pytest.mark.parametrize("name", [name for name in schemes.SCHEMES if name != "PLAIN-TRUNC"])
def test_made_and_verified_again(name: str) -> None:
    text = schemes.generate(name, PASSWORD, "alice@dom")
    assert schemes.verify(name, text, PASSWORD, "alice@dom")
    assert not schemes.verify(name, text, b"x", "alice@dom")
    if name not in ("PLAIN", "CLEAR", "CLEARTEXT"):
        assert "pa55" not in text


def test_crypt_without_the_system_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crypts, "system_crypt", None)
    for stored in MADE_BY_DOVECOT:
        scheme, text = schemes.split(stored, "CRYPT")
        if "CRYPT" in scheme:
            assert schemes.verify(scheme, text, PASSWORD, "")
            assert not schemes.verify(scheme, text, b"x", "")


@pytest.mark.parametrize(
    ("scheme", "stored"),
    [
        ("NOSUCH", "x"),
        ("SHA256.ROT13", "x"),
        ("SHA256", "x"),
        ("SHA256", "YQ=="),
        ("SHA256.HEX", "zz"),
        ("SSHA", "YQ=="),
        ("BLF-CRYPT", "$2y$xx$"),
        ("SHA512-CRYPT", "$9$x$y"),
        ("PBKDF2", "$1$a$99999999999$00"),
        ("SCRAM-SHA-256", "99999999,YQ==,YQ==,YQ=="),
        ("SCRAM-SHA-256", "4096,YQ==,YQ==,YQ=="),
        ("PLAIN-TRUNC", "pa55"),
        ("MD5", "x"),
        ("CRAM-MD5", "00"),
    ],
)
def test_broken_hash(scheme: str, stored: str) -> None:
    with pytest.raises(schemes.SchemeError):
        schemes.verify(scheme, stored, PASSWORD, "u")


def test_an_empty_crypt_hash_lets_nobody_in() -> None:
    assert not schemes.verify("CRYPT", "", b"", "u")


def test_long_passwords() -> None:
    long = b"x" * 200
    assert schemes.verify("BLF-CRYPT", schemes.generate("BLF-CRYPT", long), long, "")
    assert schemes.verify("CRAM-MD5", schemes.generate("CRAM-MD5", long), long, "")


def test_rounds() -> None:
    assert schemes.generate("SHA512-CRYPT", PASSWORD, rounds=6000).startswith("$6$rounds=6000$")
    assert schemes.generate("SHA512-CRYPT", PASSWORD, rounds=6).startswith("$6$rounds=1000$")
    assert schemes.generate("BLF-CRYPT", PASSWORD, rounds=6).startswith("$2y$06$")
    assert schemes.generate("BLF-CRYPT", PASSWORD, rounds=3).startswith("$2y$04$")
    assert schemes.generate("ARGON2ID", PASSWORD, rounds=1).startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert schemes.generate("ARGON2I", PASSWORD).startswith("$argon2i$v=19$m=32768,t=4,p=1$")
    assert schemes.generate("SCRAM-SHA-1", PASSWORD, rounds=100).startswith("4096,")


@pytest.mark.parametrize("wanted", ["PLAIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_credentials(wanted: str) -> None:
    assert schemes.credentials("CLEARTEXT", "pa55-Word", wanted, "u")
    with pytest.raises(schemes.SchemeError, match=f"Requested {wanted} scheme, but we have only SSHA256"):
        schemes.credentials("SSHA256", "BJE4WpuiuVJEj9WZRKsiTQSfsMODwu4ve26PKvx0Cdfc7Nyb", wanted, "u")


def test_digest_realm_is_what_follows_the_last_at() -> None:
    assert sasl.digest_secret(b"p", "a@b") != sasl.digest_secret(b"p", "a@b@")


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_cram_digest_is_hmac_md5(key: bytes, message: bytes) -> None:
    import hmac

    expected = hmac.new(key, message, "md5").hexdigest().encode()
    assert sasl.cram_digest(sasl.cram_context(key), message) == expected


@given(st.binary(max_size=300))
def test_md5_state(data: bytes) -> None:
    import hashlib

    assert md5state.finish(md5state.initial(), 0, data) == hashlib.md5(data, usedforsecurity=False).digest()


@given(st.sampled_from(sorted(schemes.SCHEMES)), st.text(max_size=40))
def test_only_the_typed_error_escapes(name: str, stored: str) -> None:
    try:
        schemes.verify(name, stored, b"x", "u")
    except schemes.SchemeError:
        return
