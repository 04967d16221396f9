"""The TLS context of smtpd: certificates, ciphers, groups and the life of sessions, as main.cf has them."""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from mta.ciphers import grades
from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.tables import TableError, maps_of
from tls.context import openssl_server_context, server_context
from tls.errors import TLSConfigError
from tls.policy import Policy

if TYPE_CHECKING:
    from OpenSSL import SSL

log = logging.getLogger("postfix.smtpd")


def tls_context(config: MainConfig, ask: bool, mandatory: bool) -> ssl.SSLContext | None:
    """None where there is no certificate, with a warning. `ask`: for client certificates. Raises ConfigErrors."""
    pairs = _key_pairs(config)
    if not pairs:
        log.warning("No server certs available. TLS won't be enabled")
        return None
    detailed = ask or config.bool("smtpd_tls_received_header") or config.int("smtpd_tls_loglevel") >= 1
    kind = "mandatory_" if mandatory else ""
    protocols = f"smtpd_tls_{kind}protocols"
    try:
        policy = Policy.from_postfix(
            protocols=config.str(protocols) if config.is_set(protocols) else None,
            ciphers=config.str(f"smtpd_tls_{kind}ciphers"),
            exclude_ciphers=_excluded_ciphers(config, mandatory),
            preempt_cipherlist=config.bool("tls_preempt_cipherlist"),
            grades=grades(config),
            options=config.str("tls_ssl_options"),
            groups=_groups(config, detailed),
        )
        ca_file, ca_path = config.str("smtpd_tls_CAfile"), config.str("smtpd_tls_CApath")
        return server_context(
            *pairs[0],
            policy,
            client_ca=Path(ca_file) if ca_file else None,
            request_client_certificate=ask,
            client_ca_path=Path(ca_path) if ca_path else None,
            verify_depth=config.int("smtpd_tls_ccert_verifydepth"),
            further_certificates=pairs[1:],
            dh_parameters=_dh_parameters(config),
            detailed=detailed,
            session_seconds=_session_seconds(config),
            by_name=_by_name(config, policy),
        )
    except (TLSConfigError, ValueError) as error:
        raise ConfigErrors([ConfigError(config.where("smtpd_tls_cert_file"), f"TLS: {error}")]) from None


def _groups(config: MainConfig, detailed: bool) -> tuple[str, ...]:
    """tls_eecdh_auto_curves: like Postfix 3.7 with OpenSSL 3, whatever smtpd_tls_eecdh_grade says.

    Where it is not set and Python's own ssl does the work, OpenSSL's groups, which are these and finite fields.
    """
    return tuple(config.list("tls_eecdh_auto_curves")) if detailed or config.is_set("tls_eecdh_auto_curves") else ()


def _session_seconds(config: MainConfig) -> int | None:
    """How long a session can be resumed; None: as OpenSSL has it, which is two hours."""
    if not config.str("tls_session_ticket_cipher"):
        return 0
    timeout = "smtpd_tls_session_cache_timeout"
    return int(config.seconds(timeout)) if config.is_set(timeout) else None


def _by_name(config: MainConfig, policy: Policy) -> dict[str, SSL.Context]:
    """tls_server_sni_maps, read whole while keys can be read: a change takes effect with a reload."""
    found = {}
    for table in reversed(maps_of(config, "tls_server_sni_maps").tables):
        try:
            entries = list(table.sequence())
        except TableError as error:
            raise TLSConfigError(f"tls_server_sni_maps: {error}") from None
        for name, value in entries:
            chains: list[Path | bytes] = [*_contents(value)]
            (first, *further) = [(chain, chain) for chain in chains]
            found[name.lower()] = openssl_server_context(*first, policy, further_certificates=further)
    return found


def _contents(value: str) -> list[Path] | list[bytes]:
    """The chain files that an entry names, or what `postmap -F` has put in their place."""
    names = value.replace(",", " ").split()
    if all(name.startswith("/") for name in names) and names:
        return [Path(name) for name in names]
    try:
        return [base64.b64decode(value, validate=True)]
    except binascii.Error:
        raise TLSConfigError(
            f"tls_server_sni_maps: neither files nor what postmap -F makes of them: {value[:40]!r}"
        ) from None


def _dh_parameters(config: MainConfig) -> Path | None:
    """smtpd_tls_dh1024_param_file, whatever the size in its name; `auto` and nothing mean what OpenSSL has built in."""
    name = config.str("smtpd_tls_dh1024_param_file")
    return Path(name) if name not in ("", "auto") else None


def _excluded_ciphers(config: MainConfig, mandatory: bool) -> str:
    both = [config.str("smtpd_tls_exclude_ciphers")]
    if mandatory:
        both.append(config.str("smtpd_tls_mandatory_exclude_ciphers"))
    return " ".join(filter(None, both))


def _key_pairs(config: MainConfig) -> list[tuple[Path, Path]]:
    """Certificate and key files: smtpd_tls_chain_files alone, or one pair for each kind of key."""
    if chains := config.list("smtpd_tls_chain_files"):
        return [(Path(chain), Path(chain)) for chain in chains]
    pairs = []
    for kind in ("", "ec", "d"):
        certificate = config.str(f"smtpd_tls_{kind}cert_file")
        if certificate and certificate != "none":
            pairs.append((Path(certificate), Path(config.str(f"smtpd_tls_{kind}key_file") or certificate)))
    return pairs
