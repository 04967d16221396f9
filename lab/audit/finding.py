"""What can be wrong with a server, why that matters and how it is mended; and where it was seen to be wrong."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from lab.behaviours.catalogue import SLUGS, find


class Severity(enum.IntEnum):
    """How bad it is. INFO is no fault: an observation that a scanner's reader expects."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def word(self) -> str:
        return self.name.lower()


PRODUCTS = {"main.cf": "Postfix", "dovecot.conf": "Dovecot"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that can be wrong.

    id        the slug of the behaviour, where the catalogue has one
    cwe       the number in the Common Weakness Enumeration
    why       what an attacker gains
    remedies  configuration lines by product; Postfix's and Dovecot's are the behaviour's own where they are not given
    """

    id: str
    title: str
    severity: Severity
    cwe: int
    why: str
    remedies: Mapping[str, str] = field(default_factory=dict)

    @property
    def behaviour(self) -> str | None:
        """The slug of the documented behaviour that this is the lack of."""
        return self.id if self.id in SLUGS else None

    def mending(self) -> dict[str, str]:
        """Product to configuration lines."""
        lines: dict[str, list[str]] = {}
        for change in find(self.id).configuration if self.id in SLUGS else ():
            lines.setdefault(PRODUCTS.get(change.file.rpartition("/")[2], ""), []).append(change.text)
        own = {product: "\n".join(texts) for product, texts in lines.items() if product}
        return {**own, **self.remedies}


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a target breaks. `said` is one line, `evidence` what crossed the wire."""

    rule: Rule
    target: str
    severity: Severity
    said: str
    evidence: tuple[str, ...] = ()
