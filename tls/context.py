"""The only place where an SSL context is made, for asyncio (`ssl`) and for Twisted (pyOpenSSL, see context_twisted)."""

from __future__ import annotations

import os
import ssl
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from tls.bio import BIOServerContext
from tls.errors import TLSConfigError
from tls.pem import PEM, content_of, file_of, name_of
from tls.policy import Policy, Version
from tls.verification import note_and_accept, note_and_judge

Verify = Literal["none", "fingerprint", "chain", "name"]
"""
What a client asks of the server's certificate: `none`; `chain`: an authority we trust signed it (Postfix compares
names itself, see tls.names); `name`: that and it is the server's name. `fingerprint` asks nothing of the handshake:
compare afterwards with tls.fingerprint.matches.
"""

_SESSION_CONTEXT = b"hardmail"
"""Sessions are resumed only by a server that names them so; OpenSSL demands it where clients have certificates."""
_HIDDEN_VERSIONS = (
    (Version.TLSv1, ssl.OP_NO_TLSv1, SSL.OP_NO_TLSv1),
    (Version.TLSv1_1, ssl.OP_NO_TLSv1_1, SSL.OP_NO_TLSv1_1),
    (Version.TLSv1_2, ssl.OP_NO_TLSv1_2, SSL.OP_NO_TLSv1_2),
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
    further_certificates: Sequence[tuple[PEM, PEM]] = (),
    key_password: str | None = None,
    session_tickets: bool = True,
    detailed: bool = False,
    dh_parameters: Path | None = None,
) -> ssl.SSLContext:
    """
    A context for the accepting side of asyncio. Raises TLSConfigError.

    `further_certificates` are for other key types (smtpd_tls_eccert_file, ssl_alt_cert), `dh_parameters` is a PEM file
    for finite-field Diffie-Hellman. A client certificate that is requested may be absent and may be anybody's:
    tls.description tells whether an authority of `client_ca` or `client_ca_path` signed it. One that is required must
    be signed so. `detailed` makes the key exchange known to tls.description; like a request for certificates it runs
    the connections in pyOpenSSL (tls.bio), which costs some 40 microseconds for each read and write.
    """
    pairs = [(certificate_file, key_file), *further_certificates]
    verification = request_client_certificate or require_client_certificate
    if verification or detailed:
        context: ssl.SSLContext = BIOServerContext(ssl.PROTOCOL_TLS_SERVER)
        assert isinstance(context, BIOServerContext)
        context.openssl = _openssl_context(pairs, policy, key_password, session_tickets)
        if dh_parameters is not None:
            with _config_errors(f"{dh_parameters}: no usable Diffie-Hellman parameters"):
                context.openssl.load_tmp_dh(os.fsencode(dh_parameters))
        if verification:
            _verify_clients(context.openssl, client_ca, client_ca_path, require_client_certificate)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _apply(context, policy)
    # TLS 1.2 renegotiation serves no mail protocol and lets a client make the server work (CVE-2011-1473).
    context.options |= ssl.OP_NO_RENEGOTIATION
    if policy.server_preference:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    if not session_tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    for certificate, key in pairs:
        _load_pair(context, certificate, key, key_password)
    if dh_parameters is not None:
        try:
            context.load_dh_params(str(dh_parameters))
        except (OSError, ssl.SSLError) as error:
            raise TLSConfigError(f"{dh_parameters}: no usable Diffie-Hellman parameters") from error
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


def openssl_server_context(
    certificate_file: PEM,
    key_file: PEM,
    policy: Policy,
    client_ca: PEM | None = None,
    request_client_certificate: bool = False,
    *,
    client_ca_path: Path | None = None,
    require_client_certificate: bool = False,
    further_certificates: Sequence[tuple[PEM, PEM]] = (),
    key_password: str | None = None,
    session_tickets: bool = True,
) -> SSL.Context:
    """The same as `server_context` for pyOpenSSL, always detailed. Raises TLSConfigError."""
    pairs = [(certificate_file, key_file), *further_certificates]
    context = _openssl_context(pairs, policy, key_password, session_tickets)
    if request_client_certificate or require_client_certificate:
        _verify_clients(context, client_ca, client_ca_path, require_client_certificate)
    return context


def _openssl_context(
    pairs: Sequence[tuple[PEM, PEM]], policy: Policy, key_password: str | None, session_tickets: bool
) -> SSL.Context:
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    _apply_openssl(context, policy, session_tickets)
    for certificate, key in pairs:
        _load_pair_openssl(context, certificate, key, key_password)
    return context


