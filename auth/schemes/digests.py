"""Plain, salted and iterated digests: SHA, SSHA, MD5 and their like, PBKDF2."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable

from passlib.crypto.digest import lookup_hash

from .errors import InvalidHash

SALT_BYTES = 4
"""Octets of salt in new salted digests, as Dovecot makes them."""

PBKDF2_ROUNDS = 5000
"""Rounds of new PBKDF2 hashes, Dovecot's default."""

PBKDF2_ROUNDS_MAX = 10_000_000
"""Rounds accepted in stored hashes: more would be a way to stop the server."""

_MD4 = lookup_hash("md4").const  # loaded now: later the service may not read the library any more
_PBKDF2 = re.compile(r"\$1\$([^$]+)\$([0-9]{1,8})\$([0-9a-fA-F]{40})\Z")


def digest(algorithm: str, data: bytes) -> bytes:
    """The digest; MD4 comes from passlib where OpenSSL has it switched off."""
    if algorithm == "md4":
        return bytes(_MD4(data).digest())
    return hashlib.new(algorithm, data, usedforsecurity=False).digest()


def salted_verifier(algorithm: str) -> Callable[[bytes, bytes], bool]:
    """A check of ``digest(password + salt) + salt``."""
    size = hashlib.new(algorithm, usedforsecurity=False).digest_size

    def verify(password: bytes, raw: bytes) -> bool:
        if len(raw) <= size:
            name = "SMD5" if algorithm == "md5" else f"S{algorithm.upper().removesuffix('1')}"
            raise InvalidHash(f"{name} password is too short")
        return hmac.compare_digest(digest(algorithm, password + raw[size:]), raw[:size])

    return verify


def salted(algorithm: str, password: bytes) -> bytes:
    """``digest(password + salt) + salt`` with a fresh salt."""
    salt = secrets.token_bytes(SALT_BYTES)
    return digest(algorithm, password + salt) + salt


def verify_pbkdf2(password: bytes, stored: str) -> bool:
    """Whether the password fits Dovecot's ``$1$salt$rounds$hex`` (HMAC-SHA1)."""
    match = _PBKDF2.match(stored)
    if not match or not 1 <= int(match[2]) <= PBKDF2_ROUNDS_MAX:
        raise InvalidHash("Invalid PBKDF2 passdb entry prefix")
    made = hashlib.pbkdf2_hmac("sha1", password, match[1].encode(), int(match[2]))
    return hmac.compare_digest(made.hex(), match[3].lower())


def make_pbkdf2(password: bytes, rounds: int) -> str:
    """A new ``$1$salt$rounds$hex``."""
    salt = secrets.token_urlsafe(12).replace("-", ".").replace("_", "/")
    made = hashlib.pbkdf2_hmac("sha1", password, salt.encode(), rounds or PBKDF2_ROUNDS)
    return f"$1${salt}${rounds or PBKDF2_ROUNDS}${made.hex()}"


def verify_truncated(password: bytes, stored: str) -> bool:
    """PLAIN-TRUNC, ``length-password``: only the first ``length`` octets of the password count."""
    length, dash, kept = stored.partition("-")
    if not dash or not re.fullmatch(r"[0-9]{1,5}", length):
        raise InvalidHash("PLAIN-TRUNC missing length: prefix")
    return hmac.compare_digest(password[: int(length)], kept.encode("utf-8", "surrogateescape"))
