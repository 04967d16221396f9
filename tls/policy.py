"""Which protocol versions and ciphers a side speaks, read from Postfix's and Dovecot's own parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType

from tls.errors import TLSConfigError


class Version(IntEnum):
    """Protocol versions by their number on the wire (RFC 8446 section 4.1.2)."""

    SSLv3 = 0x0300
    TLSv1 = 0x0301
    TLSv1_1 = 0x0302
    TLSv1_2 = 0x0303
    TLSv1_3 = 0x0304

    @property
    def label(self) -> str:
        """As OpenSSL, Postfix and Dovecot write it: `TLSv1.2`."""
        return self.name.replace("_", ".")


FLOOR = Version.TLSv1_2
"""RFC 8996: nothing below TLS 1.2, unless the configuration names a lower version itself."""

_NAMES = {version.label.lower(): version for version in Version} | {"tlsv1.0": Version.TLSv1}
_NEVER = frozenset({"sslv2"})
"""May be excluded (it always is) but not asked for: no OpenSSL speaks it any more."""
_HEXADECIMAL = re.compile(r"(?:0x)?0?([0-9a-f]{3})", re.ASCII)

POSTFIX_GRADES: Mapping[str, str] = MappingProxyType(
    {
        "export": "aNULL:-aNULL:HIGH:MEDIUM:LOW:EXPORT:+RC4:@STRENGTH",
        "low": "aNULL:-aNULL:HIGH:MEDIUM:LOW:+RC4:@STRENGTH",
        "medium": "aNULL:-aNULL:HIGH:MEDIUM:+RC4:@STRENGTH",
        "high": "aNULL:-aNULL:HIGH:@STRENGTH",
        "null": "eNULL:!aNULL",
    }
)
"""tls_export_cipherlist and its siblings, Postfix 3.7."""

DOVECOT_CIPHERS = "ALL:!kRSA:!SRP:!kDHd:!DSS:!aNULL:!eNULL:!EXPORT:!DES:!3DES:!MD5:!PSK:!RC4:!ADH:!LOW@STRENGTH"
"""The default of ssl_cipher_list, Dovecot 2.3."""
MODERN_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AESCCM:!aNULL:!eNULL"
"""Forward secret and authenticated: for sides that no configuration file describes."""

_OPTIONS: Mapping[str, int] = MappingProxyType(
    {
        "LEGACY_SERVER_CONNECT": 1 << 2,
        "TLSEXT_PADDING": 1 << 4,
        "NO_TICKET": 1 << 14,
        "NO_COMPRESSION": 1 << 17,
        "NO_ENCRYPT_THEN_MAC": 1 << 19,
        "ENABLE_MIDDLEBOX_COMPAT": 1 << 20,
        "PRIORITIZE_CHACHA": 1 << 21,
        "NO_RENEGOTIATION": 1 << 30,
    }
)
"""openssl/ssl.h; tls_ssl_options of postconf(5)."""
_BITS = re.compile(r"0x[0-9a-f]{1,8}", re.ASCII)

_SAFE_ELEMENT = re.compile(r"[A-Za-z0-9_+.-]+", re.ASCII)
"""One element of *_tls_exclude_ciphers; a colon, `!` or `@` would rewrite the cipher list."""


@dataclass(frozen=True)
class Policy:
    """What may be negotiated. An empty set of versions or ciphers cannot be made."""

    versions: frozenset[Version] = frozenset({Version.TLSv1_2, Version.TLSv1_3})
    ciphers: str = MODERN_CIPHERS
    """OpenSSL cipher list for TLS 1.2 and below; TLS 1.3 has its own fixed suites."""
    server_preference: bool = False
    """The server's order of ciphers counts, not the client's."""
    options: int = 0
    """Further options of OpenSSL, SSL_OP_ bits."""
    suites: str = ""
    """TLS 1.3 cipher suites; empty: OpenSSL's own. Servers only."""
    groups: tuple[str, ...] = ()
    """Groups (curves) of the key exchange, best first; none: OpenSSL's own. Servers only."""
    groups_as_known: bool = False
    """Groups that this OpenSSL does not know are left out, instead of being an error."""

    def __post_init__(self) -> None:
        if not self.versions:
            raise TLSConfigError("no TLS protocol version is left: every one is excluded")
        if not self.ciphers.strip():
            raise TLSConfigError("the cipher list is empty")

    @property
    def minimum(self) -> Version:
        return min(self.versions)

    @property
    def maximum(self) -> Version:
        return max(self.versions)

    @property
    def holes(self) -> frozenset[Version]:
        """Versions inside the range that are excluded."""
        return frozenset(v for v in Version if self.minimum < v < self.maximum) - self.versions

    @property
    def openssl_ciphers(self) -> str:
        """
        `ciphers`, made to work for the lowest version.

        OpenSSL 3 allows TLS 1.0 and 1.1 (they sign with SHA-1) only at security level 0, so a configuration that
        names them gets that level; one that gives a level itself keeps its own.
        """
        if self.minimum >= FLOOR or "@SECLEVEL" in self.ciphers.upper():
            return self.ciphers
        return f"{self.ciphers}:@SECLEVEL=0"

    @classmethod
    def from_postfix(
        cls,
        protocols: str | None = None,
        ciphers: str = "medium",
        exclude_ciphers: str = "",
        *,
        preempt_cipherlist: bool = False,
        grades: Mapping[str, str] = POSTFIX_GRADES,
        options: str = "",
        groups: tuple[str, ...] = (),
    ) -> Policy:
        """
        From `smtpd_tls_protocols`, `smtpd_tls_ciphers`, `smtpd_tls_exclude_ciphers` or the smtp_/mandatory_ forms.

        `protocols` is None where main.cf does not set it; `exclude_ciphers` is the value of all the exclude parameters
        that apply, `preempt_cipherlist` tls_preempt_cipherlist, `grades` the tls_*_cipherlist values, `options`
        tls_ssl_options, `groups` what smtpd_tls_eecdh_grade stands for. Versions below TLS 1.2 need to be named
        (`>=TLSv1`, `TLSv1.1`): a list of exclusions such as `!SSLv2, !SSLv3` was written when nothing else could be
        said and lowers nothing. Raises TLSConfigError.
        Source: postconf(5).
        """
        return cls(
            _postfix_versions(protocols),
            _postfix_ciphers(ciphers, exclude_ciphers, grades),
            preempt_cipherlist,
            _postfix_options(options),
            groups=groups,
            groups_as_known=True,
        )

    @classmethod
    def from_dovecot(
        cls,
        ssl_min_protocol: str = "TLSv1.2",
        ssl_cipher_list: str = DOVECOT_CIPHERS,
        *,
        ssl_prefer_server_ciphers: bool = False,
        ssl_cipher_suites: str = "",
        ssl_curve_list: str = "",
    ) -> Policy:
        """From the settings of the same names; `ANY` and `LATEST` as doc/wiki/SSL has them. Raises TLSConfigError."""
        word = ssl_min_protocol.strip().lower()
        special = {"any": Version.TLSv1, "latest": Version.TLSv1_3}
        minimum = special.get(word) or _NAMES.get(word)
        if minimum is None:
            raise TLSConfigError(f"ssl_min_protocol: unknown protocol {ssl_min_protocol!r}")
        return cls(
            _range(minimum, Version.TLSv1_3),
            ssl_cipher_list,
            ssl_prefer_server_ciphers,
            suites=ssl_cipher_suites,
            groups=tuple(filter(None, ssl_curve_list.split(":"))),
        )


