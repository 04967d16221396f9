"""Restriction lists compiled: words of main.cf, an access table or a class become steps that the engine can take."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.config import ConfigError, Location
from mta.smtpd.access.check import Check, Verdict

if TYPE_CHECKING:
    from mta.smtpd.access.engine import Access

WARN_IF_REJECT = "warn_if_reject"

UNSUPPORTED = {
    "check_relay_domains": "removed from Postfix; use permit_mynetworks, reject_unauth_destination",
    "permit_naked_ip_address": "removed from Postfix; use permit_mynetworks or permit_sasl_authenticated",
}
"""Names that once meant something, or that need what is not here: an error that says so, never a weaker list."""


@dataclass(frozen=True, slots=True)
class Step:
    """One restriction with its argument bound."""

    name: str
    run: Callable[[Check], Awaitable[Verdict]]
    warn_only: bool = False


class BadRestriction(ValueError):
    """A restriction that cannot be understood; the message says why."""


def compile_list(access: Access, words: list[str], bare_table: str) -> tuple[Step, ...]:
    """Steps for a list's words. `bare_table`: the restriction that a bare `type:table` stands for, empty for none.

    Raises BadRestriction for the first mistake.
    """
    steps = []
    remaining = iter(words)
    warn_only = False
    for word in remaining:
        name = word.lower()
        if name == WARN_IF_REJECT:
            warn_only = True
            continue
        steps.append(Step(name, _bind(access, word, name, remaining, bare_table), warn_only))
        warn_only = False
    return tuple(steps)


def _bind(
    access: Access, word: str, name: str, remaining: Iterator[str], bare_table: str
) -> Callable[[Check], Awaitable[Verdict]]:
    from mta.smtpd.access.registry import RESTRICTIONS

    if ":" in word and name.partition(":")[0] not in RESTRICTIONS:
        if not bare_table:
            raise BadRestriction(f"a table needs a restriction in front of it here: {word}")
        return RESTRICTIONS[bare_table].bind(access, word)
    row = RESTRICTIONS.get(name)
    if row is not None:
        if not row.takes_argument:
            return row.bind(access, "")
        argument = next(remaining, None)
        if argument is None:
            raise BadRestriction(f"{name}: an argument is missing")
        return row.bind(access, argument)
    if word in access.class_names:
        return lambda check: access.run_class(word, check)
    if name in UNSUPPORTED:
        raise BadRestriction(f"{name}: {UNSUPPORTED[name]}")
    raise BadRestriction(f'unknown smtpd restriction: "{word}"')


def errors_in(
    access: Access, parameter: str, words: list[str], bare_table: str, where: Location
) -> Iterator[ConfigError]:
    """The mistakes of one parameter, found without stopping at the first."""
    position = 0
    while position < len(words):
        for end in range(position + 1, len(words) + 1):
            try:
                compile_list(access, words[position:end], bare_table)
            except BadRestriction as problem:
                if "argument is missing" in str(problem) and end < len(words):
                    continue
                yield ConfigError(where, f"{parameter}: {problem}")
            position = end
            break
