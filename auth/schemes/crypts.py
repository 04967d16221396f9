"""crypt(3) hashes: the system's libcrypt where there is one, else passlib; bcrypt and Argon2 by their own libraries.

libcrypt is called through ctypes, which lets go of the interpreter lock: SHA512-CRYPT then runs in a thread at the
speed of Dovecot's own, while passlib's Python needs twice the time and blocks every other thread.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hmac
import re
import secrets
from collections.abc import Callable
from types import ModuleType

import bcrypt
import nacl.exceptions
import nacl.pwhash
from passlib import hash as hashes

from .errors import InvalidHash

_DATA = 1 << 18
"""Octets of libcrypt's ``struct crypt_data``: 32 KiB in libxcrypt, 128 KiB in old glibc, with room to spare."""

BCRYPT_MAX = 72
"""Octets of a password that bcrypt looks at; crypt(3) drops the rest without a word."""

ARGON2_ROUNDS_MIN = 3
"""Time cost of a new Argon2 hash at least."""

_SALT = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def _library() -> Callable[[bytes, bytes], bytes | None] | None:
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        function = ctypes.CDLL(name).crypt_r
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_char_p
    function.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]

    def crypt(password: bytes, setting: bytes) -> bytes | None:
        data = ctypes.create_string_buffer(_DATA)
        result: bytes | None = function(password, setting, data)
        ctypes.memset(data, 0, _DATA)  # it holds copies of the password
        return None if result is None or result.startswith(b"*") else result

    return crypt


system_crypt = _library()
"""The system's crypt(3), reentrant and without the interpreter lock; None where the library is missing."""

_PASSLIB = {
    "$1$": hashes.md5_crypt,
    "$5$": hashes.sha256_crypt,
    "$6$": hashes.sha512_crypt,
}


_DES = hashes.des_crypt


def verify_crypt(password: bytes, stored: str) -> bool:
    """Whether the password fits a crypt(3) hash. Raises InvalidHash when the hash is of no known kind."""
    if not stored or b"\0" in password:
        return False
    if stored.startswith("$2"):
        return _verify_bcrypt(password, stored)
    if system_crypt is not None:
        result = system_crypt(password, stored.encode())
        if result is None:
            raise InvalidHash("not a crypt(3) hash")
        return hmac.compare_digest(result, stored.encode())
    handler = _PASSLIB.get(stored[:3], _DES)
    try:
        return bool(handler.verify(password, stored))
    except ValueError:
        raise InvalidHash("not a crypt(3) hash") from None


def _verify_bcrypt(password: bytes, stored: str) -> bool:
    try:
        return bcrypt.checkpw(password[:BCRYPT_MAX], stored.encode())
    except ValueError:
        raise InvalidHash("not a bcrypt hash") from None


def verify_argon2(password: bytes, stored: str) -> bool:
    """Whether the password fits an Argon2 hash in its standard text form; libsodium's code, as in Dovecot."""
    try:
        return nacl.pwhash.verify(stored.encode(), password)
    except nacl.exceptions.InvalidkeyError:
        return False
    except (nacl.exceptions.CryptoError, ValueError) as error:
        raise InvalidHash(f"not an Argon2 hash: {error}") from None


def _salt(length: int) -> str:
    return "".join(secrets.choice(_SALT) for _ in range(length))


def make_crypt(prefix: str, salt_length: int, minimum: int, maximum: int) -> Callable[[bytes, int], str]:
    """A maker of ``$5$``/``$6$`` hashes; ``rounds`` 0 means crypt(3)'s 5000, others
    are brought between ``minimum`` and ``maximum`` as crypt(3) does."""

    def make(password: bytes, rounds: int) -> str:
        handler = _PASSLIB[prefix]
        if prefix == "$1$":
            return str(handler.using(salt=_salt(salt_length)).hash(password))
        return str(
            handler.using(salt=_salt(salt_length), rounds=min(max(rounds, minimum), maximum) if rounds else 5000).hash(
                password
            )
        )

    return make


def make_des(password: bytes, rounds: int) -> str:
    """A traditional DES hash; ``rounds`` has no meaning for it. Only the first 8 octets of the password count."""
    return str(_DES.hash(password))


def make_bcrypt(password: bytes, rounds: int) -> str:
    """A ``$2y$`` hash; ``rounds`` is the base-2 logarithm of the work, 5 unless given, brought between 4 and 31."""
    made = bcrypt.hashpw(password[:BCRYPT_MAX], bcrypt.gensalt(min(max(rounds or 5, 4), 31)))
    return re.sub(r"^\$2b\$", "$2y$", made.decode())


def make_argon2(library: ModuleType) -> Callable[[bytes, int], str]:
    """A maker of Argon2 hashes with libsodium's limits; ``rounds`` is the time cost, and the more of them the more
    memory, as Dovecot has it."""
    degrees = (
        (library.OPSLIMIT_SENSITIVE, library.MEMLIMIT_SENSITIVE),
        (library.OPSLIMIT_MODERATE, library.MEMLIMIT_MODERATE),
    )

    def make(password: bytes, rounds: int) -> str:
        rounds = rounds or library.OPSLIMIT_INTERACTIVE
        memory = next((memory for least, memory in degrees if rounds >= least), library.MEMLIMIT_INTERACTIVE)
        try:
            made: bytes = library.str(password, opslimit=max(rounds, ARGON2_ROUNDS_MIN), memlimit=memory)
        except (nacl.exceptions.CryptoError, ValueError) as error:
            raise InvalidHash(str(error)) from None
        return made.rstrip(b"\0").decode()

    return make
