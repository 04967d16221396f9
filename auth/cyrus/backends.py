"""saslauthd's authentication mechanisms (``-a``) as passdbs, and why some of its names are not offered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from auth.authenticator import Authenticator
from auth.dovecotconf import DovecotConfig
from auth.dovecotconf.tree import Node
from auth.hashing import FairPool, Hasher, Remembered
from auth.settings import AuthSettings, DatabaseSettings

DRIVERS: Mapping[str, tuple[str, str]] = {
    "getpwent": ("passwd", ""),
    "pam": ("pam", "*"),
    "passwd-file": ("passwd-file", "{option}"),
    "sasldb": ("passwd-file", "{option}"),
    "shadow": ("shadow", ""),
    "sql": ("sql", "{option}"),
    "ldap": ("ldap", "{option}"),
}
"""By the name after ``-a``: passdb driver and args; ``{option}`` is what ``-O`` says. passwd-file and sql are ours."""

NOT_OFFERED = {
    "dce": "DCE is gone",
    "kerberos5": "a password sent to a service is no Kerberos: use GSSAPI, or -a pam with pam_krb5",
    "httpform": "forms of web servers are no password database",
    "rimap": "it would hand passwords to an IMAP server: ask the database behind it",
    "sia": "Tru64 is gone",
}


def passdb(driver: str, args: str) -> DatabaseSettings:
    """A passdb block with nothing but its driver and args."""
    return DatabaseSettings(driver, args, (), (), "never", "return-ok", "continue", "continue")


def settings(passdbs: Iterable[DatabaseSettings]) -> AuthSettings:
    """Dovecot's defaults with these passdbs; names are taken as they come, as Cyrus SASL does."""
    defaults = AuthSettings.of(DovecotConfig(Node("", "", ""), Path("/"), []))
    return dataclasses.replace(
        defaults, username_chars=frozenset(), username_format="", passdbs=tuple(passdbs), userdbs=()
    )


def authenticator(wanted: AuthSettings, cache_octets: int = 0, cache_seconds: float = 0) -> Authenticator:
    """Opens the passdb. Raises BadArguments."""
    return Authenticator(wanted, Hasher(FairPool(), Remembered(cache_octets, cache_seconds)))
