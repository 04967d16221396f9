"""Server contexts of pyOpenSSL: for Twisted, and for what Python's ssl cannot do (see tls.bio)."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, Unpack

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL, crypto
from OpenSSL._util import lib  # the one way to SSL_CTX_set1_groups_list: pyOpenSSL has no public call for it

from tls.errors import TLSConfigError
from tls.pem import PEM, content_of, file_of, name_of
from tls.policy import Policy, Version
from tls.verification import note_and_accept, note_and_judge

SESSION_CONTEXT = b"hardmail"
"""Sessions are resumed only by a server that names them so; OpenSSL demands it where clients have certificates."""
LEAST_SESSION_SECONDS = 120
"""Shorter lives of sessions help nobody: as Postfix, smtpd_tls_session_cache_timeout."""
_HIDDEN_VERSIONS = (
    (Version.TLSv1, SSL.OP_NO_TLSv1),
    (Version.TLSv1_1, SSL.OP_NO_TLSv1_1),
    (Version.TLSv1_2, SSL.OP_NO_TLSv1_2),
)


class ServerSettings(TypedDict, total=False):
    """What a server may be told beside its certificate and its policy; what is not told is as OpenSSL has it."""

    further_certificates: Sequence[tuple[PEM, PEM]]
    """For other key types (smtpd_tls_eccert_file, ssl_alt_cert)."""
    key_password: str | None
    dh_parameters: PEM | None
    """For finite-field Diffie-Hellman."""
    session_tickets: bool
    session_seconds: int | None
    """How long a session can be resumed; 0: not at all."""
    by_name: Mapping[str, SSL.Context]
    """Other certificates for names that clients ask for (SNI): a name, or `.domain` for all names below it."""
    request_client_certificate: bool
    """It may be absent and may be anybody's: tls.description tells whether an authority of ours signed it."""
    require_client_certificate: bool
    """It must be signed by one."""
    client_ca: PEM | None
    client_ca_path: Path | None
    require_crl: bool
    """`client_ca` has a revocation list of each authority too; where none is, the authority's word is not taken."""
    verify_depth: int | None
    """How many certificates may stand above the client's."""


def openssl_server_context(
    certificate_file: PEM, key_file: PEM, policy: Policy, **settings: Unpack[ServerSettings]
) -> SSL.Context:
    """The same as context.server_context for pyOpenSSL, always detailed. Raises TLSConfigError."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    _apply(context, policy, settings.get("session_tickets", True))
    for certificate, key in [(certificate_file, key_file), *settings.get("further_certificates", ())]:
        _load_pair(context, certificate, key, settings.get("key_password"))
    if (dh := settings.get("dh_parameters")) is not None:
        with file_of(dh) as path, _config_errors(f"{name_of(dh)}: {NO_DH}"):
            context.load_tmp_dh(os.fsencode(path))
    if (seconds := settings.get("session_seconds")) is not None:
        _limit_sessions(context, seconds)
    if by_name := settings.get("by_name"):
        context.set_tlsext_servername_callback(lambda connection: _choose(connection, by_name))
    if asks_for_certificates(settings):
        _verify_clients(context, settings)
    return context


def asks_for_certificates(settings: ServerSettings) -> bool:
    """Whether clients are asked for one."""
    return bool(settings.get("request_client_certificate") or settings.get("require_client_certificate"))


NO_DH = "no usable Diffie-Hellman parameters"


def openssl_client_context(policy: Policy) -> SSL.Context:
    """A client for probes: it takes whatever certificate is shown, and may renegotiate. Raises TLSConfigError."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    _apply(context, policy, session_tickets=True, renegotiation=True)
    return context


def _apply(context: SSL.Context, policy: Policy, session_tickets: bool, *, renegotiation: bool = False) -> None:
    context.set_min_proto_version(policy.minimum)
    context.set_max_proto_version(policy.maximum)
    # TLS 1.2 renegotiation serves no mail protocol and lets a client make the server work (CVE-2011-1473).
    options = SSL.OP_NO_COMPRESSION | policy.options
    if not renegotiation:
        options |= SSL.OP_NO_RENEGOTIATION
    if policy.server_preference:
        options |= SSL.OP_CIPHER_SERVER_PREFERENCE
    if not session_tickets:
        options |= SSL.OP_NO_TICKET
    for version, option in _HIDDEN_VERSIONS:
        if version in policy.holes:
            options |= option
    context.set_options(options)
    context.set_session_id(SESSION_CONTEXT)
    with _config_errors(f"no cipher matches the list {policy.openssl_ciphers!r}"):
        context.set_cipher_list(policy.openssl_ciphers.encode())
    if policy.suites:
        with _config_errors(f"no TLS 1.3 cipher suite matches {policy.suites!r}"):
            context.set_tls13_ciphersuites(policy.suites.encode())
    _set_groups(context, policy)


