"""main.cf and master.cf to services: one smtpd per group of inet lines, one queue manager for all the rest."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import PlanError
from lab.plan import processors
from lab.plan.delivery import delivery_service
from lab.plan.policyd import is_policy, policy_service
from lab.sandbox import python_paths
from lab.sandbox.identity import Identity, myself, service_identity
from lab.supervisor.listeners import InetListener, UnixListener
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Directory, Plan, Rules, Service
from lab.wrapped import wrapped

if TYPE_CHECKING:
    from mta.config import MainConfig, MasterService

SMTPD_ENTRY, QMGR_ENTRY = "mta.smtpd.service:prepare", "mta.queue.service:prepare"
PROXYMAP_ENTRY = "mta.proxymap.service:prepare"
ANVIL_ENTRY = "mta.anvil.service:prepare"

# Services that /etc/services may not know yet (RFC 8314).
PORTS = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587, "lmtp": 24}

PRELOAD = ("mta.smtpd.access.registry",)

# What one queue manager process does for all these master.cf lines.
QUEUE_COMMANDS = frozenset(
    (
        *("pickup", "cleanup", "qmgr", "nqmgr", "oqmgr", "bounce", "trivial-rewrite", "flush", "showq", "scache"),
        *("smtp", "lmtp", "local", "virtual", "error", "discard", "pipe"),
        *("tlsmgr", "tlsproxy", "anvil", "verify", "postlogd"),
    )
)
# Lines whose work is done inside smtpd, or that have nothing to do here.
SMTPD_COMMANDS = frozenset(["smtpd", "postscreen"])

# `type:/path` anywhere in a value names a table that the services must be able to read.
TABLE_PATH = re.compile(r"(?:^|[\s,:=(\[{])(/[^\s,;:(){}\[\]]+)")
# `proxy:type:/path`: a table that proxymap opens, where it runs.
PROXIED = re.compile(r"\bproxy:[^\s,{}]*")
# Tables with a file of settings that may name further files (a database, certificates).
SETTINGS = re.compile(r"\b(?:sqlite|pgsql|mysql|ldap):(/[^\s,;:(){}\[\]]+)")


def load(confdir: Path, name: str) -> Plan:
    """The services of CONFDIR/main.cf and master.cf. Raises PlanError (every error), UnknownUser."""
    from mta.config import ConfigErrors, MainConfig, MasterConfig

    errors: list[str] = []
    config, lines = None, MasterConfig()
    try:
        config = MainConfig.load(confdir)
    except ConfigErrors as error:
        errors += [str(entry) for entry in error.errors]
    try:
        lines = MasterConfig.load(confdir, config)
    except ConfigErrors as error:
        errors += [str(entry) for entry in error.errors]
    if config is None or errors:
        raise PlanError(errors)
    reader = _Reader(confdir, name, config)
    services = reader.services(lines)
    queue = Path(config.str("queue_directory"))
    if foreign(queue):
        where = config.where("queue_directory")
        text = f"{queue} holds the queue of another mail system, whose files hardmail would take over; name another one"
        reader.errors.append(f"{where}: queue_directory: {text}")
    if reader.errors:
        raise PlanError(reader.errors)
    owner = reader.owner
    return Plan(
        confdir=confdir,
        services=tuple(services),
        pid_files=(queue / "pid" / "master.pid",),
        directories=(Directory(Path(config.str("data_directory")), 0o700, owner),),
        prepare=(lambda: _prepare_queue(queue, owner),),
        log=reader.log(config),
        warnings=(*config.warnings, *map(str, lines.warnings), *reader.warnings),
    )


def foreign(queue: Path) -> bool:
    """Whether a real Postfix has made this queue directory: it keeps its mail in these, one file each."""
    return all((queue / name).is_dir() for name in ("active", "deferred", "incoming"))


def _prepare_queue(queue: Path, owner: Identity | None) -> None:
    from mta.queue import layout

    layout.prepare(queue, owner.uid if owner else None, owner.gid if owner else None)


class _Reader:
    """Collects services, warnings and errors of one configuration."""

    def __init__(self, confdir: Path, name: str, config: MainConfig) -> None:
        self.confdir = confdir
        self.name = name
        self.config = config
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.behind_postscreen = 0  # sessions
        self.proxied = False  # whether proxymap opens `proxy:` tables for the others
        self.owner = service_identity(
            config.str("mail_owner"), explicit=config.is_set("mail_owner"), role="mta", parameter="mail_owner"
        )

    def services(self, lines: Iterable[MasterService]) -> list[Service]:
        """smtpd services in the order of their first line, then the queue manager."""
        groups: dict[tuple[tuple[str, str], ...], list[MasterService]] = {}
        wants_queue = False
        lines = list(lines)
        proxies = [line for line in lines if line.type == "unix" and line.command == "proxymap"]
        self.proxied = bool(proxies) and (mentions_proxy(self.config) or asks_for_users(self.config))
        policies = [line for line in lines if is_policy(line)]
        behind = [line.maxproc for line in lines if line.type == "pass" and line.command == "smtpd"]
        self.behind_postscreen = behind[0] if behind else self.config.int("default_process_limit")
        for line in lines:
            program = line.command
            if line.type == "inet" and program in SMTPD_COMMANDS:
                groups.setdefault(tuple(sorted(line.overrides.items())), []).append(line)
            elif program in QUEUE_COMMANDS:
                wants_queue = True
            elif program not in SMTPD_COMMANDS and line not in (*proxies, *policies):
                self.warnings.append(f"{self._at(line)}: {program} is not part of hardmail; the line is ignored")
        services = [service for group in groups.values() if (service := self._smtpd(group))]
        if any(service.workers > 1 for service in services):
            services.insert(0, self._anvil())
        if policies:
            services.insert(0, self._policyd(policies))
        if wants_queue:
            services += [self._qmgr(lines), *self._delivery(lines)]
        return [*services, self._proxymap(proxies)] if self.proxied else services

    def _smtpd(self, lines: list[MasterService]) -> Service | None:
        from mta.config import ConfigErrors

        first = lines[0]
        try:
            config = self.config.with_overrides(first.overrides, first.where) if first.overrides else self.config
        except ConfigErrors as error:
            self.errors += [str(entry) for entry in error.errors]
            return None
        tag = "smtps" if config.bool("smtpd_tls_wrappermode") else "smtp"
        listeners = []
        asked = max(self._workers(line, config) for line in lines)
        for line in lines:
            options = {
                **line.overrides,
                "service_name": line.name,
                "command": line.command,
                "workers": str(asked),
                "sessions": str(self._sessions(line)),
            }
            for host, port in self._endpoints(line, config):
                listeners.append(InetListener(host, port, tag, options))
        return Service(
            name="smtpd" if len(first.overrides) == 0 else f"smtpd({first.name})",
            entry=SMTPD_ENTRY,
            preload=PRELOAD,
            late=python_paths.late_modules(charsets=False),
            config=config,
            listeners=tuple(listeners),
            workers=asked,
            identity=self.owner,
            rules=self._rules(config, read=(*self._wrapped(config), *_sasldb(config))),
            log=self.log(config),
            instance=self.name,
        )

    def _policyd(self, lines: list[MasterService]) -> Service:
        for line in lines:
            if line.command == "spawn":
                self.warnings.append(f"{self._at(line)}: hardmail's own policy service answers in place of the program")
        rules = self._rules(self.config)
        asks = replace(rules, write=(), connect=_dns_ports(self.config))
        return policy_service(lines, self.config, self.owner, asks, self.log(self.config), self.name)

    def _wrapped(self, config: MainConfig) -> tuple[Path, ...]:
        """What hosts.allow and hosts.deny need; their problems are told once, however many lines share them."""
        try:
            paths, problems = wrapped(config.str("hardmail_hosts_allow"), config.str("hardmail_hosts_deny"))
        except ValueError as error:
            self.errors.append(f"{config.where('hardmail_hosts_deny')}: {error}")
            return ()
        self.warnings += [problem for problem in problems if problem not in self.warnings]
        return paths

    def _anvil(self) -> Service:
        """Counts clients for services of more than one process."""
        owner = self.owner or myself()
        path = Path(self.config.str("queue_directory"), "private", "anvil")
        return Service(
            name="anvil",
            entry=ANVIL_ENTRY,
            late=python_paths.late_modules(charsets=False),
            config=self.config,
            listeners=(UnixListener(path, 0o600, "anvil", owner.uid, owner.gid),),
            identity=self.owner,
            rules=Rules(read=python_paths.SYSTEM, landlock=self.config.bool("hardmail_landlock")),
            log=self.log(self.config),
            outlives=True,
            instance=self.name,
        )

    def _qmgr(self, lines: list[MasterService]) -> Service:
        queue = Path(self.config.str("queue_directory"))
        owner = self.owner or myself()
        control = UnixListener(queue / "public" / "qmgr", 0o600, "qmgr", owner.uid, owner.gid, datagram=True)
        verify = [
            UnixListener(queue / "private" / line.name, 0o600, "verify", owner.uid, owner.gid)
            for line in lines
            if line.type == "unix" and line.command == "verify"
        ]
        return Service(
            name="qmgr",
            entry=QMGR_ENTRY,
            late=python_paths.late_modules(charsets=False),
            config=self.config,
            listeners=(control, *verify),
            identity=self.owner,
            rules=self._rules(self.config, connect=True),
            log=self.log(self.config),
            exclusive=True,
            instance=self.name,
        )

    def _delivery(self, lines: list[MasterService]) -> Iterator[Service]:
        """What delivers on this host: started when there is mail for it."""
        base = self._rules(self.config)
        for program in ("local", "virtual", "pipe"):
            chosen = [line for line in lines if line.command == program]
            if chosen:
                log = self.log(self.config)
                yield delivery_service(program, chosen, self.config, self.owner, base, log, self.name)

    def _proxymap(self, lines: list[MasterService]) -> Service:
        """proxymap and proxywrite: one process that opens tables for the others."""
        queue, writer = Path(self.config.str("queue_directory")), self.config.str("proxywrite_service_name")
        owner = self.owner or myself()
        rules = self._rules(self.config, connect=True, proxied=False)
        listeners = tuple(
            UnixListener(
                queue / "private" / line.name,
                0o600,
                "proxywrite" if line.name == writer else "proxymap",
                owner.uid,
                owner.gid,
            )
            for line in lines
        )
        return Service(
            name="proxymap",
            entry=PROXYMAP_ENTRY,
            preload=python_paths.late_modules(charsets=False),
            config=self.config,
            listeners=listeners,
            identity=self.owner,
            rules=replace(
                rules,
                read=(*rules.read, python_paths.ACCOUNTS_DIRECTORY),
                write=(Path(self.config.str("data_directory")),),
            ),
            log=self.log(self.config),
            on_demand=not mentions_proxy(self.config),  # then it is for local_recipient_maps alone
            outlives=True,
            instance=self.name,
        )

    def log(self, config: MainConfig) -> LogTarget:
        """maillog_file and syslog_name of one master.cf line; without maillog_file the lines go to standard error."""
        name = config.str("maillog_file")
        return LogTarget(postfix_file=Path(name) if name else None, postfix_name=config.str("syslog_name") or "postfix")

    # -- listeners -------------------------------------------------------------------------------------------

    def _endpoints(self, line: MasterService, config: MainConfig) -> list[tuple[str, int]]:
        """The numeric addresses and the port of an inet line: `host:port`, `[v6]:port`, `port`; names are looked up."""
        host, port_name = line.endpoint
        port = port_number(port_name)
        if port is None:
            self.errors.append(f"{self._at(line)}: unknown service: {port_name}; write a port number")
            return []
        try:
            hosts = resolve(host, config) if host else self._interfaces(config)
        except ValueError as error:
            self.errors.append(f"{self._at(line)}: {error}")
            return []
        return [(address, port) for address in hosts]

    def _interfaces(self, config: MainConfig) -> list[str]:
        """Every address of inet_interfaces; `all` is the wildcard address of each protocol, as master(8) binds it."""
        from mta.config.interfaces import protocols

        if [word.lower() for word in config.list("inet_interfaces")] == ["all"]:
            v4, v6 = protocols(config.list("inet_protocols"))
            return [address for address, wanted in (("0.0.0.0", v4), ("::", v6)) if wanted]  # noqa: S104
        addresses = [str(interface.ip) for interface in config.own_interfaces]
        if not addresses:
            raise ValueError("inet_interfaces and inet_protocols leave no address to listen on")
        return addresses

    def _workers(self, line: MasterService, config: MainConfig) -> int:
        """hardmail_smtpd_processes, else one for each processor; never more than the sessions that it may have."""
        wanted = config.int("hardmail_smtpd_processes") or processors()
        return min(wanted, self._sessions(line) or wanted)

    def _sessions(self, line: MasterService) -> int:
        """Clients at a time, 0 for any number: maxproc, as smtpd(8) has a process for each client.

        postscreen(8) is one process; its clients are limited by the `smtpd pass` line that it hands them to.
        """
        return self.behind_postscreen if line.command == "postscreen" else line.maxproc

    # -- the sandbox -----------------------------------------------------------------------------------------

    def _rules(
        self,
        config: MainConfig,
        connect: bool = False,
        read: tuple[Path, ...] = (),
        proxied: bool | None = None,
    ) -> Rules:
        """proxied: whether another process opens `proxy:` tables; None: whether there is one."""
        elsewhere = self.proxied if proxied is None else proxied
        queue, data = Path(config.str("queue_directory")), Path(config.str("data_directory"))
        return Rules(
            read=(
                *python_paths.SYSTEM,
                *python_paths.NETWORK,
                *(python_paths.ACCOUNTS if asks_for_users(config) else ()),
                self.confdir,
                *named_paths(config, elsewhere),
                *read,
            ),
            write=(queue, data),
            connect=True if connect or _reaches_out(config, elsewhere) else _dns_ports(config),
            landlock=config.bool("hardmail_landlock"),
        )

    def _at(self, line: MasterService) -> str:
        return str(line.where)


def port_number(name: str) -> int | None:
    """A port by number or by service name; None if unknown."""
    if name.isascii() and name.isdigit() and len(name) <= 5:
        return int(name) if int(name) <= 65535 else None
    try:
        return socket.getservbyname(name, "tcp")
    except OSError:
        return PORTS.get(name)


def resolve(host: str, config: MainConfig) -> list[str]:
    """The numeric addresses of a host in master.cf, of the protocols that are switched on. Raises ValueError."""
    from mta.config.interfaces import protocols

    v4, v6 = protocols(config.list("inet_protocols"))
    try:
        addresses = [str(ipaddress.ip_address(host))]
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ValueError(f"host not found: {host} ({error.strerror})") from None
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    usable = [address for address in addresses if (v6 if ":" in address else v4)]
    if not usable:
        raise ValueError(f"{host}: inet_protocols switches its address family off")
    return usable


def _sasldb(config: MainConfig) -> tuple[Path, ...]:
    """The sasldb that an smtpd of Cyrus SASL reads itself; the directory, as the file is put in place anew."""
    if not config.bool("smtpd_sasl_auth_enable") or config.str("smtpd_sasl_type") != "cyrus":
        return ()
    from auth.cyrus.smtpd_conf import BadSaslConfig
    from mta.smtpd.authentication import cyrus_settings

    try:
        settings = cyrus_settings(config)
    except BadSaslConfig:
        return ()  # smtpd itself tells
    path = settings.sasldb_path
    return () if "auxprop" not in settings.checks else (path if path.parent == Path("/etc") else path.parent,)


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


def _reaches_out(config: MainConfig, proxied: bool = False) -> bool:
    """Whether smtpd itself talks to others beside DNS: policy servers, filters, network tables."""
    if not (config.raw("smtpd_proxy_filter") or "unix:").startswith("unix:"):
        return True
    words = ("inet:", "tcp:", "mysql:", "pgsql:", "ldap:", "socketmap:", "check_policy_service")
    for name in config.settings:
        value = config.raw(name) or ""
        if any(word in (PROXIED.sub("", value) if proxied else value) for word in words):
            return True
    return False


def _dns_ports(config: MainConfig) -> frozenset[int]:
    """Long DNS answers come over TCP."""
    ports = re.findall(r":(\d{1,5})\b", config.raw("hardmail_nameservers") or "")
    return frozenset([53, *map(int, ports)])
