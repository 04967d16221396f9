"""Which password goes to whom, and by which mechanism (smtp_sasl_password_maps, smtp_sasl_security_options)."""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mta.delivery.smtp.tlspolicy import Maps

if TYPE_CHECKING:
    from mta.config import MainConfig

MAX_CREDENTIAL: Final = 4096
"""Characters of a password table's value; a token is the longest that is real."""
MAX_STEPS: Final = 100
"""Challenges in one log-in before it counts as a loop (smtp_sasl_glue)."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]*={0,2}\Z")


class CredentialError(ValueError):
    """The password table's value cannot be used. Its text never holds the value."""


class ChallengeError(ValueError):
    """The server's challenge cannot be answered."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """User name and password; neither shows up in a repr."""

    username: str = field(repr=False)
    password: str = field(repr=False)

    @classmethod
    def parse(cls, value: str) -> Credentials:
        """`user:password`, the password may hold colons (sasl_passwd). Raises CredentialError."""
        if len(value) > MAX_CREDENTIAL:
            raise CredentialError("credentials are too long")
        username, _, password = value.partition(":")
        if any(char in value for char in "\0\r\n"):
            raise CredentialError("credentials hold a control character")
        if not username:
            raise CredentialError("no user name")
        return cls(username, password)


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A client mechanism: what it protects, and its answers."""

    name: str
    plaintext: bool
    """The password can be read by whoever reads the connection."""
    dictionary: bool
    """Whoever reads the connection can try passwords at leisure."""
    initial: Callable[[Credentials], bytes] | None
    answer: Callable[[Credentials, bytes, int], bytes]
    """Credentials, challenge, its number from 0."""


def _plain(credentials: Credentials) -> bytes:
    return b"\0".join((b"", credentials.username.encode(), credentials.password.encode()))


def _login(credentials: Credentials, challenge: bytes, number: int) -> bytes:
    # Servers word their prompts as they like: the order is what counts.
    if number > 1:
        raise ChallengeError("LOGIN has two prompts")
    return (credentials.username, credentials.password)[number].encode()


def _cram_md5(credentials: Credentials, challenge: bytes, number: int) -> bytes:
    if number > 0:
        raise ChallengeError("CRAM-MD5 has one challenge")
    digest = hmac.new(credentials.password.encode(), challenge, "md5").hexdigest()
    return f"{credentials.username} {digest}".encode()


def _plain_late(credentials: Credentials, challenge: bytes, number: int) -> bytes:
    if number > 0 or challenge:
        raise ChallengeError("PLAIN has one empty challenge")
    return _plain(credentials)


MECHANISMS: Final = (
    Mechanism("CRAM-MD5", plaintext=False, dictionary=True, initial=None, answer=_cram_md5),
    Mechanism("PLAIN", plaintext=True, dictionary=True, initial=_plain, answer=_plain_late),
    Mechanism("LOGIN", plaintext=True, dictionary=True, initial=None, answer=_login),
)
"""In order of preference."""


def choose(offered: Iterable[str], options: Iterable[str]) -> Mechanism | None:
    """The best mechanism that the server offers and the security options (postconf(5)) allow."""
    wanted = {option.lower() for option in options}
    names = {name.upper() for name in offered}
    for mechanism in MECHANISMS:
        if mechanism.name not in names or "mutual_auth" in wanted:
            continue
        if mechanism.plaintext and "noplaintext" in wanted:
            continue
        if mechanism.dictionary and "nodictionary" in wanted:
            continue
        return mechanism
    return None


def decode_challenge(text: str) -> bytes:
    """The base64 of a 334 line. Raises ChallengeError."""
    stripped = text.strip()
    if len(stripped) > MAX_CREDENTIAL * 2 or not _BASE64.match(stripped) or len(stripped) % 4:
        raise ChallengeError("malformed challenge")
    return base64.b64decode(stripped, validate=True)


def encode(octets: bytes) -> bytes:
    return base64.b64encode(octets)


@dataclass(frozen=True, slots=True)
class SaslSettings:
    """smtp_sasl_* of one service."""

    enabled: bool = False
    sender_dependent: bool = False
    options: tuple[str, ...] = ("noplaintext", "noanonymous")
    tls_options: tuple[str, ...] = ("noplaintext", "noanonymous")
    verified_options: tuple[str, ...] = ("noplaintext", "noanonymous")
    mechanism_filter: tuple[str, ...] = ()
    soft_bounce: bool = True

    @classmethod
    def from_config(cls, config: MainConfig, prefix: str) -> SaslSettings:
        return cls(
            enabled=config.bool(f"{prefix}_sasl_auth_enable"),
            sender_dependent=prefix == "smtp" and config.bool("smtp_sender_dependent_authentication"),
            options=tuple(config.list(f"{prefix}_sasl_security_options")),
            tls_options=tuple(config.list(f"{prefix}_sasl_tls_security_options")),
            verified_options=tuple(config.list(f"{prefix}_sasl_tls_verified_security_options")),
            mechanism_filter=tuple(config.list(f"{prefix}_sasl_mechanism_filter")),
            soft_bounce=config.bool(f"{prefix}_sasl_auth_soft_bounce"),
        )

    def options_for(self, tls: bool, verified: bool) -> tuple[str, ...]:
        """Which security options rule on a connection of this kind."""
        if not tls:
            return self.options
        return self.verified_options if verified else self.tls_options

    def filtered(self, mechanisms: Iterable[str]) -> list[str]:
        """Those that smtp_sasl_mechanism_filter lets through: names in order, `!name` excludes, first match wins."""
        return [name for name in mechanisms if self._passes(name.upper())]

    def _passes(self, name: str) -> bool:
        if not self.mechanism_filter:
            return True
        for pattern in self.mechanism_filter:
            bare = pattern.lstrip("!").strip().upper()
            if bare in (name, "STATIC:ALL"):
                return not pattern.startswith("!")
        return False


async def find_credentials(maps: Maps, keys: Sequence[str]) -> Credentials | None:
    """The first entry of the password maps. Raises CredentialError, and what the tables raise."""
    for key in keys:
        value = await maps.lookup(key)
        if value is not None:
            return Credentials.parse(value)
    return None
