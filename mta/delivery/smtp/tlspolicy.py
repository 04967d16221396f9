"""How much TLS a destination must have: smtp_tls_security_level, smtp_tls_policy_maps, smtp_tls_per_site."""

from __future__ import annotations

import enum
import functools
import logging
import ssl
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from mta.delivery.smtp.tlssettings import TlsDefaults, words
from tls.errors import TLSConfigError
from tls.policy import Policy
from tls.resumption import Sessions

logger = logging.getLogger("postfix.smtp")


class Maps(Protocol):
    """Lookup tables in order (mta.tables.Maps)."""

    async def lookup(self, key: str, /) -> str | None: ...


class Level(enum.IntEnum):
    """TLS security levels, weakest first (TLS_README)."""

    INVALID = -2
    NONE = 0
    MAY = 1
    ENCRYPT = 2
    FINGERPRINT = 3
    VERIFY = 4
    SECURE = 5

    @property
    def required(self) -> bool:
        return self >= Level.ENCRYPT


_NAMES: Final = {level.name.lower(): level for level in Level if level is not Level.INVALID}
_UNSUPPORTED: Final = ("dane", "dane-only", "half-dane")
"""They trust DNSSEC, which the resolver here cannot validate: using them as less would promise what is not kept."""


class PolicyError(Exception):
    """The policy for this destination cannot be used; mail is deferred (4.7.5), never sent with less TLS."""


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    """What applies to one destination."""

    level: Level
    protocols: str | None
    ciphers: str
    exclude: str
    match: tuple[str, ...]
    """Names or strategies (hostname, nexthop, dot-nexthop), or fingerprints at that level."""
    servername: str = ""

    def patterns(self, hostname: str, nexthop: str) -> list[str]:
        """The names of which the certificate must have one (smtp_tls_secure_cert_match)."""
        known = {"hostname": hostname, "nexthop": nexthop, "dot-nexthop": f".{nexthop}"}
        return [known.get(word, word) for word in self.match]


