"""main.cf and master.cf to services: smtpd by its inet lines, one queue manager for all the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import PlanError
from lab.plan.delivery import delivery_service
from lab.plan.mta import Mta, late_modules, mentions_proxy
from lab.plan.policyd import is_policy, policy_service
from lab.plan.smtpd import COMMANDS as SMTPD_COMMANDS
from lab.plan.smtpd import smtpd_services
from lab.sandbox import python_paths
from lab.sandbox.identity import Identity
from lab.supervisor.service import Directory, Plan, Service

if TYPE_CHECKING:
    from mta.config import MasterService

QMGR_ENTRY, PROXYMAP_ENTRY = "mta.queue.service:prepare", "mta.proxymap.service:prepare"

DELIVERY_COMMANDS = ("local", "virtual", "pipe")
# What one queue manager process does for all these master.cf lines.
QUEUE_COMMANDS = frozenset(
    (
        *("pickup", "cleanup", "qmgr", "nqmgr", "oqmgr", "bounce", "trivial-rewrite", "flush", "showq", "scache"),
        *("smtp", "lmtp", "error", "discard", *DELIVERY_COMMANDS),
        *("tlsmgr", "tlsproxy", "anvil", "verify", "postlogd"),
    )
)


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
    mta = Mta(confdir, name, config, has_proxymap=any(map(is_proxymap, lines)))
    services = list(_services(mta, list(lines)))
    if foreign(mta.queue):
        where = config.where("queue_directory")
        text = "holds the queue of another mail system, whose files hardmail would take over; name another one"
        mta.errors.append(f"{where}: queue_directory: {mta.queue} {text}")
    if mta.errors:
        raise PlanError(mta.errors)
    return Plan(
        confdir=confdir,
        services=tuple(services),
        pid_files=(mta.queue / "pid" / "master.pid",),
        directories=(Directory(Path(config.str("data_directory")), 0o700, mta.owner),),
        prepare=(lambda: _prepare_queue(mta.queue, mta.owner),),
        log=mta.log(),
        warnings=lambda: (*config.warnings, *map(str, lines.warnings), *mta.warnings),
    )


def foreign(queue: Path) -> bool:
    """Whether a real Postfix has made this queue directory: it keeps its mail in these, one file each."""
    return all((queue / name).is_dir() for name in ("active", "deferred", "incoming"))


def _prepare_queue(queue: Path, owner: Identity | None) -> None:
    from mta.queue import layout

    layout.prepare(queue, owner.uid if owner else None, owner.gid if owner else None)


def _services(mta: Mta, lines: list[MasterService]) -> Iterator[Service]:
    """Those that others rely on first, then smtpd in the order of its lines, then the queue manager."""
    policies = [line for line in lines if is_policy(line)]
    for line in lines:
        known = line.command in QUEUE_COMMANDS | SMTPD_COMMANDS or is_proxymap(line) or line in policies
        if not known:
            mta.warnings.append(f"{line.where}: {line.command} is not part of hardmail; the line is ignored")
    if policies:
        yield policy_service(mta, policies)
    yield from smtpd_services(mta, lines)
    if any(line.command in QUEUE_COMMANDS for line in lines):
        yield _qmgr(mta, lines)
        for program in DELIVERY_COMMANDS:
            if chosen := [line for line in lines if line.command == program]:
                yield delivery_service(mta, program, chosen)
    if mta.proxied:
        yield _proxymap(mta, [line for line in lines if is_proxymap(line)])


def is_proxymap(line: MasterService) -> bool:
    """Whether a line is one of proxymap(8)."""
    return line.type == "unix" and line.command == "proxymap"


def _qmgr(mta: Mta, lines: list[MasterService]) -> Service:
    verify = [line for line in lines if line.type == "unix" and line.command == "verify"]
    jailed = any(line.command == "qmgr" and line.chroot for line in lines)
    return Service(
        name="qmgr",
        entry=QMGR_ENTRY,
        late=late_modules(),
        config=mta.config,
        listeners=(
            mta.listener("public/qmgr", "qmgr", datagram=True),
            *(mta.listener(f"private/{line.name}", "verify") for line in verify),
        ),
        identity=mta.owner,
        rules=mta.rules(connect=True, jailed=jailed),
        log=mta.log(),
        exclusive=True,
        instance=mta.name,
    )


def _proxymap(mta: Mta, lines: list[MasterService]) -> Service:
    """proxymap and proxywrite: one process that opens tables for the others."""
    writer = mta.config.str("proxywrite_service_name")
    rules = mta.rules(connect=True, proxied=False)
    return Service(
        name="proxymap",
        entry=PROXYMAP_ENTRY,
        preload=late_modules(),
        config=mta.config,
        listeners=tuple(
            mta.listener(f"private/{line.name}", "proxywrite" if line.name == writer else "proxymap") for line in lines
        ),
        identity=mta.owner,
        rules=replace(
            rules,
            read=(*rules.read, python_paths.ACCOUNTS_DIRECTORY),
            write=(Path(mta.config.str("data_directory")),),
        ),
        log=mta.log(),
        on_demand=not mentions_proxy(mta.config),  # then it is for local_recipient_maps alone
        outlives=True,
        instance=mta.name,
    )
