"""What all connections of the auth service share: settings, databases, mechanisms, penalties, and one another."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import secrets
from collections.abc import Mapping
from typing import Protocol

from . import kerberos
from .authenticator import Authenticator
from .databases import BadArguments
from .dovecotconf import DovecotConfig
from .exchange import environment_of
from .guard import Guard
from .hashing import FairPool, Hasher, Remembered
from .lockout import Lockouts
from .mechanisms import MECHANISMS, REFUSED_BY_NAME
from .penalty import Penalties
from .policy import Policy, PolicySettings
from .recall import Recall
from .settings import AuthSettings

log = logging.getLogger("dovecot.auth")


class Connection(Protocol):
    """A connection as the service sees it."""

    @property
    def busy(self) -> bool:
        """Whether requests are under way."""

    def close(self) -> None:
        """End it once what is due has been sent."""


class Core:
    """The service behind its sockets. Raises BadArguments when the configuration cannot be served."""

    def __init__(self, config: DovecotConfig) -> None:
        self.settings = AuthSettings.of(config)
        self._pool = FairPool()
        hasher = Hasher(self._pool, Remembered(self.settings.cache_size, self.settings.cache_ttl))
        self.authenticator = Authenticator(self.settings, hasher)
        self.mechanisms = announced(self.settings, self.authenticator)
        self.binds = any("channel-binding" in flags for flags in self.mechanisms.values())
        self.environment = environment_of(self.authenticator, secrets.token_bytes)
        self.guard = guard_of(config)
        self.penalties = Penalties(enabled=_penalty_enabled(config))
        settings = self.settings
        plain = self.guard.idle and not settings.debug
        self.recall = Recall(
            settings.cache_size if plain else 0, settings.cache_ttl, self.authenticator.stamp, self.penalties
        )
        self.connections: set[Connection] = set()
        self.clients: dict[int, Connection] = {}
        self.server_pid = os.getpid()
        self.uid = os.geteuid()
        self.gid = os.getegid()
        self._connections = 0
        self.changed = asyncio.Event()

    def next_connection(self) -> int:
        """A number for a new client connection (CUID)."""
        self._connections += 1
        return self._connections

    def close(self) -> None:
        """Give up the threads."""
        self.guard.close()
        self._pool.close()
        self.authenticator.close()


def guard_of(config: DovecotConfig) -> Guard:
    """Lock-outs and policy server as configured. Raises BadArguments."""
    lockouts = Lockouts(
        address=config.int("hardmail_lockout_address_failures"),
        account=config.int("hardmail_lockout_account_failures"),
        seconds=config.seconds("hardmail_lockout_time"),
    )
    settings = PolicySettings.of(config)
    if not settings.url:
        return Guard(lockouts, None)
    if settings.hash_name not in hashlib.algorithms_available:
        raise BadArguments(f"auth_policy_hash_mech: unknown hash {settings.hash_name}")
    return Guard(lockouts, Policy(settings))


def announced(settings: AuthSettings, authenticator: Authenticator) -> Mapping[str, tuple[str, ...]]:
    """The configured mechanisms with their flags, in order. Raises BadArguments for one that cannot be served."""
    found: dict[str, tuple[str, ...]] = {}
    for name in settings.mechanisms:
        if name in REFUSED_BY_NAME:
            raise BadArguments(f"auth_mechanisms: {name} is not offered: {REFUSED_BY_NAME[name]}")
        if name not in MECHANISMS:
            raise BadArguments(f"Unknown authentication mechanism '{name}'")
        entry = MECHANISMS[name]
        if not authenticator.can(entry.needs):
            raise BadArguments(f"{name} mechanism can't be supported with given passdbs")
        if name == "GSSAPI":
            if missing := kerberos.available():
                raise BadArguments(f"GSSAPI mechanism: {missing}")
            kerberos.use_keytab(settings.krb5_keytab)
        found[name] = entry.flags
    return found


def _penalty_enabled(config: DovecotConfig) -> bool:
    """Dovecot's documented switch: the anvil-auth-penalty socket with mode 0."""
    return any(listener.tag == "anvil-auth-penalty" for listener in config.service("anvil").listeners)
