"""saslauthd's authentication mechanisms (``-a``) as passdbs, and why some of its names are not offered."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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


def settings(driver: str, args: str, *, base_dir: Path = Path("/"), mechanisms: tuple[str, ...] = ()) -> AuthSettings:
    """Dovecot's defaults with one passdb; names are taken as they come, as Cyrus SASL does."""
    defaults = AuthSettings.of(DovecotConfig(Node("", "", ""), Path("/"), []))
    passdb = DatabaseSettings(driver, args, (), (), "never", "return-ok", "continue", "continue")
    return dataclasses.replace(
        defaults,
        base_dir=base_dir,
        mechanisms=mechanisms,
        username_chars=frozenset(),
        username_format="",
        passdbs=(passdb,),
        userdbs=(),
    )


def authenticator(wanted: AuthSettings, cache_octets: int = 0, cache_seconds: float = 0) -> Authenticator:
    """Opens the passdb. Raises BadArguments."""
    return Authenticator(wanted, Hasher(FairPool(), Remembered(cache_octets, cache_seconds)))
