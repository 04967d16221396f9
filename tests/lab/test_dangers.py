"""Dangerous combinations: none in the hardened profile, and each one is found when its line is turned."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import plan, profiles
from lab.behaviours import find
from lab.dangers import DANGERS

INSTANCES = ("nullclient", "mailhost", "outside")

# Where no weakened twin turns just that line.
OWN = {
    "smarthost-auth": [
        ("nullclient/main.cf", "smtp_tls_security_level = may\nsmtp_sasl_security_options = noanonymous"),
    ],
}


def dangers(directory: Path, changes: list[tuple[str, str]]) -> set[str]:
    """The slugs of what `hardmail check` would name for the profile with these changes."""
    lab = profiles.render("hardened", directory / "lab", changes)
    for reserved in lab.reserved.values():
        for _, sock in reserved:
            sock.close()
    plans = [plan.load(Path(lab.instance(name)["confdir"])) for name in INSTANCES]
    return {danger.slug for danger in DANGERS for found in plans if danger.holds(found)}


def test_hardened_profile_has_none(place: Path) -> None:
    assert dangers(place, []) == set()


@pytest.mark.parametrize("slug", [danger.slug for danger in DANGERS])
def test_danger_is_found(slug: str, place: Path) -> None:
    twin = find(slug).twin
    changes = OWN.get(slug) or [(change.file, change.text) for change in (twin.changes if twin else ())]
    assert slug in dangers(place, changes)


def test_every_danger_names_its_source() -> None:
    for danger in DANGERS:
        assert danger.source
        assert danger.text


@pytest.mark.parametrize(
    ("networks", "found"),
    [
        ("0.0.0.0/0", True),
        ("[::]/0", True),
        ("0.0.0.0/1 128.0.0.0/1", True),
        ("10.0.0.0/8", False),
        ("[2001:db8::]/32", False),
        ("hash:/nonexistent 127.0.0.1", False),
    ],
)
def test_only_networks_of_strangers_are_dangerous(networks: str, found: bool, place: Path) -> None:
    assert ("trusted-networks" in dangers(place, [("mailhost/main.cf", f"mynetworks = {networks}")])) is found
