"""DKIM: signatures that are made here with other code than that which verifies them, and all the ways they can fail."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from hypothesis import given
from hypothesis import strategies as st

from mta.authres import dkim
from mta.authres.dkim import DkimError, Message, Signature, canonical_body, canonical_field, parse, verify

RSA = rsa.generate_private_key(65537, 1024)
ED = ed25519.Ed25519PrivateKey.generate()
SPKI = RSA.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
RSA_KEY = "v=DKIM1; k=rsa; p=" + base64.b64encode(SPKI).decode()
ED_KEY = (
    "v=DKIM1; k=ed25519; p="
    + base64.b64encode(
        ED.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    ).decode()
)
MAIL = (
    b"From: Joe <joe@example.com>\r\nTo: a@b.example\r\nSubject: one\r\n\ttwo\r\n\r\nHi.\r\n\r\nWe  lost \r\n\r\n\r\n"
)


def relaxed(octets: bytes) -> bytes:
    """One header field, by the words of RFC 6376 section 3.4.2."""
    name, value = octets.decode().split(":", 1)
    return f"{name.lower().rstrip()}:{' '.join(value.split())}\r\n".encode()


def sign(
    content: bytes = MAIL,
    *,
    algorithm: str = "rsa",
    way: str = "relaxed/relaxed",
    more: str = "",
    h: str = "from:to:subject",
) -> bytes:
    """The message with a DKIM-Signature on top."""
    head, _, body = content.partition(b"\r\n\r\n")
    header_way, body_way = way.split("/")
    lines = body.decode().split("\r\n")
    if body_way == "relaxed":
        lines = [re.sub("[ \t]+", " ", line).rstrip(" ") for line in lines]
    text = "\r\n".join(lines).rstrip("\r\n") + "\r\n"
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    own = (
        f"DKIM-Signature: v=1; a={algorithm}-sha256; c={way}; d=example.com; s=sel;\r\n h={h};{more}\r\n bh={digest};\r\n b="
    ).encode()
    fields = {
        each.split(b":")[0].lower().decode(): each
        for each in re.findall(rb"(?:^[!-9;-~].*\r\n(?:[ \t].*\r\n)*)", head + b"\r\n", re.M)
    }
    signed = [fields.pop(name) for name in h.split(":") if name in fields]
    octets = b"".join(map(relaxed, signed)) + relaxed(own)[:-2] if header_way == "relaxed" else b"".join(signed) + own
    if algorithm == "rsa":
        value = RSA.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    else:
        value = ED.sign(hashlib.sha256(octets).digest())
    return own + base64.b64encode(value) + b"\r\n" + content


def judge(content: bytes, key: str = RSA_KEY, now: float = 0) -> str:
    """The word of RFC 8601, with the reason or the size of the key."""
    message = Message.of(content)
    (signature,) = dkim.signatures(message)
    if isinstance(signature, DkimError):
        return f"{signature.result}: {signature}"
    try:
        return f"pass: {verify(signature, message, key, now)}"
    except DkimError as error:
        return f"{error.result}: {error}"


@pytest.mark.parametrize("way", ["relaxed/relaxed", "relaxed/simple", "simple/relaxed", "simple/simple"])
def test_good_signatures(way: str) -> None:
    assert judge(sign(way=way)) == "pass: 1024"
    assert judge(sign(way=way, algorithm="ed25519"), ED_KEY) == "pass: 256"


def test_what_relaxed_forgives_and_simple_does_not() -> None:
    def rewrapped(content: bytes) -> bytes:
        return content.replace(b"one\r\n\ttwo", b"one two").replace(b"To: ", b"TO:   ").replace(b"lost ", b"lost")

    assert judge(rewrapped(sign())) == "pass: 1024"
    assert judge(rewrapped(sign(way="simple/relaxed"))) == "fail: signature did not verify"
    assert judge(rewrapped(sign(way="relaxed/simple"))) == "fail: body hash did not verify"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"Hi.", b"Ho.", "fail: body hash did not verify"),
        (b"joe@", b"eve@", "fail: signature did not verify"),
        (b"Subject: one", b"Subject: won", "fail: signature did not verify"),
        (b"v=1", b"v=2", "permerror: unknown version"),
        (b"rsa-sha256", b"rsa-sha1", "permerror: unknown or forbidden algorithm"),
        (b"h=from:to", b"h=to", "permerror: From is not signed"),
        (b"d=example.com;", b"", "permerror: no d= in signature"),
        (b"s=sel;", b"s=sel; s=x;", "permerror: malformed signature"),
        (b"s=sel;", b"s=sel; i=@other.example;", "permerror: identity outside the domain"),
        (b"s=sel;", b"s=sel; q=http;", "permerror: unknown query method"),
        (b"s=sel;", b"s=../x;", "permerror: bad domain or selector"),
        (b"s=sel;", b"s=sel; l=-1;", "permerror: malformed number"),
        (b"c=relaxed/relaxed", b"c=none", "permerror: unknown canonicalization"),
        (b"bh=", b"bh=%", "permerror: malformed signature"),
    ],
)  # fmt: skip
def test_damage(old: bytes, new: bytes, said: str) -> None:
    signed = sign()
    assert old in signed
    assert judge(signed.replace(old, new, 1)) == said


def test_a_second_from_field_is_seen() -> None:
    """Signed twice (oversigned), a field cannot be added; the one at the bottom is what was signed."""
    signed = sign(h="from:from:to")
    assert judge(signed) == "pass: 1024"
    assert judge(signed.replace(b"From: ", b"From: eve@evil.example\r\nFrom: ", 1)) == "fail: signature did not verify"


def test_expiry_and_partial_bodies() -> None:
    assert judge(sign(more=" x=100;"), now=99) == "pass: 1024"
    assert judge(sign(more=" x=100;"), now=101) == "fail: signature expired"
    whole = sign(more=" l=100000;")
    assert judge(whole) == "fail: body is shorter than what was signed"
    exact = sign(more=" l=16;")
    assert judge(exact) == "pass: 1024"
    assert judge(exact + b"Buy!\r\n") == "policy: only a part of the body is signed"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (RSA_KEY.replace("v=DKIM1; k=rsa; ", ""), "pass: 1024"),
        ("v=DKIM1; p=", "permerror: key is revoked"),
        (RSA_KEY.replace("DKIM1", "DKIM2"), "permerror: unknown key version"),
        (RSA_KEY + "; h=sha1", "permerror: key is for other hashes"),
        (RSA_KEY + "; s=other", "permerror: key is not for mail"),
        (ED_KEY, "permerror: key is of another kind"),
        ("p=AAAA", "permerror: malformed key"),
        ("nonsense", "permerror: malformed key"),
        (RSA_KEY + "; t=s", "pass: 1024"),
    ],
    ids=["plain", "revoked", "version", "hashes", "service", "kind", "short", "nonsense", "no-subdomains"],
)
def test_keys(key: str, said: str) -> None:
    assert judge(sign(), key) == said


def test_only_so_many_signatures() -> None:
    assert len(dkim.signatures(Message.of(b"DKIM-Signature: v=1\r\n" * 50 + MAIL))) == dkim.SIGNATURE_LIMIT


def test_a_body_of_empty_lines_takes_no_time() -> None:
    body = b"\r\n" * 300_000
    assert canonical_body(body + b"x", "simple") == body + b"x\r\n"
    assert canonical_body(body, "simple") == b"\r\n"
    assert canonical_body(body, "relaxed") == b""


def test_fields_as_the_rfc_shows_them() -> None:
    """RFC 6376 section 3.4.5."""
    assert canonical_field(b"A: X\r\n", "relaxed") == b"a:X\r\n"
    assert canonical_field(b"B : Y\t\r\n\tZ  \r\n", "relaxed") == b"b:Y Z\r\n"
    assert canonical_field(b"B : Y\t\r\n\tZ  \r\n", "simple") == b"B : Y\t\r\n\tZ  \r\n"
    assert canonical_body(b" C \r\nD \t E\r\n\r\n\r\n", "relaxed") == b" C\r\nD E\r\n"
    assert canonical_body(b" C \r\nD \t E\r\n\r\n\r\n", "simple") == b" C \r\nD \t E\r\n"


@given(st.binary(max_size=300))
def test_any_octets_are_a_signature_or_a_typed_error(octets: bytes) -> None:
    try:
        found = parse(b"DKIM-Signature:" + octets)
    except DkimError:
        return
    assert isinstance(found, Signature)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_any_damage_is_a_typed_error(noise: bytes, place: int) -> None:
    signed = sign()
    for error in dkim.signatures(message := Message.of(signed[:place] + noise + signed[place:])):
        if isinstance(error, Signature):
            with contextlib.suppress(DkimError):
                verify(error, message, RSA_KEY)
