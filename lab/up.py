"""`hardmail up`: a ready-made profile on free ports, in the foreground or behind the terminal."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lab import plan, profiles
from lab.errors import LabError
from lab.plan.dovecot import REACTOR
from lab.profiles import Lab
from lab.sandbox import python_paths
from lab.sandbox.identity import service_identity
from lab.sandbox.walk import open_file
from lab.supervisor import runner
from lab.supervisor.listeners import InetListener, Listener, Sockets
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Plan, Rules, Service

DNS_ENTRY = "lab.dns:prepare"


def up(
    profile_name: str,
    directory: Path | None,
    *,
    instances: Sequence[str] = (),
    changes: Sequence[tuple[str, str]] = (),
    as_json: bool = False,
    detach: bool = False,
    keep: bool = False,
    ready_fd: int | None = None,
) -> None:
    """Bring a lab up and supervise it until told to stop; detached, return once it is ready. Raises LabError."""
    parent = _into_background() if detach else None
    terminal: Terminal | None = None
    temporary = directory is None
    place = Path(tempfile.mkdtemp(prefix="hardmail-")) if directory is None else directory.absolute()
    try:
        if (place / profiles.LAB_FILE).exists():
            lab = profiles.open_lab(place)
            if changes:
                raise LabError(f"{place} is a lab already: edit its files instead of --set")
        else:
            lab = profiles.render(profile_name, place, changes)
        unknown = [name for name in instances if name not in lab.instances]
        if unknown:
            raise LabError(f"no instance is called {unknown[0]}; there are: {', '.join(lab.instances)}")
        chosen = list(instances) or lab.instances
        terminal = _leave_terminal(lab) if parent is not None else None
        runner.run(
            lambda: plans(lab, chosen),
            command="up",
            sockets=_sockets(lab, chosen),
            ready_fd=ready_fd,
            directory=place,
            log=LogTarget(postfix_file=lab.directory / "log" / "hardmail.log"),
            announce=lambda: _announce(lab, as_json, terminal, parent),
        )
    except LabError:
        if terminal is not None:  # the person still waits for a word
            os.dup2(terminal.errors, 2)
        raise
    finally:
        if temporary and not keep:
            shutil.rmtree(place, ignore_errors=True)


def clock_changes(profile: str) -> list[str]:
    """What --clock sets: whoever can move the time needs no shortened pauses, and gets those of Postfix."""
    pauses = "queue_run_delay = 300s\nminimal_backoff_time = 300s\nmaximal_backoff_time = 4000s"
    lines = f"hardmail_simulated_clock = yes\n{pauses}"
    return [f"{name}/main.cf:{lines}" for name in profiles.mail_instances(profile)]


def plans(lab: Lab, instances: Sequence[str]) -> list[Plan]:
    """The plans of these instances, and of the name server that they all ask. Raises PlanError."""
    found = plan.load_all([(Path(lab.instance(name)["confdir"]), name) for name in instances])
    return [*found, _dns(lab)] if lab.info.get("nameserver") else found


def _dns(lab: Lab) -> Plan:
    """The lab's name server; it runs whichever instances do."""
    host, port = lab.info["nameserver"]
    zones = lab.directory / "dns"
    listeners: tuple[Listener, ...] = (
        InetListener(host, port, "dns-tcp"),
        InetListener(host, port, "dns", datagram=True),
    )
    log = LogTarget(postfix_file=lab.directory / "log" / "dns.log")
    service = Service(
        name="dns",
        entry=DNS_ENTRY,
        preload=REACTOR,
        late=python_paths.late_modules(charsets=False),
        config=zones,
        listeners=listeners,
        identity=service_identity("nobody", explicit=True, role="mta", parameter="the name server"),
        rules=Rules(read=(*python_paths.SYSTEM, zones)),
        log=log,
        outlives=True,
    )
    return Plan(zones, (service,), (lab.directory / "lab.pid",), log=log)


def _sockets(lab: Lab, chosen: Sequence[str]) -> Sockets:
    """The reserved sockets of the chosen instances; the others stay bound, so that nobody takes their ports."""
    sockets = Sockets()
    for name, reserved in lab.reserved.items():
        for listener, sock in reserved:
            if name in chosen or listener.tag.startswith("dns"):
                sockets.adopt(listener, sock)
    return sockets


def _announce(lab: Lab, as_json: bool, terminal: Terminal | None, parent: int | None) -> None:
    """Print where everything is; a detached lab then lets its parent end."""
    lines = [json.dumps(lab.described())] if as_json else describe(lab)
    if parent is None and not as_json:
        lines.append("Ctrl-C ends it.")
    with open(os.dup(terminal.output if terminal else 1), "w") as output:  # noqa: PTH123 - a descriptor
        print("\n".join(lines), file=output)
    if terminal is not None and parent is not None:
        os.close(terminal.output)
        os.close(terminal.errors)
        os.write(parent, b"R")
        os.close(parent)


def describe(lab: Lab) -> list[str]:
    """The endpoints, users and files for a person."""
    lines = [f"hardmail lab in {lab.directory} (logs in {lab.info['log']})"]
    for name in lab.instances:
        instance = lab.instance(name)
        lines.append(f"  {name:<11} {instance['name']}")
        for service, (address, port) in instance["endpoints"].items():
            lines.append(f"    {service:<12} {address}:{port}")
    lines.append(f"  authority   {lab.info['ca_file']}")
    lines.append("  users")
    lines += [f"    {account.address:<24} {account.password}" for account in lab.accounts]
    return lines


# -- behind the terminal ---------------------------------------------------------------------------------------


def _into_background() -> int:
    """Fork. The child gets a pipe to report on; the parent exits once the child is ready, or as the child does."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        with open(reader, "rb") as pipe:  # noqa: PTH123 - a descriptor
            ready = pipe.read(1)
        if ready:
            sys.exit(os.EX_OK)
        _, status = os.waitpid(pid, 0)
        sys.exit(os.waitstatus_to_exitcode(status))
    os.close(reader)
    os.setsid()
    return writer


class Terminal(NamedTuple):
    """What a detaching lab keeps of its terminal until it is ready: descriptors for the last words."""

    output: int
    errors: int


def _leave_terminal(lab: Lab) -> Terminal:
    """Move the standard streams away from the terminal."""
    terminal = Terminal(os.dup(1), os.dup(2))
    log = open_file(lab.directory / "log" / "hardmail.log", os.O_RDWR | os.O_APPEND | os.O_CREAT)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(log)
    return terminal


__all__ = ["describe", "plans", "up"]
