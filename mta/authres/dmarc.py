"""DMARC (RFC 7489): what a domain asks for, and whether SPF or DKIM vouch for the domain of the From header. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mta.authres import tags

WALK_LIMIT: Final = 8
"""Names that are asked about for one domain, however many labels it has."""


@dataclass(frozen=True, slots=True)
class Policy:
    """A record at _dmarc.NAME."""

    name: str
    policy: str
    subdomain_policy: str
    strict_dkim: bool = False
    strict_spf: bool = False
    public_suffix: str = "u"
    """psd=: y for a name below which others register, n for an organization's own."""


def parse(name: str, texts: Iterable[str]) -> Policy | None:
    """The one record among the TXT records at _dmarc.NAME; None if there is none, or more than one."""
    found = [text for text in texts if text.replace(" ", "").startswith("v=DMARC1")]
    if len(found) != 1:
        return None
    try:
        tag = tags.parse(found[0])
    except ValueError:
        return None
    policy = tag.get("p", "none").lower()
    if tag.get("v") != "DMARC1" or policy not in ("none", "quarantine", "reject"):
        return None
    below = tag.get("sp", policy).lower()
    strict = [tag.get(each, "r").lower() == "s" for each in ("adkim", "aspf")]
    return Policy(name, policy, below, strict[0], strict[1], tag.get("psd", "u").lower())


def walk(domain: str) -> Iterator[str]:
    """The names to ask about: the domain, and its parents; of a long name only the last labels.

    A top-level domain is no organization, whatever it publishes, and is left in peace.
    """
    yield domain
    labels = domain.split(".")[1:]
    for start in range(max(0, len(labels) - WALK_LIMIT), len(labels) - 1):
        yield ".".join(labels[start:])


def organizational(domain: str, records: Mapping[str, Policy]) -> str:
    """The organization's domain, by the records that the walk has found: the highest one that is no public suffix.

    A list of public suffixes would be out of date soon; the records themselves say where an organization ends.
    """
    chosen, below = domain, domain
    for name in walk(domain):
        record = records.get(name)
        if record is not None and record.public_suffix == "y":
            return below if name != domain else chosen
        if record is not None:
            chosen = name
            if record.public_suffix == "n":
                return chosen
        below = name
    return chosen


def aligned(domain: str, other: str, *, strict: bool, records: Mapping[str, Policy]) -> bool:
    """Section 3.1: the same domain, or, relaxed, the same organization."""
    if domain == other:
        return True
    return not strict and organizational(domain, records) == organizational(other, records)
