"""STARTTLS (RFC 3207), implicit TLS, and what main.cf says about both."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.smtpd import filters, replies
from mta.smtpd.arguments import Word
from mta.smtpd.replies import Reply
from mta.smtpd.session import Tls

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")


@dataclass(frozen=True, slots=True)
class TlsService:
    """The TLS side of one smtpd; without a context there is none."""

    context: ssl.SSLContext | None = None
    required: bool = False
    """smtpd_tls_security_level = encrypt: hardly a command is obeyed in plaintext."""
    wrapper_mode: bool = False
    auth_only: bool = False
    received_header: bool = False
    certificate_requested: bool = False
    certificate_required: bool = False
    """smtpd_tls_req_ccert, where TLS is required too: told in the dialogue, a handshake could not say why it fails."""
    log_level: int = 0
    digest: str = "sha256"

    @classmethod
    def from_config(cls, config: MainConfig) -> TlsService:
        """Reads keys, so it runs before privileges are given up. Raises ConfigErrors."""
        wrapper_mode = config.bool("smtpd_tls_wrappermode")
        level = _security_level(config, wrapper_mode)
        ask = config.bool("smtpd_tls_ask_ccert") or config.bool("smtpd_tls_req_ccert")
        context = None
        if level != "none":  # with cryptography behind it: for those who have TLS
            from mta.smtpd.tlscontext import tls_context

            context = tls_context(config, ask, level == "encrypt")
        return cls(
            context=context,
            required=level == "encrypt",
            wrapper_mode=wrapper_mode,
            auth_only=config.bool("smtpd_tls_auth_only") or level == "encrypt",
            received_header=config.bool("smtpd_tls_received_header"),
            certificate_requested=ask,
            certificate_required=level == "encrypt" and config.bool("smtpd_tls_req_ccert"),
            log_level=config.int("smtpd_tls_loglevel"),
            digest=config.str("smtpd_tls_fingerprint_digest").lower() or "sha256",
        )


def _security_level(config: MainConfig, wrapper_mode: bool) -> str:
    """smtpd_tls_security_level, or what the older smtpd_use_tls and smtpd_enforce_tls say."""
    level = config.str("smtpd_tls_security_level").lower()
    if level in ("fingerprint", "verify", "secure", "dane", "dane-only"):
        log.warning("smtpd_tls_security_level: unsupported level %s, using encrypt instead", level)
        level = "encrypt"
    if not level:
        level = "encrypt" if config.bool("smtpd_enforce_tls") else "may" if config.bool("smtpd_use_tls") else "none"
    if wrapper_mode:
        return "encrypt"
    if level not in ("none", "may", "encrypt"):
        raise ConfigErrors([ConfigError(config.where("smtpd_tls_security_level"), f"bad TLS security level: {level}")])
    return level


async def starttls(connection: Connection, words: list[Word]) -> Reply | None:
    """Everything said before is forgotten, everything sent ahead of the handshake is dropped (CVE-2011-0411)."""
    session, server = connection.session, connection.server
    if len(words) != 1:
        return Reply(501, "5.5.4", "Syntax: STARTTLS")
    if session.tls is not None:
        return Reply(554, "5.5.1", "Error: TLS already active")
    if refusal := filters.refusal_of_service(session):
        return refusal
    if server.tls.context is None or "starttls" in session.discarded_keywords:
        return replies.NOT_IMPLEMENTED
    if refusal := await server.limits.new_tls(session):
        return refusal
    ssl_object = await connection.start_tls(server.tls.context, Reply(220, "2.0.0", "Ready to start TLS"))
    connection.new_transaction()
    session.forget_handshake_state()
    _note(connection, ssl_object)
    return certificate_refusal(connection)


def certificate_refusal(connection: Connection) -> Reply | None:
    """What a client is told, in TLS, that had to show a certificate we trust and did not."""
    server, tls = connection.server, connection.session.tls
    if tls is None or not server.tls.certificate_required or tls.agreed.verified:
        return None
    missing = tls.agreed.peer_certificate is None
    reason = "No client certificate presented" if missing else "Client certificate not trusted"
    return Reply(421, "4.7.1", f"{server.hostname} Error: {reason}")


def adopt_implicit_tls(connection: Connection) -> None:
    """smtpd_tls_wrappermode: the event loop has shaken hands before the protocol began."""
    ssl_object = connection.transport.get_extra_info("ssl_object")
    if ssl_object is not None:
        _note(connection, ssl_object)


def _note(connection: Connection, ssl_object: ssl.SSLObject) -> None:
    session, settings = connection.session, connection.server.tls
    session.tls = Tls.describe(ssl_object, settings.certificate_requested, settings.digest)
    if settings.log_level >= 1:
        agreed = session.tls.agreed
        log.info("%s TLS connection established from %s: %s", agreed.trust, session.label, agreed.summary())
