"""The behaviours as data: each is complete, and its configuration line stands in the profile as the source has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab import profiles
from lab.behaviours import SLUGS, Behaviour, Outcome, catalogue, find, hardened
from lab.behaviours.runner import Run, Shown
from lab.wire import Transcript

PROFILE = Path(next(iter(profiles.__path__))) / "hardened"

# Where the catalogue names a weakened twin; the other behaviours have none by their nature.
WITHOUT_TWIN = {
    "port-taken", "local-domains", "null-client", "sendmail-command", "queue-without-daemon", "smarthost-auth",
    "queue-survives-crash", "no-system-users", "implicit-tls", "pop3", "last-value-wins", "no-root",
}  # fmt: skip


def profile_text(file: str) -> str:
    """A file of the profile; dovecot.conf with what it includes."""
    path = PROFILE / file
    more = sorted((path.parent / "conf.d").glob("*.conf")) if path.name == "dovecot.conf" else []
    return "\n".join(part.read_text() for part in (path, *more))


@pytest.mark.parametrize("slug", SLUGS)
def test_behaviour_is_complete(slug: str) -> None:
    behaviour = find(slug)
    assert behaviour.slug == slug
    assert behaviour.source
    assert behaviour.expectation
    assert (behaviour.twin is None) == (slug in WITHOUT_TWIN)


@pytest.mark.parametrize("behaviour", catalogue(), ids=lambda behaviour: behaviour.slug)
def test_configuration_stands_in_the_profile(behaviour: Behaviour) -> None:
    given = {(change.file, change.text) for change in behaviour.given}
    for change in behaviour.configuration:
        if (change.file, change.text) in given:
            continue
        for line in change.text.splitlines():
            assert re.search(re.escape(line).replace(r"\ ", r"\s+"), profile_text(change.file)), (
                f"{change.file}: {line}"
            )


def test_unknown_slug() -> None:
    with pytest.raises(KeyError):
        find("no-such-behaviour")


def ended(outcome: Outcome) -> Run:
    finding = hardened("")
    return Run(type(finding)(outcome, ""), Transcript(), 0.0)


@pytest.mark.parametrize(
    ("on_hardened", "on_twin", "works"),
    [
        (Outcome.HARDENED, Outcome.OPEN, True),
        (Outcome.HARDENED, Outcome.HARDENED, False),  # a probe that cannot fail shows nothing
        (Outcome.HARDENED, Outcome.FAILED, False),
        (Outcome.OPEN, Outcome.OPEN, False),
        (Outcome.FAILED, Outcome.OPEN, False),
    ],
)
def test_a_behaviour_works_only_if_its_twin_is_open(on_hardened: Outcome, on_twin: Outcome, works: bool) -> None:
    assert Shown(find("no-open-relay"), ended(on_hardened), ended(on_twin)).works is works
