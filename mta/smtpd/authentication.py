"""AUTH (RFC 4954): which mechanisms are offered to whom, and whether a client may log in now."""

from __future__ import annotations

import functools
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mta.address import NameAddressList, StringList, name_address_list, string_list
from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.smtpd import filters, replies
from mta.smtpd.arguments import Word, unxtext
from mta.smtpd.replies import Refused, Reply
from mta.smtpd.session import Session, Transaction

if TYPE_CHECKING:
    from auth.client import AuthClient, Mechanism
    from auth.cyrus.client import CyrusClient
    from auth.cyrus.smtpd_conf import CyrusSettings
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

NOT_ENABLED: Final = Reply(503, "5.5.1", "Error: authentication not enabled")
ALREADY: Final = Reply(503, "5.5.1", "Error: already authenticated")
IN_TRANSACTION: Final = Reply(503, "5.5.1", "Error: MAIL transaction in progress")

FORBIDDEN_BY: Final = {
    "noanonymous": "anonymous",
    "noplaintext": "plaintext",
    "noactive": "active",
    "nodictionary": "dictionary",
}
"""Security options, and the property of a mechanism that each rules out."""
DEMANDED_BY: Final = {"forward_secrecy": "forward-secrecy", "mutual_auth": "mutual-auth"}


@dataclass(frozen=True, slots=True)
class Sasl:
    """smtpd_sasl_*: which mechanisms are offered to whom."""

    client: AuthClient | CyrusClient | None = None
    options: frozenset[str] = frozenset()
    tls_options: frozenset[str] = frozenset()
    mechanisms: StringList | None = None
    exceptions: NameAddressList | None = None
    broken_clients: bool = False
    auth_only_over_tls: bool = False
    response_limit: int = 12288
    path: str = ""

    @classmethod
    def from_config(cls, config: MainConfig, auth_only_over_tls: bool) -> Sasl:
        if not config.bool("smtpd_sasl_auth_enable"):
            return cls()
        return cls(
            _client(config),
            _options(config, "smtpd_sasl_security_options"),
            _options(config, "smtpd_sasl_tls_security_options"),
            string_list(config, "smtpd_sasl_mechanism_filter"),
            name_address_list(config, "smtpd_sasl_exceptions_networks"),
            config.bool("broken_sasl_auth_clients"),
            auth_only_over_tls,
            config.int("smtpd_sasl_response_limit"),
            config.str("smtpd_sasl_path"),
        )

    @property
    def enabled(self) -> bool:
        return self.client is not None

    def active(self, session: Session) -> bool:
        """Whether this session may log in now."""
        return self.client is not None and not (self.auth_only_over_tls and session.tls is None)

    async def announced(self, session: Session) -> str:
        """The mechanisms in EHLO, separated by spaces; empty when AUTH is not announced."""
        if not self.active(session):
            return ""
        from auth.client import AuthUnavailable

        peer = session.peer_info
        if self.exceptions and await self.exceptions.match_client(peer.name, peer.address):
            return ""
        try:
            return " ".join(await self.usable(session))
        except AuthUnavailable as error:
            log.warning("SASL: Connect to %s failed: %s", self.path, error)
            return ""

    async def usable(self, session: Session) -> list[str]:
        """What the auth service offers, the security options leave and the filter passes. Raises AuthUnavailable."""
        assert self.client is not None
        offered = await self.client.mechanisms()
        options = self.tls_options if session.tls is not None else self.options
        names = _allowed(tuple(offered), options, session.tls is not None)
        if self.mechanisms is None:
            return list(names)
        return [name for name in names if await self.mechanisms.match(name)]

    def mail_option(self, session: Session, transaction: Transaction, value: str) -> None:
        """AUTH= of MAIL FROM (RFC 4954 section 5). Raises Refused."""
        if transaction.sasl_sender:
            raise Refused(503, "5.5.4", "Error: multiple AUTH= options")
        sender = unxtext(value)
        if sender is None:
            log.warning("%s: malformed AUTH= parameter", session.label)
        elif sender != "<>":
            transaction.sasl_sender = sender


@functools.lru_cache(maxsize=16)
def _allowed(offered: tuple[Mechanism, ...], options: frozenset[str], secured: bool) -> tuple[str, ...]:
    """The names of the mechanisms that security options leave; `secured`: in a TLS session."""
    names = []
    for mechanism in offered:
        flags = mechanism.flags
        if "private" in flags and not ("channel-binding" in flags and secured):
            continue
        if any(option in options and flag in flags for option, flag in FORBIDDEN_BY.items()):
            continue
        if any(option in options and flag not in flags for option, flag in DEMANDED_BY.items()):
            continue
        names.append(mechanism.name)
    return tuple(names)


def _client(config: MainConfig) -> AuthClient | CyrusClient:
    """Who is asked: smtpd_sasl_type, a Dovecot auth socket or Cyrus SASL's way. Raises ConfigErrors."""
    kind, service = config.str("smtpd_sasl_type"), config.str("smtpd_sasl_service")
    if kind == "dovecot":
        from auth.client import AuthClient

        return AuthClient(Path(config.str("queue_directory")) / config.str("smtpd_sasl_path"), service=service)
    if kind != "cyrus":
        raise ConfigErrors([ConfigError(config.where("smtpd_sasl_type"), f"unsupported SASL server type: {kind}")])
    # Loaded only here: with a Dovecot socket the databases are another process's business.
    from auth.cyrus.client import CyrusClient
    from auth.cyrus.smtpd_conf import BadSaslConfig
    from auth.databases import BadArguments

    try:
        realm = config.str("smtpd_sasl_local_domain") or config.str("myhostname")
        return CyrusClient(cyrus_settings(config), service, realm)
    except (BadSaslConfig, BadArguments) as error:
        raise ConfigErrors([ConfigError(config.where("smtpd_sasl_path"), str(error))]) from None


def cyrus_settings(config: MainConfig) -> CyrusSettings:
    """``$smtpd_sasl_path.conf`` of cyrus_sasl_config_path, else where Debian's Postfix looks. Raises BadSaslConfig."""
    from auth.cyrus.smtpd_conf import CyrusSettings

    places = config.str("cyrus_sasl_config_path") or f"{config.str('config_directory')}/sasl:/usr/lib/sasl2"
    return CyrusSettings.load(config.str("smtpd_sasl_path"), map(Path, filter(None, places.split(":"))))


def _options(config: MainConfig, parameter: str) -> frozenset[str]:
    words = frozenset(word.lower() for word in config.list(parameter))
    if unknown := words - {*FORBIDDEN_BY, *DEMANDED_BY}:
        text = f"{parameter}: unknown SASL security option: {', '.join(sorted(unknown))}"
        raise ConfigErrors([ConfigError(config.where(parameter), text)])
    return words


async def auth(connection: Connection, words: list[Word]) -> Reply:
    """One AUTH command with all its continuations."""
    session, server = connection.session, connection.server
    if refusal := await server.limits.auth(session):
        return refusal
    if server.helo_required and session.helo_name is None:
        return replies.NEED_HELO
    if not server.sasl.active(session) or "auth" in session.discarded_keywords:
        return NOT_ENABLED
    if connection.envelope.open:
        return IN_TRANSACTION
    if refusal := filters.refusal_of_service(session):
        return refusal
    if session.sasl_username:
        return ALREADY
    if not 2 <= len(words) <= 3:
        return Reply(501, "5.5.4", "Syntax: AUTH mechanism")
    from mta.smtpd import saslexchange  # loaded only for those who let clients log in

    return await saslexchange.run(connection, words[1].text, words[2].text if len(words) == 3 else None)
