"""The behaviours as data: each is complete, and its configuration line stands in the profile as the source has it."""

from __future__ import annotations

from pathlib import Path

import pytest

import lab
from lab.behaviours import DEMO, SLUGS, Behaviour, Outcome, catalogue, demonstrated, find, hardened, reference
from lab.behaviours.command import described
from lab.behaviours.restrictions import listed, without
from lab.behaviours.runner import Run, Shown
from lab.behaviours.where import place_of, standings
from lab.wire import Transcript

# Where the catalogue names a weakened twin; the other behaviours have none by their nature.
WITHOUT_TWIN = {
    "port-taken", "local-domains", "null-client", "sendmail-command", "queue-without-daemon", "smarthost-auth",
    "queue-survives-crash", "no-system-users", "implicit-tls", "pop3", "last-value-wins", "no-root", "backup-mx",
    "virtual-aliases", "virtual-mailboxes", "authenticated-relay", "central-root-mail", "generic-maps",
    "transport-maps", "relay-only", "proxy-authorization", "sasl-mechanisms", "postconf", "master-cf", "config-check",
    "ssh-tunnel", "saslauthd", "saslpasswd", "password-backends",
}  # fmt: skip


@pytest.mark.parametrize("slug", SLUGS)
def test_behaviour_is_complete(slug: str) -> None:
    behaviour = find(slug)
    assert behaviour.slug == slug
    assert behaviour.source
    assert behaviour.expectation
    assert behaviour.why
    assert (behaviour.twin is None) == (slug in WITHOUT_TWIN)


@pytest.mark.parametrize("behaviour", catalogue(), ids=lambda behaviour: behaviour.slug)
def test_configuration_stands_in_the_profile_or_in_its_own_stack(behaviour: Behaviour) -> None:
    given = "\n".join(change.text for change in behaviour.given)
    for standing in standings(behaviour):
        assert standing.place is not None or standing.line.strip().rstrip(",") in given, standing


def test_demonstration_is_part_of_the_catalogue() -> None:
    assert [slug for slug in SLUGS if slug in DEMO] == list(DEMO)
    assert [behaviour.slug for behaviour in demonstrated()] == list(DEMO)


def test_every_line_of_a_configuration_is_found_where_it_stands() -> None:
    assert place_of("mailhost/main.cf", "reject_unauth_pipelining") == place_of(
        "mailhost/main.cf", "  reject_unauth_pipelining,"
    )
    assert place_of("mailhost/dovecot.conf", "auth_failure_delay = 2 secs") is not None
    assert place_of("mailhost/main.cf", "Who may connect") is None  # a comment is no configuration
    assert place_of("mailhost/main.cf", "reject_nothing_at_all") is None


def test_a_restriction_is_taken_out_of_the_profile_s_own_list() -> None:
    whole = listed("smtpd_recipient_restrictions")
    change = without("smtpd_recipient_restrictions", "reject_rbl_client")
    kept = [line.strip().rstrip(",") for line in change.text.splitlines()[1:]]
    assert kept == [entry for entry in whole if not entry.startswith("reject_rbl_client")]
    assert len(kept) < len(whole)
    with pytest.raises(LookupError):
        without("smtpd_recipient_restrictions", "reject_rhsbl_sender")
    with pytest.raises(LookupError):
        listed("smtpd_etrn_restrictions")


def test_documentation_is_up_to_date() -> None:
    text = (Path(lab.__file__).parents[1] / "docs" / "behaviours.md").read_text()
    assert text == reference.page(), "python -m lab.behaviours.reference > docs/behaviours.md"


@pytest.mark.parametrize("behaviour", catalogue(), ids=lambda behaviour: behaviour.slug)
def test_a_behaviour_is_explained(behaviour: Behaviour) -> None:
    text = described(behaviour)
    for part in (behaviour.title, behaviour.expectation, *(b.text.splitlines()[0] for b in behaviour.configuration)):
        assert part in text


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
