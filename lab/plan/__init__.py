"""From a configuration directory to the services it asks for; every error of every file is told at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from lab.errors import PlanError
from lab.sandbox.identity import UnknownUser
from lab.supervisor.logs import LogTarget
from lab.supervisor.service import Plan

MAIN_CF, MASTER_CF, DOVECOT_CONF = "main.cf", "master.cf", "dovecot.conf"


def load(confdir: Path, name: str = "") -> Plan:
    """Read CONFDIR/main.cf and master.cf, and/or dovecot.conf. `name` stands before the service names in messages.

    Raises PlanError with every error found, one line each.
    """
    confdir = confdir.absolute()
    if not confdir.is_dir():
        raise PlanError([f"{confdir}: no such directory; name one that holds main.cf and master.cf, or dovecot.conf"])
    halves: list[Plan] = []
    errors: list[str] = []
    if (confdir / MAIN_CF).exists() or (confdir / MASTER_CF).exists():
        from lab.plan import postfix as plan_postfix

        halves += _attempt(lambda: plan_postfix.load(confdir, name), errors)
    if (confdir / DOVECOT_CONF).exists():
        from lab.plan import dovecot as plan_dovecot

        halves += _attempt(lambda: plan_dovecot.load(confdir, name), errors)
    if errors:
        raise PlanError(errors)
    if not halves:
        raise PlanError([f"{confdir}: neither {MAIN_CF} nor {DOVECOT_CONF} is there"])
    plan = _join(confdir, halves)
    if not plan.services:
        raise PlanError([f"{confdir}: no service is configured: no smtpd line in {MASTER_CF}, no protocols, no auth"])
    _check_listeners(plan)
    return plan


def _attempt(read: Callable[[], Plan], errors: list[str]) -> list[Plan]:
    try:
        return [read()]
    except PlanError as error:
        errors += error.lines
    except UnknownUser as error:
        errors.append(str(error))
    return []


def _join(confdir: Path, halves: list[Plan]) -> Plan:
    log = LogTarget(
        postfix_file=next((half.log.postfix_file for half in halves if half.log.postfix_file), None),
        postfix_name=halves[0].log.postfix_name,
        dovecot_file=next((half.log.dovecot_file for half in halves if half.log.dovecot_file), None),
    )
    return Plan(
        confdir=confdir,
        services=tuple(service for half in halves for service in half.services),
        pid_files=tuple(path for half in halves for path in half.pid_files),
        directories=tuple(directory for half in halves for directory in half.directories),
        prepare=tuple(step for half in halves for step in half.prepare),
        log=log,
        warnings=lambda: tuple(warning for half in halves for warning in half.warnings()),
    )


def _check_listeners(plan: Plan) -> None:
    """The same listener twice would fail at bind with a message that blames another process."""
    seen: dict[object, str] = {}
    errors = []
    for service in plan.services:
        for listener in service.listeners:
            if listener.key in seen and listener.key[2:] != (0,):
                errors.append(f"{plan.confdir}: {listener} is asked for by {seen[listener.key]} and by {service.name}")
            seen[listener.key] = service.name
    if errors:
        raise PlanError(errors)


def processors() -> int:
    """How many workers are worthwhile where the configuration leaves the number open: one per usable processor."""
    return max(1, len(os.sched_getaffinity(0)))


def load_all(confdirs: list[tuple[Path, str]]) -> list[Plan]:
    """The plans of several (directory, name) pairs. Raises PlanError with the errors of all of them."""
    plans: list[Plan] = []
    errors: list[str] = []
    for confdir, name in confdirs:
        try:
            plans.append(load(confdir, name))
        except PlanError as error:
            errors += error.lines
    if errors:
        raise PlanError(errors)
    return plans
