"""DKIM signatures (RFC 6376, RFC 8301, RFC 8463): read, canonicalize, verify. Pure; keys come from the caller.

The one package that is known for this, dkimpy, computes RSA in Python, looks keys up while it verifies, and comes
without a wheel; what is left of it over the library `cryptography` is this file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from mta.authres import tags

SIGNATURE_LIMIT: Final = 8
"""Signatures of one message that are verified: each costs a lookup and a hash of the body (section 8.4)."""
RSA_BITS: Final = range(1024, 8193)
"""RFC 8301 section 3.2 for the lower end; a larger key only costs time."""

_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:[^\n]*\n(?:[ \t][^\n]*\n)*")
_BLANKS: Final = re.compile(rb"[ \t]+")
_LINE_BLANKS: Final = re.compile(rb"[ \t]+(?=\r\n|\Z)")
_SIGNATURE_VALUE: Final = re.compile(rb"((?:\A[^:]*:|;)[ \t\r\n]*b[ \t\r\n]*=)[^;]*")
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*")
_DIGITS: Final = re.compile(r"\d{1,12}", re.ASCII)


class DkimError(Exception):
    """A signature that does not hold. result: the word of RFC 8601 section 2.7.1; the text says why."""

    def __init__(self, result: str, reason: str) -> None:
        super().__init__(reason)
        self.result = result


@dataclass(frozen=True, slots=True)
class Message:
    """The header fields as they came, with names in lower case, and the body; CRLF line ends."""

    fields: Sequence[tuple[bytes, bytes]]
    body: bytes

    @classmethod
    def of(cls, content: bytes) -> Message:
        """A message as SMTP carries it."""
        fields = []
        position = 0
        while match := _FIELD.match(content, position):
            fields.append((match[1].lower(), match[0]))
            position = match.end()
        return cls(fields, content[position:].removeprefix(b"\r\n"))


@dataclass(frozen=True, slots=True)
class Signature:
    """One DKIM-Signature field."""

    octets: bytes
    algorithm: str
    value: bytes
    body_hash: bytes
    header_way: str
    """`simple` or `relaxed`."""
    body_way: str
    domain: str
    selector: str
    identity: str
    """The domain of i=."""
    names: tuple[bytes, ...]
    """The signed header fields."""
    length: int | None
    """Octets of the body that are signed (l=)."""
    expires: int | None
    shown: str
    """The first characters of b=, which tell signatures apart."""

    @property
    def key_name(self) -> str:
        """Where the key is (section 3.6.2.1)."""
        return f"{self.selector}._domainkey.{self.domain}"


def signatures(message: Message) -> list[Signature | DkimError]:
    """The signatures from the top, or what is wrong with them; at most SIGNATURE_LIMIT."""
    found: list[Signature | DkimError] = []
    for name, octets in message.fields:
        if name == b"dkim-signature" and len(found) < SIGNATURE_LIMIT:
            try:
                found.append(parse(octets))
            except DkimError as error:
                found.append(error)
    return found


def parse(octets: bytes) -> Signature:
    """A DKIM-Signature field. Raises DkimError (permerror)."""
    try:
        tag = tags.parse(octets.partition(b":")[2].decode("ascii"))
        missing = [name for name in ("v", "a", "b", "bh", "d", "h", "s") if not tag.get(name)]
        if missing:
            raise DkimError("permerror", f"no {missing[0]}= in signature")
        value, body_hash = _base64(tag["b"]), _base64(tag["bh"])
    except (UnicodeDecodeError, ValueError):
        raise DkimError("permerror", "malformed signature") from None
    header_way, _, body_way = tag.get("c", "simple").lower().partition("/")
    body_way = body_way or "simple"
    domain, selector = tag["d"].lower(), tag["s"].lower()
    identity = tag.get("i", f"@{domain}").rpartition("@")[2].lower()
    names = tuple(name.strip(" \t\r\n").lower().encode() for name in tag["h"].split(":"))
    length, expires = _number(tag.get("l")), _number(tag.get("x"))
    wrong = (
        (tag["v"] != "1", "unknown version"),
        (tag["a"].lower() not in ("rsa-sha256", "ed25519-sha256"), "unknown or forbidden algorithm"),
        (not {header_way, body_way} <= {"simple", "relaxed"}, "unknown canonicalization"),
        (not _DOMAIN.fullmatch(domain) or not _DOMAIN.fullmatch(selector), "bad domain or selector"),
        (identity != domain and not identity.endswith("." + domain), "identity outside the domain"),
        (b"from" not in names, "From is not signed"),
        ("dns/txt" not in tag.get("q", "dns/txt").replace(" ", "").split(":"), "unknown query method"),
    )
    for is_wrong, reason in wrong:
        if is_wrong:
            raise DkimError("permerror", reason)
    return Signature(
        octets, tag["a"].lower(), value, body_hash, header_way, body_way, domain, selector, identity, names, length,
        expires, "".join(tag["b"].split())[:8],
    )  # fmt: skip


def verify(signature: Signature, message: Message, record: str, now: float | None = None) -> int:
    """The size of the key, in bits, where the signature holds. Raises DkimError."""
    key = load_key(signature, record)
    if signature.expires is not None and signature.expires < (time.time() if now is None else now):
        raise DkimError("fail", "signature expired")
    body = canonical_body(message.body, signature.body_way)
    partial = signature.length is not None and signature.length < len(body)
    if signature.length is not None:
        if signature.length > len(body):
            raise DkimError("fail", "body is shorter than what was signed")
        body = body[: signature.length]
    if not hmac.compare_digest(hashlib.sha256(body).digest(), signature.body_hash):
        raise DkimError("fail", "body hash did not verify")
    signed = signed_header(signature, message)
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature.value, signed, padding.PKCS1v15(), hashes.SHA256())
            bits = key.key_size
        else:
            key.verify(signature.value, hashlib.sha256(signed).digest())
            bits = 256
    except InvalidSignature:
        raise DkimError("fail", "signature did not verify") from None
    if partial:  # what was appended afterwards could say anything (section 8.2)
        raise DkimError("policy", "only a part of the body is signed")
    return bits


def load_key(signature: Signature, record: str) -> rsa.RSAPublicKey | ed25519.Ed25519PublicKey:
    """The public key of a key record (section 3.6.1). Raises DkimError (permerror)."""
    try:
        tag = tags.parse(record)
        data = _base64(tag.get("p", ""))
    except ValueError:
        raise DkimError("permerror", "malformed key") from None
    kind = tag.get("k", "rsa").lower()
    services = {word.strip() for word in tag.get("s", "*").split(":")}
    methods = {word.strip().lower() for word in tag.get("h", "sha256").split(":")}
    flags = {word.strip() for word in tag.get("t", "").split(":")}
    wrong = (
        (tag.get("v", "DKIM1") != "DKIM1" or ("v" in tag and next(iter(tag)) != "v"), "unknown key version"),
        (not data, "key is revoked"),
        (kind != signature.algorithm.partition("-")[0], "key is of another kind"),
        ("sha256" not in methods, "key is for other hashes"),
        (not services & {"*", "email"}, "key is not for mail"),
        ("s" in flags and signature.identity != signature.domain, "key is not for subdomains"),
    )
    for is_wrong, reason in wrong:
        if is_wrong:
            raise DkimError("permerror", reason)
    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(data) if kind == "ed25519" else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm):
        raise DkimError("permerror", "malformed key") from None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size not in RSA_BITS:
        raise DkimError("permerror", f"key of {key.key_size} bits")
    if not isinstance(key, rsa.RSAPublicKey | ed25519.Ed25519PublicKey):
        raise DkimError("permerror", "key is of another kind")
    return key


def canonical_body(body: bytes, way: str) -> bytes:
    """Section 3.4.3 and 3.4.4."""
    if way == "relaxed":
        body = _LINE_BLANKS.sub(b"", _BLANKS.sub(b" ", body))
    end = len(body)
    while body.endswith(b"\r\n", 0, end):
        end -= 2
    return body[:end] + b"\r\n" if end or way == "simple" else b""


def signed_header(signature: Signature, message: Message) -> bytes:
    """What the signature is of (section 3.7): the named fields, from the bottom up, and its own without the value."""
    unused: dict[bytes, list[bytes]] = {}
    for name, octets in message.fields:
        unused.setdefault(name, []).append(octets)
    chosen = [unused[name].pop() for name in signature.names if unused.get(name)]
    own = _SIGNATURE_VALUE.sub(rb"\1", signature.octets.removesuffix(b"\r\n"), count=1)
    parts = [canonical_field(octets, signature.header_way) for octets in chosen]
    return b"".join(parts) + canonical_field(own, signature.header_way).removesuffix(b"\r\n")


def canonical_field(octets: bytes, way: str) -> bytes:
    """Section 3.4.1 and 3.4.2."""
    if way == "simple":
        return octets
    name, _, value = octets.partition(b":")
    unfolded = value.replace(b"\r\n", b"")
    return name.strip(b" \t").lower() + b":" + _BLANKS.sub(b" ", unfolded).strip(b" ") + b"\r\n"


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error:
        raise ValueError("bad base64") from None


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not _DIGITS.fullmatch(text):
        raise DkimError("permerror", "malformed number")
    return int(text)
