"""smtpd.conf and its like: how a server of Cyrus SASL checks passwords (libsasl2's options): ``name: value`` lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from auth.settings import AuthSettings

from . import backends, mux
from .sasldb import DEFAULT_PATH

FILE_MAX = 1 << 16

CHECKS = ("saslauthd", "auxprop")
"""Words of pwcheck_method: ask saslauthd, or look into sasldb."""


class BadSaslConfig(Exception):
    """Such a server cannot be; one line for the operator."""


@dataclass(frozen=True, slots=True)
class CyrusSettings:
    """What the file says, or libsasl2's defaults."""

    checks: tuple[str, ...]
    mechanisms: frozenset[str]
    """mech_list; empty: all that can be served."""
    saslauthd_path: str
    sasldb_path: Path

    @classmethod
    def load(cls, name: str, directories: Iterable[Path]) -> CyrusSettings:
        """``NAME.conf`` of the first directory that has one; none is no fault. Raises BadSaslConfig."""
        found: dict[str, str] = {}
        for path in (directory / f"{name}.conf" for directory in directories):
            if path.is_file():
                found = _read(path)
                break
        checks = tuple(found.get("pwcheck_method", "auxprop").lower().split())
        if unknown := set(checks) - set(CHECKS):
            raise BadSaslConfig(
                f"pwcheck_method: {' '.join(sorted(unknown))} is not supported: use {' or '.join(CHECKS)}"
            )
        plugins = set(found.get("auxprop_plugin", "sasldb").split())
        if "auxprop" in checks and "sasldb" not in plugins:
            raise BadSaslConfig("auxprop_plugin: only sasldb is supported; a passdb of dovecot.conf has SQL and LDAP")
        socket = found.get("saslauthd_path", str(Path("/run/saslauthd") / mux.SOCKET))
        return cls(
            checks,
            frozenset(found.get("mech_list", "").upper().split()),
            socket,
            Path(found.get("sasldb_path", DEFAULT_PATH)),
        )

    def auth_settings(self, realm: str) -> AuthSettings:
        """As passdbs. ``realm`` is that of names without one in sasldb; saslauthd gets them as they are."""
        drivers = {
            "saslauthd": ("saslauthd", self.saslauthd_path),
            "auxprop": ("passwd-file", f"username_format=%n@%{{if;%d;eq;;{realm};%d}} {self.sasldb_path}"),
        }
        return backends.settings(backends.passdb(*drivers[check]) for check in self.checks)


def _read(path: Path) -> dict[str, str]:
    try:
        data = path.read_bytes()[:FILE_MAX]
    except OSError as error:
        raise BadSaslConfig(f"{path}: {error.strerror}") from None
    found = {}
    for number, line in enumerate(data.decode("utf-8", "surrogateescape").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise BadSaslConfig(f"{path} line {number}: expected name: value")
        found[name.strip().lower()] = value.strip()
    return found
