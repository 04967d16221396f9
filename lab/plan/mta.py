"""What the services of one main.cf have in common: who they run as, where they log, what the kernel lets them touch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.sandbox import python_paths
from lab.sandbox.identity import Identity, myself, service_identity
from lab.supervisor.listeners import UnixListener
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Rules

if TYPE_CHECKING:
    from mta.config import MainConfig

# `type:/path` anywhere in a value names a table that the services must be able to read.
TABLE_PATH = re.compile(r"(?:^|[\s,:=(\[{])(/[^\s,;:(){}\[\]]+)")
# `proxy:type:/path`: a table that proxymap opens, where it runs.
PROXIED = re.compile(r"\bproxy:[^\s,{}]*")
# Tables with a file of settings that may name further files (a database, certificates).
SETTINGS = re.compile(r"\b(?:sqlite|pgsql|mysql|ldap):(/[^\s,;:(){}\[\]]+)")
# What makes smtpd itself talk to others beside DNS.
OUTSIDE = ("inet:", "tcp:", "mysql:", "pgsql:", "ldap:", "socketmap:", "check_policy_service")

# What a service imports with the first name that it looks up and the first TLS session.
LATE = ("mta.nameservers", "mta.delivery.smtp.certificates", "tls.context", "tls.description")


def late_modules() -> tuple[str, ...]:
    """What to import before the change of user, where that user cannot reach the program."""
    late = python_paths.late_modules(charsets=False)
    return (*late, *LATE) if late else ()


class Mta:
    """One main.cf with the errors and warnings about it."""

    def __init__(self, confdir: Path, name: str, config: MainConfig, *, has_proxymap: bool) -> None:
        """`name` stands before the service names in messages. Raises UnknownUser."""
        self.confdir = confdir
        self.name = name
        self.config = config
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.proxied = has_proxymap and (mentions_proxy(config) or asks_for_users(config))
        """Whether proxymap opens `proxy:` tables for the others."""
        self.owner: Identity | None = service_identity(
            config.str("mail_owner"), explicit=config.is_set("mail_owner"), role="mta", parameter="mail_owner"
        )
        self.queue = Path(config.str("queue_directory"))

    def log(self, config: MainConfig | None = None) -> LogTarget:
        """maillog_file and syslog_name of one master.cf line; without maillog_file the lines go to standard error."""
        config = config or self.config
        name = config.str("maillog_file")
        return LogTarget(postfix_file=Path(name) if name else None, postfix_name=config.str("syslog_name") or "postfix")

    def listener(self, place: str, tag: str, *, datagram: bool = False) -> UnixListener:
        """A unix socket below the queue directory, for services of this instance alone."""
        owner = self.owner or myself()
        return UnixListener(self.queue / place, 0o600, tag, owner.uid, owner.gid, datagram=datagram)

    def rules(
        self,
        config: MainConfig | None = None,
        *,
        connect: bool = False,
        read: tuple[Path, ...] = (),
        proxied: bool | None = None,
        jailed: bool = False,
    ) -> Rules:
        """proxied: whether another process opens `proxy:` tables; None: whether there is one.

        jailed: `chroot = y`: no file but those of the queue directory. Tables are opened before, as in Postfix.
        """
        config = config or self.config
        elsewhere = self.proxied if proxied is None else proxied
        configured: tuple[Path, ...] = ()
        if not jailed:
            accounts = python_paths.ACCOUNTS if asks_for_users(config) else ()
            configured = (*accounts, self.confdir, *named_paths(config, elsewhere))
        return Rules(
            read=(*python_paths.SYSTEM, *python_paths.NETWORK, *configured, *read),
            write=(self.queue,) if jailed else (self.queue, Path(config.str("data_directory"))),
            connect=True if connect or reaches_out(config, elsewhere) else dns_ports(config),
            landlock=config.bool("hardmail_landlock"),
        )


def named_paths(config: MainConfig, proxied: bool = False) -> tuple[Path, ...]:
    """Files that the explicit settings name (tables, certificates), with what stands beside them (`.lmdb`).

    proxied: tables behind `proxy:` are another process's matter.
    """
    from mta.proxymap.access import SENSITIVE

    found: dict[Path, None] = {}
    for name in config.settings:
        try:
            value = config.str(name)
        except ValueError:
            continue
        if proxied and name not in SENSITIVE:
            value = PROXIED.sub("", value)
        for path in _files(value):
            found.setdefault(path)
        for match in SETTINGS.finditer(value):
            try:
                text = Path(match.group(1)).read_text(encoding="utf-8", errors="replace")
            except OSError:
                continue
            for path in _files(text):
                found.setdefault(path)
    return tuple(found)


def _files(text: str) -> Iterator[Path]:
    """The files that a text names, what symbolic links lead to, and the tables built of them."""
    for match in TABLE_PATH.finditer(text):
        source = Path(match.group(1))
        for path in (source, source.with_name(source.name + ".lmdb")):
            if path.is_file() or path.is_symlink():
                yield path
                if path.is_symlink():
                    yield path.resolve()


def asks_for_users(config: MainConfig) -> bool:
    """Whether smtpd asks for the system's users (local_recipient_maps): where this host has mail domains of its own."""
    return bool(config.str("mydestination")) and "unix:" in config.str("local_recipient_maps")


def mentions_proxy(config: MainConfig) -> bool:
    """Whether any explicit setting names a `proxy:` table: master(8) starts proxymap when it is first asked for one."""
    return any("proxy:" in (config.raw(name) or "") for name in config.settings)


def reaches_out(config: MainConfig, proxied: bool = False) -> bool:
    """Whether smtpd itself talks to others beside DNS: policy servers, filters, network tables."""
    if not (config.raw("smtpd_proxy_filter") or "unix:").startswith("unix:"):
        return True
    for name in config.settings:
        value = config.raw(name) or ""
        if any(word in (PROXIED.sub("", value) if proxied else value) for word in OUTSIDE):
            return True
    return False


def dns_ports(config: MainConfig) -> frozenset[int]:
    """Long DNS answers come over TCP."""
    ports = re.findall(r":(\d{1,5})\b", config.raw("hardmail_nameservers") or "")
    return frozenset([53, *map(int, ports)])