class PolicyTable:
    """Finds the policy for a destination and makes SSL contexts for it."""

    def __init__(self, defaults: TlsDefaults, policy_maps: Maps | None = None, per_site: Maps | None = None) -> None:
        self.defaults = defaults
        self._policy_maps = policy_maps
        self._per_site = per_site if policy_maps is None else None
        self._contexts: dict[tuple[object, ...], ssl.SSLContext] = {}
        self._files: dict[str, bytes | None] = {}
        self._sessions = Sessions(defaults.session_seconds) if defaults.session_seconds else None

    def preload(self) -> None:
        """Read keys and authorities while the process may: later it is confined. A fault is told, then felt in use."""
        self._files = {path: _read(path) for path in self.defaults.files if path}
        try:
            policy = self._global
            if policy.level > Level.NONE:
                self.context(policy)
        except PolicyError as error:
            logger.warning("%s", error)

    async def find(self, nexthop: str, host: str) -> TlsPolicy:
        """Policy for a destination as written (`[host]:port`, `example.com`) and one of its servers.

        Raises PolicyError, and what the tables raise.
        """
        policy = self._global
        if self._policy_maps is not None:
            found = await self._lookup_policy(nexthop)
            if found is not None:
                policy = self._parse(found, nexthop)
        elif self._per_site is not None:
            policy = await self._per_site_policy(policy, nexthop, host)
        if self.defaults.wrappermode and not policy.level.required:
            raise PolicyError('TLS wrappermode requires "smtp_tls_security_level = encrypt" (or stronger)')
        return policy

    @functools.cached_property
    def _global(self) -> TlsPolicy:
        defaults = self.defaults
        if defaults.level:
            return self._at(defaults.level, "smtp_tls_security_level")
        if defaults.enforce_tls:
            return self._at("verify" if defaults.enforce_peername else "encrypt", "smtp_enforce_tls")
        return self._at("may" if defaults.use_tls else "none", "smtp_use_tls")

    def _at(self, name: str, where: str) -> TlsPolicy:
        word = name.strip().lower()
        if word in _UNSUPPORTED:
            raise PolicyError(f"{where}: level {word} needs DNSSEC, which this resolver does not validate")
        level = _NAMES.get(word)
        if level is None:
            raise PolicyError(f"{where}: invalid TLS security level {name!r}")
        defaults = self.defaults
        excluded = [defaults.exclude] + ([defaults.mandatory_exclude] if level.required else [])
        match = {
            Level.VERIFY: defaults.verify_match,
            Level.SECURE: defaults.secure_match,
            Level.FINGERPRINT: tuple(word for word in defaults.fingerprint_match if word),
        }.get(level, ())
        return TlsPolicy(
            level,
            defaults.mandatory_protocols if level.required else defaults.protocols,
            defaults.mandatory_ciphers if level.required else defaults.ciphers,
            " ".join(word for word in excluded if word),
            match,
            defaults.servername,
        )

    async def _lookup_policy(self, nexthop: str) -> str | None:
        """The destination as written; for a plain domain also its parents as `.domain` (postconf(5))."""
        if self._policy_maps is None:
            return None
        found = await self._policy_maps.lookup(nexthop.lower())
        if found is None and "[" not in nexthop and ":" not in nexthop:
            _, dot, parent = nexthop.lower().partition(".")
            while dot and found is None:
                found = await self._policy_maps.lookup(f".{parent}")
                _, dot, parent = parent.partition(".")
        return found

    def _parse(self, entry: str, nexthop: str) -> TlsPolicy:
        """`verify match=a:b protocols=TLSv1.2 ciphers=high exclude=x servername=y` (postconf(5))."""
        where = f"smtp_tls_policy_maps entry for {nexthop}"
        level, *attributes = words(entry) or ("",)
        policy = self._at(level, where)
        for attribute in attributes:
            name, equals, value = attribute.partition("=")
            if not equals or not value:
                raise PolicyError(f"{where}: malformed attribute/value pair {attribute!r}")
            match name.lower():
                case "protocols":
                    policy = replace(policy, protocols=value.replace(":", ","))
                case "ciphers":
                    policy = replace(policy, ciphers=value)
                case "exclude":
                    policy = replace(policy, exclude=value.replace(":", " "))
                case "servername":
                    policy = replace(policy, servername=value)
                case "match" if policy.level is Level.FINGERPRINT:
                    policy = replace(policy, match=tuple(value.split("|")))
                case "match":
                    policy = replace(policy, match=tuple(value.split(":")))
                case _:
                    raise PolicyError(f"{where}: unsupported attribute {name!r}")
        return policy

    async def _per_site_policy(self, policy: TlsPolicy, nexthop: str, host: str) -> TlsPolicy:
        """The obsolete smtp_tls_per_site: NONE, MAY, MUST, MUST_NOPEERMATCH by host and by next hop."""
        words = {"NONE": "none", "MAY": "may", "MUST_NOPEERMATCH": "encrypt", "MUST": "verify"}
        found: list[Level] = []
        for key in dict.fromkeys((host, nexthop)):
            value = await self._per_site.lookup(key) if self._per_site is not None else None
            if value is None:
                continue
            word = value.strip().upper()
            if word not in words:
                raise PolicyError(f"smtp_tls_per_site entry for {key}: unknown policy {value!r}")
            found.append(_NAMES[words[word]])
        if not found:
            return policy
        # An explicit NONE beats the global level; otherwise the stronger of the two entries counts (TLS_LEGACY_README).
        level = max(found)
        return self._at(level.name, "smtp_tls_per_site")

    def context(self, policy: TlsPolicy) -> ssl.SSLContext:
        """The context for a policy; kept, as loading certificates takes time. Raises PolicyError."""
        from tls.context import client_context  # with cryptography behind it: for those who have TLS

        defaults = self.defaults
        chain = policy.level in (Level.VERIFY, Level.SECURE)
        key = (policy.protocols, policy.ciphers, policy.exclude, chain)
        if key not in self._contexts:
            try:
                self._contexts[key] = client_context(
                    Policy.from_postfix(
                        policy.protocols,
                        policy.ciphers,
                        policy.exclude,
                        grades=defaults.grades,
                        options=defaults.options,
                    ),
                    ca_file=self._anchors() or self._file(defaults.ca_file),
                    ca_path=Path(defaults.ca_path) if defaults.ca_path and not defaults.trust_anchor_files else None,
                    verify="chain" if chain else "none",
                    certificate_file=self._file(defaults.certificate_file),
                    key_file=self._file(defaults.key_file),
                    system_authorities=defaults.append_default_ca and not defaults.trust_anchor_files,
                )
                if defaults.trust_anchor_files:
                    self._contexts[key].verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            except (TLSConfigError, OSError) as error:
                raise PolicyError(str(error)) from error
        return self._contexts[key]

    def offering(self, policy: TlsPolicy, server: Hashable) -> ssl.SSLContext:
        """The context for one connection, with the last session with this server to resume. Raises PolicyError."""
        context = self.context(policy)
        return self._sessions.offering(context, (policy, server)) if self._sessions is not None else context

    def remember(self, policy: TlsPolicy, server: Hashable, connection: ssl.SSLObject | None) -> None:
        """Keep the session for the next connection; after the server's first reply in TLS."""
        if self._sessions is not None and connection is not None:
            self._sessions.remember((policy, server), connection)

    def _anchors(self) -> bytes | None:
        """All trust anchors in one. Raises PolicyError for a file that cannot be read: trust nobody instead."""
        found = []
        for path in self.defaults.trust_anchor_files:
            octets = self._files.get(path) or _read(path)
            if octets is None:
                raise PolicyError(f"cannot read trust anchors from {path}")
            found.append(octets)
        return b"\n".join(found) or None

    def _file(self, path: str) -> Path | bytes | None:
        if not path:
            return None
        return self._files.get(path) or Path(path)

    def matches(self, policy: TlsPolicy, certificate: bytes | None, hostname: str, nexthop: str) -> bool:
        """Whether the server's certificate (DER) is the one that the policy wants."""
        if policy.level < Level.FINGERPRINT:
            return True
        if certificate is None:
            return False
        from mta.delivery.smtp import certificates

        if policy.level is Level.FINGERPRINT:
            return certificates.known(certificate, policy.match, self.defaults.fingerprint_digest)
        return certificates.vouches(certificate, policy.patterns(hostname, nexthop))


def server_name(policy: TlsPolicy, host: str, nexthop: str) -> str | None:
    """What to ask for by SNI (smtp_tls_servername)."""
    chosen: Sequence[str] = {"hostname": (host,), "nexthop": (nexthop,), "": ()}.get(
        policy.servername, (policy.servername,)
    )
    return chosen[0] if chosen else None


def _read(path: str) -> bytes | None:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        logger.warning("%s: %s", path, error)
        return None
