"""The checks, one file per subject, in the order in which they are made: the first tells the others what to expect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lab.audit.checks import (
    authentication,
    certificate,
    dialogue,
    greeting,
    guessing,
    limits,
    mail,
    mailbox,
    protocols,
    recipients,
    starttls,
)
from lab.audit.finding import Rule
from lab.audit.visit import Visit


@dataclass(frozen=True, slots=True)
class Check:
    """A subject: what it is called on the command line, its probe, what it can find."""

    name: str
    look: Callable[[Visit], Awaitable[None]]
    rules: Sequence[Rule]


_MODULES: Final = {
    "greeting": greeting,
    "starttls": starttls,
    "protocols": protocols,
    "certificate": certificate,
    "authentication": authentication,
    "recipients": recipients,
    "dialogue": dialogue,
    "limits": limits,
    "mail": mail,
    "mailbox": mailbox,
    "guessing": guessing,
}
CHECKS: Final = tuple(Check(name, module.check, module.RULES) for name, module in _MODULES.items())
RULES: Final = tuple(rule for check in CHECKS for rule in check.rules)
