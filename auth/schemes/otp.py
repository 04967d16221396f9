"""One-time passwords (RFC 2289): a chain of hashes; the server keeps the last, the client sends the one before."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass

from . import digests
from .errors import InvalidHash
from .otp_words import WORDS

OCTETS = 8
"""Octets of a one-time password, whatever the hash."""

SEQUENCE = 1024
"""Passwords in a new chain, Dovecot's default."""

SEQUENCE_MAX = 10_000
"""Longest chain that a client may begin: what it costs to make, the server spends when it checks a passphrase."""

ALGORITHMS = ("md4", "md5", "sha1")
_NUMBERS = {word: number for number, word in enumerate(WORDS)}
_STORED = re.compile(r"(md4|md5|sha1) ([0-9]{1,5}) ([0-9a-z]{1,16}) ([0-9a-f]{16})\Z")
_NEW = re.compile(r"[ \t]*(md4|md5|sha1)[ \t]+([0-9]{1,5})[ \t]+([0-9A-Za-z]{1,16})[ \t]*\Z")


@dataclass(frozen=True, slots=True)
class Chain:
    """What is kept of a user: the hash of the last password used, and which one that was."""

    algorithm: str
    sequence: int
    seed: str
    last: bytes

    def text(self) -> str:
        """As it is stored."""
        return f"{self.algorithm} {self.sequence} {self.seed} {self.last.hex()}"

    def takes(self, password: bytes) -> bool:
        """Whether this is the password before the last one."""
        return hmac.compare_digest(fold(self.algorithm, password), self.last)

    def __repr__(self) -> str:
        return f"Chain({self.algorithm}, {self.sequence})"


def parse(stored: str) -> Chain:
    """Read a stored chain. Raises InvalidHash."""
    match = _STORED.match(stored)
    if not match:
        raise InvalidHash("not an OTP chain")
    return Chain(match[1], int(match[2]), match[3], bytes.fromhex(match[4]))


def parse_new(parameters: str, password: bytes) -> Chain:
    """The chain a client wants to begin: ``md5 499 seed`` and its first password (RFC 2243). Raises InvalidHash."""
    match = _NEW.match(parameters)
    if not match or not 1 < int(match[2]) <= SEQUENCE_MAX:
        raise InvalidHash("no parameters of a chain")
    return Chain(match[1], int(match[2]), match[3].lower(), password)


def fold(algorithm: str, data: bytes) -> bytes:
    """One step of a chain: the hash, folded to 64 bits (RFC 2289 appendix A)."""
    words = digests.digest(algorithm, data)
    if algorithm != "sha1":
        return bytes(a ^ b for a, b in zip(words[:OCTETS], words[OCTETS:], strict=True))
    a, b, c, d, e = (int.from_bytes(words[start : start + 4], "big") for start in range(0, 20, 4))
    return (a ^ c ^ e).to_bytes(4, "little") + (b ^ d).to_bytes(4, "little")


def make(passphrase: bytes, algorithm: str, sequence: int, seed: str) -> bytes:
    """The password number ``sequence`` of a passphrase."""
    data = seed.lower().encode() + passphrase
    for _ in range(sequence + 1):
        data = fold(algorithm, data)
    return data


def words(password: bytes) -> str:
    """A password in six words, the last one with two bits of parity (RFC 2289 section 6)."""
    value = int.from_bytes(password) << 2 | _parity(password)
    return " ".join(WORDS[value >> shift & 0x7FF] for shift in range(55, -1, -11))


def from_words(text: str) -> bytes:
    """A password from its six words. Raises InvalidHash."""
    numbers = [_NUMBERS.get(word, -1) for word in text.upper().split()]
    if len(numbers) != 6 or -1 in numbers:
        raise InvalidHash("not six words of the dictionary")
    value = 0
    for number in numbers:
        value = value << 11 | number
    password = (value >> 2).to_bytes(OCTETS)
    if value & 3 != _parity(password):
        raise InvalidHash("wrong parity")
    return password


def from_hex(text: str) -> bytes:
    """A password from its 16 hexadecimal digits, spaces anywhere. Raises InvalidHash."""
    digits = "".join(text.split())
    if not re.fullmatch("[0-9A-Fa-f]{16}", digits):
        raise InvalidHash("not 16 hexadecimal digits")
    return bytes.fromhex(digits)


def _parity(password: bytes) -> int:
    value = int.from_bytes(password)
    return sum(value >> shift & 3 for shift in range(0, 64, 2)) & 3


def generate(passphrase: bytes) -> str:
    """A new chain to store."""
    seed = secrets.token_hex(8)
    return Chain("sha1", SEQUENCE, seed, make(passphrase, "sha1", SEQUENCE, seed)).text()


def verify(passphrase: bytes, stored: str) -> bool:
    """Whether a stored chain was made of the passphrase."""
    chain = parse(stored)
    if chain.sequence > SEQUENCE_MAX:
        raise InvalidHash("the chain is too long")
    return hmac.compare_digest(make(passphrase, chain.algorithm, chain.sequence, chain.seed), chain.last)
