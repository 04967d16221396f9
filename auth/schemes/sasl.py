"""Schemes that hold what one SASL mechanism needs instead of the password: CRAM-MD5, DIGEST-MD5, SCRAM."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from . import md5state
from .errors import InvalidHash

CONTEXT_OCTETS = 32
"""Octets of a CRAM-MD5 context: the outer and the inner MD5 state."""

SCRAM_ROUNDS = 4096
"""Iterations of new SCRAM credentials: RFC 5802 section 5.1's least, and Dovecot's default."""

SCRAM_ROUNDS_MAX = 10_000_000
"""Iterations accepted in stored credentials: more would be a way to stop the server."""

_SCRAM = re.compile(r"([0-9]{1,8}),([A-Za-z0-9+/=]+),([A-Za-z0-9+/=]+),([A-Za-z0-9+/=]+)\Z")


def cram_context(password: bytes) -> bytes:
    """HMAC-MD5's two states after the padded key (RFC 2104): outer, then inner, 32 octets, as CRAM-MD5 stores them."""
    key = hashlib.md5(password, usedforsecurity=False).digest() if len(password) > md5state.BLOCK else password
    key = key.ljust(md5state.BLOCK, b"\0")
    outer = md5state.compress(md5state.initial(), bytes(byte ^ 0x5C for byte in key))
    inner = md5state.compress(md5state.initial(), bytes(byte ^ 0x36 for byte in key))
    return outer + inner


def cram_digest(context: bytes, challenge: bytes) -> bytes:
    """HMAC-MD5 of the challenge from a stored context: 32 hexadecimal digits (RFC 2195)."""
    inner = md5state.finish(context[16:], md5state.BLOCK, challenge)
    return md5state.finish(context[:16], md5state.BLOCK, inner).hex().encode()


def digest_secret(password: bytes, user: str) -> bytes:
    """MD5 of ``user:realm:password`` (RFC 2831 section 2.1.2.1); the realm follows the last ``@``."""
    name, at, realm = user.rpartition("@")
    if not at:
        name, realm = user, ""
    text = f"{name}:{realm}:".encode("utf-8", "surrogateescape") + password
    return hashlib.md5(text, usedforsecurity=False).digest()


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What a server keeps for SCRAM (RFC 5802 section 3)."""

    rounds: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def text(self) -> str:
        """``rounds,salt,StoredKey,ServerKey``, as Dovecot writes it."""
        parts = (self.salt, self.stored_key, self.server_key)
        return ",".join([str(self.rounds), *(base64.b64encode(part).decode() for part in parts)])

    def __repr__(self) -> str:
        return f"ScramKeys(rounds={self.rounds})"


def scram_keys(password: bytes, algorithm: str, rounds: int, salt: bytes | None = None) -> ScramKeys:
    """Derive the keys; ``algorithm`` is ``sha1`` or ``sha256``."""
    salt = salt if salt is not None else secrets.token_bytes(16)
    rounds = rounds or SCRAM_ROUNDS
    salted = hashlib.pbkdf2_hmac(algorithm, password, salt, rounds)
    client_key = hmac.digest(salted, b"Client Key", algorithm)
    return ScramKeys(
        rounds, salt, hashlib.new(algorithm, client_key).digest(), hmac.digest(salted, b"Server Key", algorithm)
    )


def parse_scram(stored: str, algorithm: str) -> ScramKeys:
    """Read stored keys. Raises InvalidHash."""
    match = _SCRAM.match(stored)
    size = hashlib.new(algorithm).digest_size
    try:
        if not match or not 1 <= int(match[1]) <= SCRAM_ROUNDS_MAX:
            raise InvalidHash(f"Invalid SCRAM-{algorithm.upper().replace('SHA', 'SHA-')} passdb entry format")
        salt, stored_key, server_key = (base64.b64decode(part, validate=True) for part in match.groups()[1:])
    except binascii.Error:
        raise InvalidHash(f"Invalid SCRAM-{algorithm.upper().replace('SHA', 'SHA-')} passdb entry format") from None
    if len(stored_key) != size or len(server_key) != size:
        raise InvalidHash("SCRAM keys of the wrong length")
    return ScramKeys(int(match[1]), salt, stored_key, server_key)


def verify_scram(password: bytes, stored: str, algorithm: str) -> bool:
    """Whether the password leads to the stored keys."""
    keys = parse_scram(stored, algorithm)
    again = scram_keys(password, algorithm, keys.rounds, keys.salt)
    return hmac.compare_digest(again.stored_key, keys.stored_key)
