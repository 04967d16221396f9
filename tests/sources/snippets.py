"""The configuration lines that the source documents print (snippets.toml), and how they get into a laboratory."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.behaviours import Behaviour, find
from lab.behaviours.base import Change

# The documents' places become those of a laboratory, which has no other users and no ports below 1024.
PLACES = {
    "/etc/postfix/cacert.pem": "@{ca_file}",
    "/etc/postfix/FOO-cert.pem": "@{certificate}",
    "/etc/postfix/FOO-key.pem": "@{key}",
    "/etc/postfix/": "@{confdir}/",
    "/var/run/": "@{data}/",
    "/var/spool/postfix/": "@{queue}/",
    "user = postfix": "user = @{postfix_user}",
    "group = postfix": "group = @{postfix_group}",
}


@dataclass(frozen=True)
class Snippet:
    """Lines of a document; see the head of snippets.toml."""

    name: str
    source: str
    lines: str
    text: str
    into: str = ""
    shows: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    before: str = ""
    inside: str = ""
    also: tuple[str, ...] = ()

    @property
    def change(self) -> Change:
        """The lines as the laboratory's file gets them."""
        text = self.text
        for theirs, ours in PLACES.items():
            text = text.replace(theirs, ours)
        return Change(self.into, f"{self.inside} {{\n{text}}}" if self.inside else text)

    def stack(self) -> tuple[list[str], list[Change]]:
        """The instances, and the changes: what weakens them (or what they are given), then the lines of the document."""
        behaviours = [find(slug) for slug in (*self.shows, *self.opens)]
        changes = [change for behaviour in behaviours for change in behaviour.given]
        changes += [change for slug in self.shows for change in _weakened(find(slug))]
        if self.before:
            changes.append(Change(self.into, self.before))
        instances = dict.fromkeys(name for behaviour in behaviours for name in behaviour.instances)
        return list(instances), [*changes, self.change, *(SNIPPETS[name].change for name in self.also)]


def _weakened(behaviour: Behaviour) -> tuple[Change, ...]:
    return behaviour.twin.changes if behaviour.twin else ()


def _load() -> Iterator[Snippet]:
    data: dict[str, dict[str, Any]] = tomllib.loads(Path(__file__).with_name("snippets.toml").read_text("utf-8"))
    for name, entry in data.items():
        lists = {key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()}
        yield Snippet(name, **lists)


SNIPPETS = {snippet.name: snippet for snippet in _load()}
Test = TypeVar("Test", bound=Callable[..., Any])
FED: set[str] = {snippet.name for snippet in SNIPPETS.values() if snippet.into}
"""Names of the snippets that a test feeds."""


def feeds(*names: str) -> Callable[[Test], Test]:
    """Marks the test that feeds these snippets."""
    for name in names:
        FED.add(SNIPPETS[name].name)
    return lambda test: test
