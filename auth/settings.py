"""The settings of dovecot.conf that decide how users are authenticated, read once and typed."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from .dovecotconf import DovecotConfig, View

Rule = str
"""``return-ok``, ``return``, ``return-fail``, ``continue``, ``continue-ok``, ``continue-fail``."""


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """One passdb or userdb block; for a userdb the passdb-only settings have their defaults."""

    driver: str
    args: str
    default_fields: tuple[tuple[str, str], ...]
    override_fields: tuple[tuple[str, str], ...]
    skip: str
    result_success: Rule
    result_failure: Rule
    result_internalfail: Rule
    verbose: bool | None = None
    """``auth_verbose`` of the block; None: as everywhere."""
    mechanisms: frozenset[str] = frozenset()
    username_filter: tuple[str, ...] = ()
    deny: bool = False
    master: bool = False


@dataclass(frozen=True, slots=True)
class ValidIds:
    """first_valid_uid and its like: which accounts of the machine are users; 0 as the last is no limit."""

    first_uid: int
    last_uid: int
    first_gid: int
    last_gid: int

    def user(self, uid: int, gid: int) -> bool:
        """Whether an account is a user, not a daemon."""
        return self.first_uid <= uid <= (self.last_uid or uid) and self.first_gid <= gid <= (self.last_gid or gid)


@dataclass(frozen=True, slots=True)
class AuthSettings:
    """Settings of the auth service. Times in seconds, ``cache_size`` in octets."""

    mechanisms: tuple[str, ...]
    realms: tuple[str, ...]
    default_realm: str
    username_chars: frozenset[str]
    username_translation: Mapping[int, str]
    username_format: str
    master_user_separator: str
    anonymous_username: str
    failure_delay: float
    cache_size: int
    cache_ttl: float
    cache_negative_ttl: float
    ssl_require_client_cert: bool
    ssl_username_from_cert: bool
    verbose: bool
    debug: bool
    worker_max_count: int
    hostname: str
    gssapi_hostname: str
    krb5_keytab: str
    base_dir: Path
    valid_ids: ValidIds
    passdbs: tuple[DatabaseSettings, ...]
    userdbs: tuple[DatabaseSettings, ...]

    @classmethod
    def of(cls, config: DovecotConfig) -> AuthSettings:
        """Read them from dovecot.conf; what ``protocol`` blocks add is the caller's choice of view."""
        translation = config.str("auth_username_translation")
        pairs = zip(translation[::2], translation[1::2], strict=False)
        return cls(
            mechanisms=tuple(word.upper() for word in config.list("auth_mechanisms")),
            realms=tuple(config.list("auth_realms")),
            default_realm=config.str("auth_default_realm"),
            username_chars=frozenset(config.str("auth_username_chars")),
            username_translation={ord(old): new for old, new in pairs},
            username_format=config.str("auth_username_format"),
            master_user_separator=config.str("auth_master_user_separator"),
            anonymous_username=config.str("auth_anonymous_username"),
            failure_delay=config.seconds("auth_failure_delay"),
            cache_size=config.size("auth_cache_size"),
            cache_ttl=config.seconds("auth_cache_ttl"),
            cache_negative_ttl=config.seconds("auth_cache_negative_ttl"),
            ssl_require_client_cert=config.bool("auth_ssl_require_client_cert"),
            ssl_username_from_cert=config.bool("auth_ssl_username_from_cert"),
            verbose=config.bool("auth_verbose"),
            debug=config.bool("auth_debug"),
            worker_max_count=config.int("auth_worker_max_count"),
            gssapi_hostname=config.str("auth_gssapi_hostname"),
            krb5_keytab=config.str("auth_krb5_keytab"),
            hostname=config.str("hostname") or socket.gethostname(),
            base_dir=config.base_dir,
            valid_ids=ValidIds(
                config.int("first_valid_uid"),
                config.int("last_valid_uid"),
                config.int("first_valid_gid"),
                config.int("last_valid_gid"),
            ),
            passdbs=tuple(_passdb(block) for block in config.blocks("passdb")),
            userdbs=tuple(_database(block) for block in config.blocks("userdb")),
        )


def template(text: str) -> tuple[tuple[str, str], ...]:
    """``name=value`` words of a template; a bare word has the value ``""``."""
    pairs = (word.partition("=") for word in text.split())
    return tuple((name, value) for name, _, value in pairs if name)


def _database(block: View) -> DatabaseSettings:
    return DatabaseSettings(
        driver=block.str("driver"),
        args=block.str("args"),
        default_fields=template(block.str("default_fields")),
        override_fields=template(block.str("override_fields")),
        skip=block.str("skip"),
        result_success=block.str("result_success"),
        result_failure=block.str("result_failure"),
        result_internalfail=block.str("result_internalfail"),
        verbose={"yes": True, "no": False}.get(block.str("auth_verbose")),
    )


def _passdb(block: View) -> DatabaseSettings:
    base = _database(block)
    return replace(
        base,
        # ``pass``: the old way of saying that a master passdb's success continues with the user's own entry.
        result_success="continue" if block.bool("pass") else base.result_success,
        mechanisms=frozenset(block.str("mechanisms").replace(",", " ").upper().split()),
        username_filter=tuple(block.str("username_filter").replace(",", " ").split()),
        deny=block.bool("deny"),
        master=block.bool("master"),
    )
