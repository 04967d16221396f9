"""Combinations of settings that work but open a hole, each with the section of the sources that warns of it."""

from __future__ import annotations

import contextlib
import ipaddress
import stat
from collections.abc import Callable, Iterator
from typing import NamedTuple

from auth.dovecotconf import DovecotConfig
from lab.supervisor.listeners import UnixListener
from lab.supervisor.service import Plan, Service
from mta.config import MainConfig
from tls.errors import TLSConfigError
from tls.policy import FLOOR, Policy

# One of these has to stand in a relay or recipient list, or everything is relayed (Postfix's own list, smtpd(8)).
GUARDS = {"reject_unauth_destination", "defer_unauth_destination", "reject", "defer", "defer_if_permit"}
# A network with a shorter prefix than this has strangers in it.
SHORTEST_PREFIX = {4: 8, 6: 32}
# Sockets of the authentication service that Dovecot itself keeps by directories and peer checks, not by their mode.
GUARDED_SOCKETS = {"auth-userdb", "auth-master", "auth-login", "auth-worker", "login", "tokenlogin"}
ENCRYPTED_LEVELS = {"encrypt", "fingerprint", "verify", "secure", "dane-only"}


class Danger(NamedTuple):
    """A combination of settings that works but opens a hole."""

    slug: str  # the behaviour that it defeats
    source: str  # where the source documents warn of it
    text: str
    holds: Callable[[Plan], bool]


def _smtpd(plan: Plan) -> Iterator[MainConfig]:
    """The settings of each SMTP server, with the -o values of its line."""
    for service in plan.services:
        if service.name.startswith("smtpd") and isinstance(service.config, MainConfig):
            yield service.config


def _sender(plan: Plan) -> Iterator[MainConfig]:
    """The settings of the SMTP client, which is part of the queue manager."""
    for service in plan.services:
        if service.name == "qmgr" and isinstance(service.config, MainConfig):
            yield service.config


def _dovecot(plan: Plan) -> Iterator[tuple[Service, DovecotConfig]]:
    for service in plan.services:
        if isinstance(service.config, DovecotConfig):
            yield service, service.config


def _readers(plan: Plan) -> Iterator[DovecotConfig]:
    """The settings of the services that people read their mail with."""
    return (config for service, config in _dovecot(plan) if service.name in ("imap", "pop3"))


def _relays_for_all(config: MainConfig) -> bool:
    lists = config.list("smtpd_relay_restrictions") + config.list("smtpd_recipient_restrictions")
    return not GUARDS & set(lists)


def _trusts_strangers(config: MainConfig) -> bool:
    for word in config.list("mynetworks"):
        with contextlib.suppress(ValueError):
            network = ipaddress.ip_network(word.replace("[", "").replace("]", ""), strict=False)
            if not word.startswith("!") and network.prefixlen < SHORTEST_PREFIX[network.version]:
                return True
    return False


def _plain_auth(config: MainConfig) -> bool:
    protected = config.bool("smtpd_tls_auth_only") or config.bool("smtpd_tls_wrappermode")
    return (
        config.bool("smtpd_sasl_auth_enable")
        and not protected
        and config.str("smtpd_tls_security_level") not in ENCRYPTED_LEVELS
        and "noplaintext" not in config.list("smtpd_sasl_security_options")
    )


def _anonymous(config: MainConfig) -> bool:
    return config.bool("smtpd_sasl_auth_enable") and "noanonymous" not in config.list("smtpd_sasl_security_options")


def _tells_password(config: MainConfig) -> bool:
    return (
        config.bool("smtp_sasl_auth_enable")
        and config.str("smtp_tls_security_level") not in ENCRYPTED_LEVELS
        and "noplaintext" not in config.list("smtp_sasl_security_options")
    )


def _speaks_old_tls(plan: Plan) -> bool:
    for server in _smtpd(plan):
        name = "smtpd_tls_protocols"
        if server.is_set(name) and Policy.from_postfix(server.str(name)).minimum < FLOOR:
            return True
    for config in _readers(plan):
        with contextlib.suppress(TLSConfigError):  # that it cannot be understood is told as an error
            if Policy.from_dovecot(config.str("ssl_min_protocol")).minimum < FLOOR:
                return True
    return False


def _auth_socket_for_all(plan: Plan) -> bool:
    return any(
        isinstance(listener, UnixListener) and listener.tag not in GUARDED_SOCKETS and listener.mode & stat.S_IWOTH
        for service, _ in _dovecot(plan)
        if service.name == "auth"
        for listener in service.listeners
    )


DANGERS: tuple[Danger, ...] = (
    Danger(
        "no-open-relay",
        "D 5.6.1; T Authentifikation: Postfix main.cf",
        "no reject_unauth_destination in smtpd_relay_restrictions or smtpd_recipient_restrictions: an open relay",
        lambda plan: any(map(_relays_for_all, _smtpd(plan))),
    ),
    Danger(
        "trusted-networks",
        "T mynetworks",
        "mynetworks holds networks of strangers: they relay without a password",
        lambda plan: any(map(_trusts_strangers, _smtpd(plan))),
    ),
    Danger(
        "auth-only-over-tls",
        "T Authentifikation: Postfix main.cf",
        "smtpd_sasl_auth_enable without smtpd_tls_auth_only: passwords cross the network in plain text",
        lambda plan: any(map(_plain_auth, _smtpd(plan))),
    ),
    Danger(
        "no-anonymous",
        "T Authentifikation: Postfix main.cf; L 3.2.1.1",
        "smtpd_sasl_security_options without noanonymous: whoever says ANONYMOUS may relay",
        lambda plan: any(map(_anonymous, _smtpd(plan))),
    ),
    Danger(
        "smarthost-auth",
        "L 3.2.1.1 (SASL Settings)",
        "smtp_sasl_auth_enable without encryption or noplaintext: our password is told in plain text",
        lambda plan: any(map(_tells_password, _sender(plan))),
    ),
    Danger(
        "dovecot-auth-socket",
        "T Authentifikation: Dovecot",
        "the socket of the authentication service is open to every local user: they can try passwords",
        _auth_socket_for_all,
    ),
    Danger(
        "imap-path-escape",
        "D 5.6.2",
        "mail_full_filesystem_access = yes: a mailbox name is a path into the file system",
        lambda plan: any(config.bool("mail_full_filesystem_access") for config in _readers(plan)),
    ),
    Danger(
        "kernel-jail",
        "D 5.6.2; L 3.2.1.3",
        "hardmail_landlock = no: the kernel does not confine the services",
        lambda plan: any(not service.rules.landlock for service in plan.services),
    ),
    Danger(
        "no-plaintext-login",
        "D 5.6.3",
        "disable_plaintext_auth = no: passwords of IMAP and POP3 cross the network in plain text",
        lambda plan: any(
            not config.bool("disable_plaintext_auth") and config.str("ssl") != "required" for config in _readers(plan)
        ),
    ),
    Danger(
        "protocol-floor",
        "P Mailserver absichern",
        "TLS 1.0 or 1.1 is allowed: their known attacks too",
        _speaks_old_tls,
    ),
    Danger(
        "no-smuggling",
        "the class of CVE-2023-51764",
        "smtpd_forbid_bare_newline = no: one mail can be made two, the second with a forged sender",
        lambda plan: any(config.str("smtpd_forbid_bare_newline") == "no" for config in _smtpd(plan)),
    ),
)
