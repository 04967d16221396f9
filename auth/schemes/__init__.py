"""Password schemes as ``doveadm pw -l`` names them: verify, make, and derive what a SASL mechanism needs.

Source: Dovecot 2.3, doc/wiki Authentication/PasswordSchemes. A stored password is ``{SCHEME}text`` or
``{SCHEME.hex}text`` / ``{SCHEME.b64}text``; without a scheme the password database's default holds.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import nacl.pwhash

from . import crypts, digests, otp, sasl
from .errors import InvalidHash, SchemeError, UnknownScheme

__all__ = [
    "SCHEMES",
    "InvalidHash",
    "Scheme",
    "SchemeError",
    "UnknownScheme",
    "credentials",
    "find",
    "generate",
    "same",
    "split",
    "verify",
]

_BARE_MD5 = re.compile(r"\$1\$[^$]*\$.")
_PREFIX = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Scheme:
    """One scheme. ``check`` gets the password and the decoded stored octets; ``make`` password, user and rounds (0:
    the default). ``size`` is the number of octets stored, 0 when it varies. ``slow``: takes milliseconds, so it must
    not run on the event loop. ``family`` is shared by schemes that store the same thing."""

    name: str
    encoding: str
    check: Callable[[bytes, bytes, str], bool]
    make: Callable[[bytes, str, int], bytes]
    size: int = 0
    slow: bool = False
    family: str = ""


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "surrogateescape")


def _crypt(name: str, make: Callable[[bytes, int], str], *, family: str = "") -> Scheme:
    return Scheme(
        name,
        "none",
        lambda password, stored, user: crypts.verify_crypt(password, _text(stored)),
        lambda password, user, rounds: make(password, rounds).encode(),
        slow=True,
        family=family,
    )


def _texts(name: str, check: Callable[[bytes, str], bool], make: Callable[[bytes, int], str]) -> Scheme:
    return Scheme(
        name,
        "none",
        lambda password, stored, user: check(password, _text(stored)),
        lambda password, user, rounds: make(password, rounds).encode(),
        slow=True,
    )


def _derived(name: str, encoding: str, size: int, make: Callable[[bytes, str], bytes], family: str = "") -> Scheme:
    """A scheme without salt: the check makes the stored octets again."""
    return Scheme(
        name,
        encoding,
        lambda password, stored, user: hmac.compare_digest(make(password, user), stored),
        lambda password, user, rounds: make(password, user),
        size,
        family=family,
    )


def _digest(name: str, algorithm: str, size: int, encoding: str = "base64", family: str = "") -> Scheme:
    return _derived(name, encoding, size, lambda password, user: digests.digest(algorithm, password), family)


def _salted(name: str, algorithm: str) -> Scheme:
    check = digests.salted_verifier(algorithm)
    return Scheme(
        name,
        "base64",
        lambda password, stored, user: check(password, stored),
        lambda password, user, rounds: digests.salted(algorithm, password),
    )


def _scram(name: str, algorithm: str) -> Scheme:
    def make(password: bytes, user: str, rounds: int) -> bytes:
        return sasl.scram_keys(password, algorithm, max(rounds, sasl.SCRAM_ROUNDS)).text().encode()

    def check(password: bytes, stored: bytes, user: str) -> bool:
        return sasl.verify_scram(password, _text(stored), algorithm)

    return Scheme(name, "none", check, make, slow=True)


def _verify_md5(password: bytes, stored: bytes, user: str) -> bool:
    """MD5 is either MD5-CRYPT or, without ``$1$``, PLAIN-MD5."""
    text = _text(stored)
    if text.startswith("$1$"):
        return crypts.verify_crypt(password, text)
    if not re.fullmatch(r"[0-9a-fA-F]{32}", text):
        raise InvalidHash("Not a valid MD5-CRYPT or PLAIN-MD5 password")
    return hmac.compare_digest(digests.digest("md5", password), bytes.fromhex(text))


_make_md5 = crypts.make_crypt("$1$", 8, 0, 0)
_plain = partial(_derived, encoding="none", size=0, make=lambda password, user: password, family="plain")

SCHEMES: dict[str, Scheme] = {
    scheme.name: scheme
    for scheme in (
        _plain("PLAIN"),
        _plain("CLEAR"),
        _plain("CLEARTEXT"),
        Scheme(
            "PLAIN-TRUNC",
            "none",
            lambda password, stored, user: digests.verify_truncated(password, _text(stored)),
            lambda password, user, rounds: password,
        ),
        _texts("ARGON2ID", crypts.verify_argon2, crypts.make_argon2(nacl.pwhash.argon2id)),
        _texts("ARGON2I", crypts.verify_argon2, crypts.make_argon2(nacl.pwhash.argon2i)),
        _crypt("BLF-CRYPT", crypts.make_bcrypt),
        _crypt("SHA512-CRYPT", crypts.make_crypt("$6$", 16, 1000, 999_999_999)),
        _crypt("SHA256-CRYPT", crypts.make_crypt("$5$", 16, 1000, 999_999_999)),
        _crypt("CRYPT", crypts.make_bcrypt),
        _crypt("DES-CRYPT", crypts.make_des),
        _crypt("MD5-CRYPT", _make_md5, family="md5-crypt"),
        Scheme(
            "MD5",
            "none",
            _verify_md5,
            lambda password, user, rounds: _make_md5(password, rounds).encode(),
            slow=True,
            family="md5-crypt",
        ),
        _texts("PBKDF2", digests.verify_pbkdf2, digests.make_pbkdf2),
        _digest("SHA", "sha1", 20, family="sha1"),
        _digest("SHA1", "sha1", 20, family="sha1"),
        _digest("SHA256", "sha256", 32),
        _digest("SHA512", "sha512", 64),
        _digest("PLAIN-MD4", "md4", 16, "hex"),
        _digest("PLAIN-MD5", "md5", 16, "hex"),
        _digest("LDAP-MD5", "md5", 16),
        _salted("SMD5", "md5"),
        _salted("SSHA", "sha1"),
        _salted("SSHA256", "sha256"),
        _salted("SSHA512", "sha512"),
        _derived("CRAM-MD5", "hex", 32, lambda password, user: sasl.cram_context(password), "cram-md5"),
        _derived("HMAC-MD5", "hex", 32, lambda password, user: sasl.cram_context(password), "cram-md5"),
        _derived("DIGEST-MD5", "hex", 16, sasl.digest_secret),
        Scheme(
            "OTP",
            "none",
            lambda password, stored, user: otp.verify(password, _text(stored)),
            lambda password, user, rounds: otp.generate(password).encode(),
            slow=True,
        ),
        _scram("SCRAM-SHA-1", "sha1"),
        _scram("SCRAM-SHA-256", "sha256"),
    )
}
"""Every scheme that can be verified, by name."""


def split(stored: str, default: str) -> tuple[str, str]:
    """Scheme name (as written, upper case) and the rest of a stored password."""
    match = _PREFIX.match(stored)
    if match:
        return match[1].upper(), stored[match.end() :]
    if _BARE_MD5.match(stored):
        return "MD5-CRYPT", stored
    return default.upper(), stored


def find(name: str) -> tuple[Scheme, str]:
    """A scheme and the encoding to use, from ``SHA256`` or ``SHA256.HEX``. Raises UnknownScheme."""
    base, _, encoding = name.upper().partition(".")
    scheme = SCHEMES.get(base)
    wanted = {"": None, "HEX": "hex", "B64": "base64", "BASE64": "base64"}.get(encoding, "")
    if scheme is None or wanted == "":
        raise UnknownScheme(name)
    return scheme, wanted or scheme.encoding


def same(one: str, other: str) -> bool:
    """Whether two scheme names store the same thing (PLAIN and CLEARTEXT do)."""
    first, second = find(one)[0], find(other)[0]
    return first is second or (first.family != "" and first.family == second.family)


def decode(name: str, stored: str) -> tuple[Scheme, bytes]:
    """The scheme and its octets. Raises UnknownScheme, InvalidHash."""
    scheme, encoding = find(name)
    data = stored.encode("utf-8", "surrogateescape")
    if encoding != "none" and "." not in name and scheme.size:
        # Written without its encoding, the length tells: hexadecimal digits, else base64.
        encoding = "hex" if len(data) == scheme.size * 2 else "base64"
    try:
        if encoding == "hex":
            data = binascii.unhexlify(data)
        elif encoding == "base64":
            data = base64.b64decode(data, validate=True)
    except binascii.Error:
        raise InvalidHash(f"Input isn't valid {'HEX' if encoding == 'hex' else 'base64'} encoded data") from None
    if scheme.size and len(data) != scheme.size:
        raise InvalidHash(f"Input length isn't valid ({len(data)} instead of {scheme.size})")
    return scheme, data


def verify(name: str, stored: str, password: bytes, user: str) -> bool:
    """Whether the password is the stored one. Raises SchemeError. Takes as long as the scheme means it to."""
    scheme, data = decode(name, stored)
    return scheme.check(password, data, user)


def generate(name: str, password: bytes, user: str = "", rounds: int = 0) -> str:
    """The text to store for a new password, without ``{SCHEME}``. Raises SchemeError."""
    scheme, encoding = find(name)
    data = scheme.make(password, user, rounds)
    if encoding == "hex":
        return data.hex()
    if encoding == "base64":
        return base64.b64encode(data).decode()
    return _text(data)


def credentials(name: str, stored: str, wanted: str, user: str) -> bytes:
    """What a mechanism asks for (``CRAM-MD5``, ``SCRAM-SHA-256``, ``PLAIN`` ...) from a stored password.

    A clear-text password gives any of them; another scheme only itself. Raises SchemeError.
    """
    scheme, data = decode(name, stored)
    if same(scheme.name, wanted):
        return data
    if scheme.family != "plain":
        raise InvalidHash(f"Requested {wanted} scheme, but we have only {scheme.name}")
    return find(wanted)[0].make(data, user, 0)
