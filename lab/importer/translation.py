"""What a translation consists of: settings, each with the line that it comes from, and what has no counterpart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

BEFORE = {
    "mynetworks": ("127.0.0.0/8", "[::1]/128"),
    "smtpd_relay_restrictions": ("permit_mynetworks", "permit_sasl_authenticated"),
    "smtpd_recipient_restrictions": ("permit_mynetworks", "permit_sasl_authenticated"),
}
"""What a list begins with that is written because of something else: postconf(5)'s own value."""
AFTER = {"smtpd_relay_restrictions": ("reject_unauth_destination",)}


@dataclass(frozen=True, slots=True)
class Source:
    """A line of the original (or the first of several that belong together), counted from 1."""

    file: Path
    number: int
    text: str

    def __str__(self) -> str:
        return f"{self.file.name}, line {self.number}: {' '.join(self.text.split())}"


@dataclass(frozen=True, slots=True)
class Missing:
    """A line without a counterpart, and why."""

    source: Source
    why: str

    def __str__(self) -> str:
        return f"{self.source.file}, line {self.source.number}: {' '.join(self.source.text.split())}: {self.why}"


@dataclass(slots=True)
class Translation:
    """main.cf as it grows."""

    missing: list[Missing] = field(default_factory=list)
    _single: dict[str, tuple[Source, str]] = field(default_factory=dict)
    _lists: dict[str, dict[str, Source]] = field(default_factory=dict)
    _tables: dict[tuple[str, str], list[tuple[Source, str, str]]] = field(default_factory=dict)

    def set(self, source: Source, name: str, value: str) -> None:
        """`name = value`; the last one counts."""
        self._lists.pop(name, None)
        self._single.pop(name, None)
        self._single[name] = (source, one_line(value))

    def add(self, source: Source, name: str, *words: str) -> None:
        """More words, or restrictions, for a list."""
        self._single.pop(name, None)
        entries = self._lists.setdefault(name, {})
        for word in words:
            entries.setdefault(one_line(word), source)

    def look_up(self, source: Source, restrictions: str, check: str, key: str, action: str) -> None:
        """An entry of the table of `check`, such as check_client_access, in a list of restrictions."""
        action = one_line(action).replace("$", "$$")  # main.cf would expand it
        self._tables.setdefault((restrictions, check), []).append((source, key, action))
        self._lists.setdefault(restrictions, {})

    def none(self, source: Source, why: str) -> None:
        """This line has no counterpart."""
        self.missing.append(Missing(source, why))

    def lines(self) -> Iterator[str]:
        """main.cf; every setting under the lines that it comes from."""
        last = None
        for name, (source, value) in self._single.items():
            yield from () if source is last else ("", f"# {source}")
            yield f"{name} = {value}".rstrip()
            last = source
        for name, entries in self._lists.items():
            yield from self._list(name, entries)
        if self.missing:
            yield from ("", "# Without a counterpart:", *(f"# {entry.source}: {entry.why}" for entry in self.missing))

    def _list(self, name: str, entries: dict[str, Source]) -> Iterator[str]:
        comma = "," if name.endswith("_restrictions") else ""
        yield from ("", f"{name} =")
        yield from (f"  {word}{comma}" for word in BEFORE.get(name, ()) if word not in entries)
        yield from _sourced((source, f"{word}{comma}") for word, source in entries.items())
        for (restrictions, check), rows in self._tables.items():
            if restrictions == name:
                yield f"  {check} inline:{{"
                yield from _sourced((source, f"  {{ {key} = {action} }}") for source, key, action in rows)
                yield f"  }}{comma}"
        yield from (f"  {word}{comma}" for word in AFTER.get(name, ()) if word not in entries)


def _sourced(rows: Iterable[tuple[Source, str]]) -> Iterator[str]:
    """Lines under the source they come from; a source is told once for all its lines."""
    last = None
    for source, text in rows:
        if source is not last:
            yield f"# {source}"
        last = source
        yield f"  {text}"


def one_line(text: str) -> str:
    """Text that cannot end its line."""
    return " ".join(text.split())
