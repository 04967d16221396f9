"""SSL contexts for asyncio (`ssl`); those of pyOpenSSL, which Twisted takes, are made in tls.openssl_context."""

from __future__ import annotations

import ssl
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import Literal, Unpack

from tls.bio import BIOServerContext
from tls.errors import TLSConfigError
from tls.openssl_context import (
    NO_DH,
    ServerSettings,
    asks_for_certificates,
    existing,
    openssl_server_context,
    pair_error,
)
from tls.pem import PEM, file_of, name_of
from tls.policy import Policy, Version

__all__ = ["Verify", "client_context", "openssl_server_context", "server_context"]

Verify = Literal["none", "fingerprint", "chain", "name"]
"""
What a client asks of the server's certificate: `none`; `chain`: an authority we trust signed it (Postfix compares
names itself, see tls.names); `name`: that and it is the server's name. `fingerprint` asks nothing of the handshake:
compare afterwards with tls.fingerprint.matches.
"""

_HIDDEN_VERSIONS = (
    (Version.TLSv1, ssl.OP_NO_TLSv1),
    (Version.TLSv1_1, ssl.OP_NO_TLSv1_1),
    (Version.TLSv1_2, ssl.OP_NO_TLSv1_2),
)


def server_context(
    certificate_file: PEM, key_file: PEM, policy: Policy, *, detailed: bool = False, **settings: Unpack[ServerSettings]
) -> ssl.SSLContext:
    """
    A context for the accepting side of asyncio. Raises TLSConfigError.

    `detailed` makes the key exchange known to tls.description. Like everything that Python's ssl cannot do (requests
    for certificates, groups, TLS 1.3 suites, the life of sessions, certificates by name) it runs the connections in
    pyOpenSSL (tls.bio), which costs some 40 microseconds for each read and write.
    """
    seconds, dh = settings.get("session_seconds"), settings.get("dh_parameters")
    verification = asks_for_certificates(settings)
    if detailed or verification or policy.groups or policy.suites or seconds is not None or settings.get("by_name"):
        context: ssl.SSLContext = BIOServerContext(ssl.PROTOCOL_TLS_SERVER)
        assert isinstance(context, BIOServerContext)
        context.openssl = openssl_server_context(certificate_file, key_file, policy, **settings)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _apply(context, policy)
    # TLS 1.2 renegotiation serves no mail protocol and lets a client make the server work (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION
    if policy.server_preference:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not settings.get("session_tickets", True) or seconds == 0:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    else:
        context.num_tickets = 1  # as Postfix: a mail client keeps no second one
    for certificate, key in [(certificate_file, key_file), *settings.get("further_certificates", ())]:
        _load_pair(context, certificate, key, settings.get("key_password"))
    if dh is not None:
        with file_of(dh) as path:
            try:
                context.load_dh_params(path)
            except (OSError, ssl.SSLError) as error:
                raise TLSConfigError(f"{name_of(dh)}: {NO_DH}") from error
    if verification:
        _load_authorities(context, settings.get("client_ca"), settings.get("client_ca_path"))
        required = settings.get("require_client_certificate")
        context.verify_mode = ssl.CERT_REQUIRED if required else ssl.CERT_OPTIONAL
    return context


def client_context(
    policy: Policy,
    ca_file: PEM | None = None,
    ca_path: Path | None = None,
    verify: Verify = "name",
    certificate_file: PEM | None = None,
    key_file: PEM | None = None,
    *,
    system_authorities: bool = False,
    key_password: str | None = None,
) -> ssl.SSLContext:
    """
    A context for the connecting side of asyncio. Raises TLSConfigError.

    Without `ca_file`, `ca_path` and `system_authorities` (tls_append_default_CA) nobody is trusted, as in Postfix.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = verify == "name"
    context.verify_mode = ssl.CERT_REQUIRED if verify in ("chain", "name") else ssl.CERT_NONE
    # A peer that may stay anonymous cannot be verified.
    _apply(context, policy, "" if context.verify_mode == ssl.CERT_NONE else ":!aNULL")
    _load_authorities(context, ca_file, ca_path)
    if system_authorities:
        context.set_default_verify_paths()
    if certificate_file is not None:
        _load_pair(context, certificate_file, key_file or certificate_file, key_password)
    return context


def _apply(context: ssl.SSLContext, policy: Policy, exclude: str = "") -> None:
    context.options |= ssl.OP_NO_COMPRESSION | policy.options
    with warnings.catch_warnings():
        # Python calls TLS 1.0 and 1.1 deprecated, and so are they; they are here for the weakened twin.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion(policy.minimum)
        context.maximum_version = ssl.TLSVersion(policy.maximum)
        for version, option in _HIDDEN_VERSIONS:
            if version in policy.holes:
                context.options |= option
    try:
        context.set_ciphers(policy.openssl_ciphers + exclude)
    except ssl.SSLError as error:
        raise TLSConfigError(f"no cipher matches the list {policy.openssl_ciphers!r}") from error


def _load_pair(context: ssl.SSLContext, certificate: PEM, key: PEM, password: str | None) -> None:
    with ExitStack() as stack:
        certificate_path = stack.enter_context(file_of(certificate))
        key_path = stack.enter_context(file_of(key))
        try:
            # Without a callback OpenSSL would ask a terminal for the pass phrase.
            context.load_cert_chain(certificate_path, key_path, lambda: password or "")
        except OSError as error:
            raise pair_error(certificate, key, error) from error


def _load_authorities(context: ssl.SSLContext, ca_file: PEM | None, ca_path: Path | None) -> None:
    if ca_path is not None:
        context.load_verify_locations(capath=existing(ca_path))
    if ca_file is not None:
        with file_of(ca_file) as path:
            try:
                context.load_verify_locations(cafile=path)
            except OSError as error:
                raise TLSConfigError(f"{name_of(ca_file)}: no usable CA certificates") from error
