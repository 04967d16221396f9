"""smtpd and postscreen lines of master.cf to services: where they listen, how many processes and clients they have."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lab.plan import processors
from lab.plan.mta import late_modules
from lab.supervisor.listeners import InetListener, Listener
from lab.supervisor.service import Service
from lab.wrapped import wrapped

if TYPE_CHECKING:
    from lab.plan.mta import Mta
    from mta.config import MainConfig, MasterService

ENTRY = "mta.smtpd.service:prepare"

COMMANDS = frozenset(["smtpd", "postscreen"])

# Services that /etc/services may not know yet (RFC 8314).
PORTS = {"smtp": 25, "smtps": 465, "submissions": 465, "submission": 587, "lmtp": 24}


def smtpd_services(mta: Mta, lines: Sequence[MasterService]) -> list[Service]:
    """One for each group of lines with the same options and jail, in the order of the first lines; errors: `mta`."""
    groups: dict[tuple[object, ...], list[MasterService]] = {}
    behind = [line.maxproc for line in lines if line.type == "pass" and line.command == "smtpd"]
    behind.append(mta.config.int("default_process_limit"))
    for line in lines:
        if line.type == "inet" and line.command in COMMANDS:
            groups.setdefault((line.chroot, *sorted(line.overrides.items())), []).append(line)
    counting: list[Listener] = [mta.listener("private/anvil", "anvil")]  # one service counts for all
    services: list[Service] = []
    for group in groups.values():
        if (reader := _Reader.of(mta, group, behind[0])) is not None:
            own = group[0].overrides or any(service.name == "smtpd" for service in services)
            services.append(reader.service(f"smtpd({group[0].name})" if own else "smtpd", counting))
    return services


class _Reader:
    """One group of lines."""

    def __init__(self, mta: Mta, lines: list[MasterService], config: MainConfig, behind_postscreen: int) -> None:
        self.mta = mta
        self.lines = lines
        self.config = config
        self.behind_postscreen = behind_postscreen
        """Sessions."""

    @classmethod
    def of(cls, mta: Mta, lines: list[MasterService], behind_postscreen: int) -> _Reader | None:
        """None where the options cannot be understood."""
        from mta.config import ConfigErrors

        first = lines[0]
        try:
            config = mta.config.with_overrides(first.overrides, first.where) if first.overrides else mta.config
        except ConfigErrors as error:
            mta.errors += [str(entry) for entry in error.errors]
            return None
        return cls(mta, lines, config, behind_postscreen)

    def service(self, name: str, counting: list[Listener]) -> Service:
        """`counting`: what the first service of several processes listens on, for all of them."""
        mta, config, jailed = self.mta, self.config, self.lines[0].chroot
        workers = max(map(self._workers, self.lines))
        inet = list(self._listeners(workers))
        listeners: list[Listener] = [*inet]
        if workers > 1:
            listeners += counting
            counting.clear()
        return Service(
            name=name,
            entry=ENTRY,
            preload=tuple(_preload(config, inet)),
            late=late_modules(),
            config=config,
            listeners=tuple(listeners),
            workers=workers,
            identity=mta.owner,
            rules=mta.rules(config, read=(*self._wrapped(), *(() if jailed else _sasldb(config))), jailed=jailed),
            log=mta.log(config),
            instance=mta.name,
        )

    def _listeners(self, workers: int) -> Iterator[InetListener]:
        tag = "smtps" if self.config.bool("smtpd_tls_wrappermode") else "smtp"
        for line in self.lines:
            options = {
                **line.overrides,
                "service_name": line.name,
                "command": line.command,
                "workers": str(workers),
                "sessions": str(self._sessions(line)),
            }
            for host, port in self._endpoints(line):
                yield InetListener(host, port, tag, options)

    def _wrapped(self) -> tuple[Path, ...]:
        """What hosts.allow and hosts.deny need; their problems are told once, however many lines share them."""
        config, mta = self.config, self.mta
        try:
            paths, problems = wrapped(config.str("hardmail_hosts_allow"), config.str("hardmail_hosts_deny"))
        except ValueError as error:
            mta.errors.append(f"{config.where('hardmail_hosts_deny')}: {error}")
            return ()
        mta.warnings += [problem for problem in problems if problem not in mta.warnings]
        return paths

    def _endpoints(self, line: MasterService) -> list[tuple[str, int]]:
        """The numeric addresses and the port of an inet line: `host:port`, `[v6]:port`, `port`; names are looked up."""
        host, port_name = line.endpoint
        port = port_number(port_name)
        if port is None:
            self.mta.errors.append(f"{line.where}: unknown service: {port_name}; write a port number")
            return []
        try:
            hosts = resolve(host, self.config) if host else self._interfaces()
        except ValueError as error:
            self.mta.errors.append(f"{line.where}: {error}")
            return []
        return [(address, port) for address in hosts]

    def _interfaces(self) -> list[str]:
        """Every address of inet_interfaces; `all` is the wildcard address of each protocol, as master(8) binds it."""
        from mta.config.interfaces import protocols

        config = self.config
        if [word.lower() for word in config.list("inet_interfaces")] == ["all"]:
            v4, v6 = protocols(config.list("inet_protocols"))
            return [address for address, wanted in (("0.0.0.0", v4), ("::", v6)) if wanted]  # noqa: S104
        addresses = [str(interface.ip) for interface in config.own_interfaces]
        if not addresses:
            raise ValueError("inet_interfaces and inet_protocols leave no address to listen on")
        return addresses

    def _workers(self, line: MasterService) -> int:
        """hardmail_smtpd_processes, else one for each processor but one; never more than it may have sessions."""
        wanted = self.config.int("hardmail_smtpd_processes") or max(1, processors() - 1)
        return min(wanted, self._sessions(line) or wanted)

    def _sessions(self, line: MasterService) -> int:
        """Clients at a time, 0 for any number: maxproc, as smtpd(8) has a process for each client.

        postscreen(8) is one process; its clients are limited by the `smtpd pass` line that it hands them to.
        """
        return self.behind_postscreen if line.command == "postscreen" else line.maxproc


def _preload(config: MainConfig, listeners: Iterable[InetListener]) -> Iterator[str]:
    """What the processes load only where it is asked for: before the fork then, so that they share it."""
    yield "mta.smtpd.access.registry"
    if not all(ipaddress.ip_address(listener.host).is_loopback for listener in listeners):  # clients are looked up
        yield "mta.nameservers"
    if config.bool("smtpd_sasl_auth_enable"):
        yield "mta.smtpd.saslexchange"
    if config.bool("hardmail_authentication_results"):
        yield "mta.authres"
    if any(config.raw(name) for name in ("smtpd_tls_cert_file", "smtpd_tls_eccert_file", "smtpd_tls_chain_files")):
        yield from ("tls.context", "tls.description")


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
