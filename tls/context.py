"""SSL contexts for asyncio (`ssl`); those of pyOpenSSL, which Twisted takes, are made in tls.openssl_context."""

from __future__ import annotations

import ssl
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from OpenSSL import SSL

from tls.bio import BIOServerContext
from tls.errors import TLSConfigError
from tls.openssl_context import NO_DH, existing, openssl_server_context, pair_error
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
    certificate_file: PEM,
    key_file: PEM,
    policy: Policy,
    client_ca: PEM | None = None,
    request_client_certificate: bool = False,
    *,
    client_ca_path: Path | None = None,
    require_client_certificate: bool = False,
    require_crl: bool = False,
    verify_depth: int | None = None,
    further_certificates: Sequence[tuple[PEM, PEM]] = (),
    key_password: str | None = None,
    session_tickets: bool = True,
    session_seconds: int | None = None,
    detailed: bool = False,
    dh_parameters: PEM | None = None,
    by_name: Mapping[str, SSL.Context] | None = None,
) -> ssl.SSLContext:
    """
    A context for the accepting side of asyncio. Raises TLSConfigError.

    `further_certificates` are for other key types (smtpd_tls_eccert_file, ssl_alt_cert), `dh_parameters` is PEM for
    finite-field Diffie-Hellman. A client certificate that is requested may be absent and may be anybody's:
    tls.description tells whether an authority of `client_ca` or `client_ca_path` signed it. One that is required must
    be signed so. `detailed` makes the key exchange known to tls.description; like everything that Python's ssl cannot
    do (requests for certificates, groups, TLS 1.3 suites, the life of sessions, certificates by name; their meaning is
    told in openssl_server_context) it runs the connections in pyOpenSSL (tls.bio), which costs some 40 microseconds
    for each read and write.
    """
    verification = request_client_certificate or require_client_certificate
    if detailed or verification or policy.groups or policy.suites or session_seconds is not None or by_name:
        context: ssl.SSLContext = BIOServerContext(ssl.PROTOCOL_TLS_SERVER)
        assert isinstance(context, BIOServerContext)
        context.openssl = openssl_server_context(
            certificate_file,
            key_file,
            policy,
            client_ca,
            request_client_certificate,
            client_ca_path=client_ca_path,
            require_client_certificate=require_client_certificate,
            require_crl=require_crl,
            verify_depth=verify_depth,
            further_certificates=further_certificates,
            key_password=key_password,
            session_tickets=session_tickets,
            session_seconds=session_seconds,
            dh_parameters=dh_parameters,
            by_name=by_name,
        )
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _apply(context, policy)
    # TLS 1.2 renegotiation serves no mail protocol and lets a client make the server work (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION
    if policy.server_preference:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not session_tickets or session_seconds == 0:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    for certificate, key in [(certificate_file, key_file), *further_certificates]:
        _load_pair(context, certificate, key, key_password)
    if dh_parameters is not None:
        with file_of(dh_parameters) as path:
            try:
                context.load_dh_params(path)
            except (OSError, ssl.SSLError) as error:
                raise TLSConfigError(f"{name_of(dh_parameters)}: {NO_DH}") from error
    if verification:
        _load_authorities(context, client_ca, client_ca_path)
        context.verify_mode = ssl.CERT_REQUIRED if require_client_certificate else ssl.CERT_OPTIONAL
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
