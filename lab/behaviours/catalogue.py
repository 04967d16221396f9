"""The order of the behaviours, and how one is found by its slug."""

from __future__ import annotations

import importlib

from lab.behaviours.base import Behaviour

# In the order of the catalogue: who can connect, who may relay, the null client, who you are, reading mail, TLS,
# configuration and processes, content, labs and diagnosis.
SLUGS = (
    "loopback-only",
    "inet-protocols",
    "port-taken",
    "tcp-wrappers",
    "connection-limits",
    "reverse-dns",
    "dns-blocklists",
    "local-blacklist",
    "helo-checks",
    "sender-checks",
    "early-talkers",
    "spf",
    "no-open-relay",
    "recipient-verify",
    "trusted-networks",
    "local-domains",
    "backup-mx",
    "virtual-aliases",
    "virtual-mailboxes",
    "authenticated-relay",
    "client-certificate-relay",
    "no-user-enumeration",
    "auth-warnings",
    "null-client",
    "sendmail-command",
    "queue-without-daemon",
    "central-root-mail",
    "smarthost-auth",
    "smarthost-tls",
    "generic-maps",
    "transport-maps",
    "relay-only",
    "queue-survives-crash",
    "auth-only-over-tls",
    "no-anonymous",
    "dovecot-auth-socket",
    "authenticated-header",
    "proxy-authorization",
    "sasl-mechanisms",
    "saslauthd",
    "saslpasswd",
    "password-backends",
    "failed-logins",
    "default-passwords",
    "imap-path-escape",
    "kernel-jail",
    "no-system-users",
    "no-plaintext-login",
    "implicit-tls",
    "ssh-tunnel",
    "pop3",
    "encrypted-at-rest",
    "protocol-floor",
    "tls-settings",
    "tls-received-header",
    "no-starttls-injection",
    "no-smuggling",
    "own-authority",
    "postconf",
    "last-value-wins",
    "master-cf",
    "proxymap",
    "no-root",
    "config-check",
    "spam-filter",
    "virus-filter",
    "lab-12.1",
    "lab-12.2",
    "diagnosis",
)

# What `hardmail demo` shows: the core of every chapter, in less than a minute.
DEMO = (
    "loopback-only",
    "inet-protocols",
    "port-taken",
    "no-open-relay",
    "recipient-verify",
    "trusted-networks",
    "local-domains",
    "null-client",
    "sendmail-command",
    "queue-without-daemon",
    "smarthost-auth",
    "smarthost-tls",
    "queue-survives-crash",
    "auth-only-over-tls",
    "no-anonymous",
    "dovecot-auth-socket",
    "authenticated-header",
    "imap-path-escape",
    "kernel-jail",
    "no-system-users",
    "no-plaintext-login",
    "implicit-tls",
    "pop3",
    "protocol-floor",
    "no-starttls-injection",
    "no-smuggling",
    "last-value-wins",
    "no-root",
)


def find(slug: str) -> Behaviour:
    """The behaviour of that slug. Raises KeyError."""
    if slug not in SLUGS:
        raise KeyError(slug)
    module = importlib.import_module("lab.behaviours." + slug.replace("-", "_").replace(".", "_"))
    behaviour: Behaviour = module.BEHAVIOUR
    return behaviour


def catalogue() -> tuple[Behaviour, ...]:
    """All behaviours, in order."""
    return tuple(map(find, SLUGS))


def demonstrated() -> tuple[Behaviour, ...]:
    """The behaviours of `hardmail demo`, in order."""
    return tuple(map(find, DEMO))
