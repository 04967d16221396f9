"""TLS at IMAP, POP3 and LMTP as dovecot.conf has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tls.policy import Policy

if TYPE_CHECKING:
    from auth.dovecotconf import View


def server_settings(view: View) -> dict[str, Any] | None:
    """Arguments for tls.context.server_context and its like; None where there is no certificate.

    Raises TLSConfigError, OSError.
    """
    certificate, key = view.path("ssl_cert"), view.path("ssl_key")
    if view.str("ssl") == "no" or certificate is None or key is None:
        return None
    other, other_key = view.path("ssl_alt_cert"), view.path("ssl_alt_key")
    return {
        "certificate_file": str(certificate),
        "key_file": str(key),
        "key_password": view.str("ssl_key_password") or None,
        "further_certificates": [(str(other), str(other_key))] if other and other_key else [],
        "policy": Policy.from_dovecot(
            ssl_min_protocol=view.str("ssl_min_protocol"),
            ssl_cipher_list=view.str("ssl_cipher_list"),
            ssl_prefer_server_ciphers=view.bool("ssl_prefer_server_ciphers"),
            ssl_cipher_suites=view.str("ssl_cipher_suites"),
            ssl_curve_list=view.str("ssl_curve_list"),
        ),
        "dh_parameters": str(dh) if (dh := view.path("ssl_dh")) else None,
        # `compression` asks in vain: it betrays what it compresses (CVE-2012-4929).
        "session_tickets": "no_ticket" not in view.str("ssl_options").replace(",", " ").split(),
        **_client_certificates(view),
    }


def _client_certificates(view: View) -> dict[str, Any]:
    """ssl_verify_client_cert: clients are asked; ssl_ca has the authorities and, unless told otherwise, their lists."""
    if not view.bool("ssl_verify_client_cert"):
        return {}
    authorities = view.path("ssl_ca")
    return {
        "request_client_certificate": True,
        "client_ca": str(authorities) if authorities else None,
        "require_crl": view.bool("ssl_require_crl"),
    }
