"""main.cf's TLS parameters of one client service, read once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mta.ciphers import grades
from tls.policy import POSTFIX_GRADES

if TYPE_CHECKING:
    from mta.config import MainConfig

SHORTEST_SESSION: Final = 120.0
"""Postfix keeps a session for no less."""


@dataclass(frozen=True, slots=True)
class TlsDefaults:
    """main.cf's TLS parameters of one service."""

    level: str = ""
    use_tls: bool = False
    enforce_tls: bool = False
    enforce_peername: bool = True
    wrappermode: bool = False
    protocols: str | None = None
    mandatory_protocols: str | None = None
    ciphers: str = "medium"
    mandatory_ciphers: str = "medium"
    exclude: str = ""
    mandatory_exclude: str = ""
    verify_match: tuple[str, ...] = ("hostname",)
    secure_match: tuple[str, ...] = ("nexthop", "dot-nexthop")
    fingerprint_match: tuple[str, ...] = ()
    fingerprint_digest: str = "sha256"
    ca_file: str = ""
    ca_path: str = ""
    certificate_file: str = ""
    key_file: str = ""
    servername: str = ""
    append_default_ca: bool = False
    loglevel: int = 0
    trust_anchor_files: tuple[str, ...] = ()
    """smtp_tls_trust_anchor_file: the only certificates that are trusted, authorities or not."""
    note_offer: bool = False
    """smtp_tls_note_starttls_offer"""
    grades: Mapping[str, str] = field(default_factory=lambda: POSTFIX_GRADES)
    options: str = ""
    """tls_ssl_options"""
    session_seconds: float = 0.0
    """smtp_tls_session_cache_timeout where there is a smtp_tls_session_cache_database; 0: nothing is resumed."""

    @property
    def files(self) -> tuple[str, ...]:
        """Every file with a certificate or key."""
        return self.ca_file, self.certificate_file, self.key_file, *self.trust_anchor_files

    @classmethod
    def from_config(cls, config: MainConfig, prefix: str) -> TlsDefaults:
        def text(name: str) -> str:
            return config.str(f"{prefix}_{name}")

        def protocols(name: str) -> str | None:
            return text(name) if config.is_set(f"{prefix}_{name}") else None

        certificate, key = text("tls_cert_file"), text("tls_key_file")
        chain = config.list(f"{prefix}_tls_chain_files")
        eccert, eckey = text("tls_eccert_file"), text("tls_eckey_file")
        if chain:
            certificate, key = chain[-1], chain[0]
        elif not certificate and eccert:
            certificate, key = eccert, eckey
        loglevel = text("tls_loglevel")
        return cls(
            level=text("tls_security_level"),
            use_tls=config.bool(f"{prefix}_use_tls"),
            enforce_tls=config.bool(f"{prefix}_enforce_tls"),
            enforce_peername=config.bool(f"{prefix}_tls_enforce_peername"),
            wrappermode=config.bool(f"{prefix}_tls_wrappermode"),
            protocols=protocols("tls_protocols"),
            mandatory_protocols=protocols("tls_mandatory_protocols"),
            ciphers=text("tls_ciphers"),
            mandatory_ciphers=text("tls_mandatory_ciphers"),
            exclude=text("tls_exclude_ciphers"),
            mandatory_exclude=text("tls_mandatory_exclude_ciphers"),
            verify_match=words(text("tls_verify_cert_match")),
            secure_match=words(text("tls_secure_cert_match")),
            fingerprint_match=tuple(re.split(r"[\s,|]+", text("tls_fingerprint_cert_match").strip())),
            fingerprint_digest=text("tls_fingerprint_digest"),
            ca_file=text("tls_CAfile"),
            ca_path=text("tls_CApath"),
            certificate_file="" if certificate == "none" else certificate,
            key_file=key,
            servername=text("tls_servername"),
            append_default_ca=config.bool("tls_append_default_CA"),
            trust_anchor_files=words(text("tls_trust_anchor_file")),
            note_offer=config.bool(f"{prefix}_tls_note_starttls_offer"),
            loglevel=int(loglevel[0]) if loglevel[:1].isdigit() else 0,
            grades=grades(config),
            options=config.str("tls_ssl_options"),
            session_seconds=_session_seconds(config, prefix),
        )


def _session_seconds(config: MainConfig, prefix: str) -> float:
    """The name of the database switches the cache on; sessions themselves stay in memory."""
    database, seconds = (
        config.str(f"{prefix}_tls_session_cache_database"),
        config.seconds(f"{prefix}_tls_session_cache_timeout"),
    )
    return max(seconds, SHORTEST_SESSION) if database and seconds > 0 else 0.0


def words(text: str) -> tuple[str, ...]:
    """Words separated by commas or white space."""
    return tuple(word for word in re.split(r"[\s,]+", text.strip()) if word)