ANYTHING = Policy(frozenset(Version), "ALL:COMPLEMENTOFALL:@SECLEVEL=0", options=_OPTIONS["LEGACY_SERVER_CONNECT"])
"""Whatever OpenSSL can still speak, for a probe that wants to know what the other side would agree to."""


def _range(minimum: Version, maximum: Version) -> frozenset[Version]:
    # SSL 3.0 stays out whatever is asked for: neither OpenSSL speaks it.
    return frozenset(v for v in Version if max(minimum, Version.TLSv1) <= v <= maximum)


def _postfix_versions(protocols: str | None) -> frozenset[Version]:
    """The versions that a Postfix protocol list leaves; see postconf(5) smtpd_tls_mandatory_protocols."""
    minimum, maximum = FLOOR, Version.TLSv1_3
    included: set[Version] = set()
    excluded: set[Version] = set()
    for word in re.split(r"[\s,:]+", (protocols or "").strip()):
        if word.startswith(">="):
            minimum = _bound(word[2:])
        elif word.startswith("<="):
            maximum = _bound(word[2:])
        elif word.startswith("!"):
            if word[1:].lower() not in _NEVER:
                excluded.add(_named(word[1:]))
        elif word:
            included.add(_named(word))
    return frozenset((included or _range(minimum, maximum)) - excluded - {Version.SSLv3})


def _named(word: str) -> Version:
    version = _NAMES.get(word.lower())
    if version is None:
        raise TLSConfigError(f"unknown TLS protocol {word!r}")
    return version


def _bound(word: str) -> Version:
    """A protocol name or a hexadecimal number; one above TLS 1.3 means the newest there is."""
    if (number := _HEXADECIMAL.fullmatch(word.lower())) is None:
        return _named(word)
    value = int(number[1], 16)
    if value < Version.SSLv3:
        raise TLSConfigError(f"unknown TLS protocol {word!r}")
    return Version(min(value, Version.TLSv1_3))


def _postfix_options(text: str) -> int:
    """tls_ssl_options: names of OpenSSL's options without SSL_OP_, and bits in hexadecimal."""
    bits = 0
    for word in re.split(r"[\s,]+", text.strip()):
        if _BITS.fullmatch(word.lower()):
            bits |= int(word, 16)
        elif word.upper() in _OPTIONS:
            bits |= _OPTIONS[word.upper()]
        elif word:
            raise TLSConfigError(f"unknown TLS library option {word!r}")
    return bits


def _postfix_ciphers(grade: str, exclude: str, grades: Mapping[str, str]) -> str:
    base = grades.get(grade.strip().lower())
    if base is None:
        raise TLSConfigError(f"unknown cipher grade {grade!r}: one of {', '.join(grades)}")
    return ":".join([base, *(f"!{element}" for element in _excluded(exclude))])


def _excluded(exclude: str) -> Iterable[str]:
    for element in re.split(r"[\s,:]+", exclude.strip()):
        if element and not _SAFE_ELEMENT.fullmatch(element):
            raise TLSConfigError(f"invalid element {element!r} in the list of excluded ciphers")
        if element:
            yield element