def _set_groups(context: SSL.Context, policy: Policy) -> None:
    """The groups of the key exchange. Those that this OpenSSL does not know are left out where the policy says so."""
    if not policy.groups or _try_groups(context, policy.groups):
        return
    known = [group for group in policy.groups if policy.groups_as_known and _try_groups(context, [group])]
    if not (known and _try_groups(context, known)):
        raise TLSConfigError(f"no usable group for the key exchange in {':'.join(policy.groups)!r}")


def _try_groups(context: SSL.Context, groups: Sequence[str]) -> bool:
    done = lib.SSL_CTX_set1_curves_list(context._context, ":".join(groups).encode())
    if done != 1:
        lib.ERR_clear_error()
    return bool(done == 1)


def _limit_sessions(context: SSL.Context, seconds: int) -> None:
    if seconds <= 0:
        context.set_options(SSL.OP_NO_TICKET)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    else:
        context.set_timeout(max(seconds, LEAST_SESSION_SECONDS))


def _choose(connection: SSL.Connection, by_name: Mapping[str, SSL.Context]) -> None:
    """The certificates of the name that the client asks for, else those of the nearest domain above it."""
    name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
    labels = name.split(".")
    for key in (name, *("." + ".".join(labels[at:]) for at in range(1, len(labels)))):
        if (context := by_name.get(key)) is not None:
            connection.set_context(context)
            return


def _verify_clients(context: SSL.Context, settings: ServerSettings) -> None:
    authorities, required = settings.get("client_ca"), settings.get("require_client_certificate", False)
    if (path := settings.get("client_ca_path")) is not None:
        context.load_verify_locations(None, os.fsencode(existing(path)))
    if authorities is not None:
        with (
            file_of(authorities) as file,
            _config_errors(f"{name_of(authorities)}: no usable CA certificates"),
        ):
            context.load_verify_locations(file)
            context.load_client_ca(file.encode())
    # A resumed session would bring its certificate back unexamined.
    _limit_sessions(context, 0)
    mode = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if required else 0)
    context.set_verify(mode, note_and_judge if required else note_and_accept)
    if (depth := settings.get("verify_depth")) is not None:
        context.set_verify_depth(max(depth - 1, 0))  # OpenSSL does not count the authority itself
    if settings.get("require_crl"):  # each certificate of the chain is looked up in its authority's list
        store = context.get_cert_store()
        assert store is not None
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK | crypto.X509StoreFlags.CRL_CHECK_ALL)


def _load_pair(context: SSL.Context, certificate: PEM, key: PEM, password: str | None) -> None:
    certificates, private_key = content_of(certificate), content_of(key)
    try:
        own, *chain = x509.load_pem_x509_certificates(certificates)
        private = load_pem_private_key(private_key, password.encode() if password else None)
        context.use_certificate(own)
        for issuer in chain:
            context.add_extra_chain_cert(issuer)
        context.use_privatekey(private)  # type: ignore[arg-type]
    except (SSL.Error, ValueError, TypeError) as error:
        raise pair_error(certificate, key, error) from error


def pair_error(certificate: PEM, key: PEM, error: Exception) -> TLSConfigError:
    """What is wrong with a certificate and its key."""
    where = f"{name_of(certificate)} with key {name_of(key)}"
    if "mismatch" in str(error).lower():
        return TLSConfigError(f"{where}: the key does not belong to the certificate")
    return TLSConfigError(f"{where}: not a usable PEM certificate and key (is the key encrypted?)")


def existing(directory: Path) -> Path:
    """A directory of CA certificates. Raises TLSConfigError where there is none."""
    if not directory.is_dir():
        raise TLSConfigError(f"{directory}: no such directory of CA certificates")
    return directory


@contextmanager
def _config_errors(text: str) -> Iterator[None]:
    try:
        yield
    except SSL.Error as error:
        raise TLSConfigError(text) from error