def _verify_clients(context: SSL.Context, authorities: PEM | None, path: Path | None, required: bool) -> None:
    if path is not None:
        context.load_verify_locations(None, os.fsencode(_existing(path)))
    if authorities is not None:
        with (
            file_of(authorities) as file,
            _config_errors(f"{name_of(authorities)}: no usable CA certificates"),
        ):
            context.load_verify_locations(file)
            context.load_client_ca(file.encode())
    # A resumed session would bring its certificate back unexamined.
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    mode = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0)
    context.set_verify(mode, note_and_judge if required else note_and_accept)


def _apply(context: ssl.SSLContext, policy: Policy, exclude: str = "") -> None:
    context.options |= ssl.OP_NO_COMPRESSION | policy.options
    with warnings.catch_warnings():
        # Python calls TLS 1.0 and 1.1 deprecated, and so are they; they are here for the weakened twin.
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion(policy.minimum)
        context.maximum_version = ssl.TLSVersion(policy.maximum)
        for version, option, _ in _HIDDEN_VERSIONS:
            if version in policy.holes:
                context.options |= option
    try:
        context.set_ciphers(policy.openssl_ciphers + exclude)
    except ssl.SSLError as error:
        raise TLSConfigError(f"no cipher matches the list {policy.openssl_ciphers!r}") from error


def _apply_openssl(context: SSL.Context, policy: Policy, session_tickets: bool) -> None:
    context.set_min_proto_version(policy.minimum)
    context.set_max_proto_version(policy.maximum)
    options = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | policy.options
    if policy.server_preference:
        options |= SSL.OP_CIPHER_SERVER_PREFERENCE
    if not session_tickets:
        options |= SSL.OP_NO_TICKET
    for version, _, option in _HIDDEN_VERSIONS:
        if version in policy.holes:
            options |= option
    context.set_options(options)
    context.set_session_id(_SESSION_CONTEXT)
    with _config_errors(f"no cipher matches the list {policy.openssl_ciphers!r}"):
        context.set_cipher_list(policy.openssl_ciphers.encode())


def _load_pair(context: ssl.SSLContext, certificate: PEM, key: PEM, password: str | None) -> None:
    with ExitStack() as stack:
        certificate_path = stack.enter_context(file_of(certificate))
        key_path = stack.enter_context(file_of(key))
        try:
            # Without a callback OpenSSL would ask a terminal for the pass phrase.
            context.load_cert_chain(certificate_path, key_path, lambda: password or "")
        except OSError as error:
            raise _pair_error(certificate, key, error) from error


def _load_pair_openssl(context: SSL.Context, certificate: PEM, key: PEM, password: str | None) -> None:
    certificates, private_key = content_of(certificate), content_of(key)
    try:
        own, *chain = x509.load_pem_x509_certificates(certificates)
        private = load_pem_private_key(private_key, password.encode() if password else None)
        context.use_certificate(own)
        for issuer in chain:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(private)  # type: ignore[arg-type]
    except (SSL.Error, ValueError, TypeError) as error:
        raise _pair_error(certificate, key, error) from error


def _pair_error(certificate: PEM, key: PEM, error: Exception) -> TLSConfigError:
    where = f"{name_of(certificate)} with key {name_of(key)}"
    if "mismatch" in str(error).lower():
        return TLSConfigError(f"{where}: the key does not belong to the certificate")
    return TLSConfigError(f"{where}: not a usable PEM certificate and key (is the key encrypted?)")


def _load_authorities(context: ssl.SSLContext, ca_file: PEM | None, ca_path: Path | None) -> None:
    if ca_path is not None:
        context.load_verify_locations(capath=_existing(ca_path))
    if ca_file is not None:
        with file_of(ca_file) as path:
            try:
                context.load_verify_locations(cafile=path)
            except OSError as error:
                raise TLSConfigError(f"{name_of(ca_file)}: no usable CA certificates") from error


def _existing(directory: Path) -> Path:
    if not directory.is_dir():
        raise TLSConfigError(f"{directory}: no such directory of CA certificates")
    return directory


@contextmanager
def _config_errors(text: str) -> Iterator[None]:
    try:
        yield
    except SSL.Error as error:
        raise TLSConfigError(text) from error
