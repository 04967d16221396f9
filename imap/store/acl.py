"""Access control lists in Dovecot's `vfile` form: lines of `dovecot-acl`, and the rights that they come to (RFC 4314).

    user=bob lrwsti
    -user=bob t
    "group=sales and more" lr
    anyone lr

Rights are letters, or, behind a colon, names. A global file has the mailbox (with `*` and `?`) in front of each line.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from imap.store.errors import StoreError

# Every right by its letter, in the order in which MYRIGHTS tells them, and its name in Dovecot's files.
RIGHTS = {
    "l": "lookup",
    "r": "read",
    "w": "write",
    "s": "write-seen",
    "t": "write-deleted",
    "i": "insert",
    "p": "post",
    "e": "expunge",
    "k": "create",
    "x": "delete",
    "a": "admin",
}
ALL = frozenset(RIGHTS)
_LETTERS = {name: letter for letter, name in RIGHTS.items()}

# The kinds of identifiers, the weakest first: those of a later kind take the place of what earlier ones gave.
KINDS = ("anyone", "authenticated", "group", "owner", "user", "group-override")
_NAMED = ("group", "user", "group-override")

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")


class BadAcl(StoreError):
    """A line that is no ACL. Nobody gets a right from such a file."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """Whom an entry is for."""

    kind: str  # one of KINDS
    name: str = ""  # of a user or group

    @property
    def text(self) -> str:
        """As it stands in a file."""
        return f"{self.kind}={self.name}" if self.kind in _NAMED else self.kind

    @property
    def order(self) -> tuple[int, str]:
        """Where it comes among others."""
        return KINDS.index(self.kind), self.name


@dataclass(frozen=True, slots=True)
class Entry:
    """What one identifier may do, and what it may not whoever else may; None: nothing is said of it."""

    identifier: Identifier
    rights: frozenset[str] | None = None
    negative: frozenset[str] | None = None
    is_global: bool = False


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks."""

    user: str
    groups: frozenset[str] = frozenset()

    def is_meant(self, identifier: Identifier, *, owner: bool) -> bool:
        """Whether an identifier stands for this person, who may own the mailbox."""
        if identifier.kind == "owner":
            return owner
        if identifier.kind == "user":
            return identifier.name == self.user
        return identifier.kind in ("anyone", "authenticated") or identifier.name in self.groups


def parse(text: str, *, is_global: bool = False) -> list[Entry]:
    """The entries of a file, in order. Raises BadAcl."""
    found: dict[Identifier, Entry] = {}
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            identifier, negative, rights = _line(line.strip())
            entry = found.get(identifier, Entry(identifier, is_global=is_global))
            old = entry.negative if negative else entry.rights
            rights |= old or frozenset()
            found[identifier] = replace(entry, negative=rights) if negative else replace(entry, rights=rights)
    return in_order(found.values())


def word(text: str) -> tuple[str, str]:
    """The first word, which may be quoted, and the rest."""
    quoted = _QUOTED.match(text)
    if quoted is not None:
        return _ESCAPED.sub(r"\1", quoted[1]), text[quoted.end() :].strip()
    first, _, rest = text.partition(" ")
    return first, rest.strip()


def _line(line: str) -> tuple[Identifier, bool, frozenset[str]]:
    name, rest = word(line)
    negative = name.startswith("-")
    kind, equals, name = name.removeprefix("-").partition("=")
    if kind not in KINDS or bool(equals) != (kind in _NAMED):
        raise BadAcl(code="SERVERBUG", reason=f"ACL: no identifier: {line!r}")
    letters, _, names = rest.partition(":")
    rights = frozenset(letters.strip()) | {_LETTERS.get(each, each) for each in names.split()}
    if not set(letters.strip()) <= ALL:
        raise BadAcl(code="SERVERBUG", reason=f"ACL: unknown right: {line!r}")
    return Identifier(kind, name), negative, rights


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """As Dovecot writes and weighs them: by kind and name, the global ones last."""
    return sorted(entries, key=lambda entry: (entry.is_global, *entry.identifier.order))


def write(entries: Iterable[Entry]) -> str:
    """The file for entries."""
    lines = []
    for entry in in_order(entries):
        for sign, rights in (("", entry.rights), ("-", entry.negative)):
            if rights is not None:
                name = sign + entry.identifier.text
                if " " in name:
                    name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
                lines.append(f"{name} {_in_file(rights)}".rstrip() + "\n")
    return "".join(lines)


def _in_file(rights: frozenset[str]) -> str:
    own = sorted(rights - ALL)
    return by_name(rights) + (f" :{' '.join(own)}" if own else "")


def by_name(rights: Iterable[str]) -> str:
    """The letters in the order of the rights' names."""
    return "".join(sorted(set(rights) & ALL, key=lambda letter: RIGHTS[letter]))


def effective(entries: Sequence[Entry], person: Person, *, owner: bool) -> frozenset[str] | None:
    """What a person may do, by entries that are in order; None where none of them is for him.

    Of the entries that are for one, those of the strongest kind hold, global ones before local ones. What was taken
    away stays so, except that an owner's local entry and the first global one make up for what weaker ones took away.
    An owner has all rights where no stronger entry says other.
    """
    if owner:
        own = next((entry for entry in entries if entry.identifier.kind == "owner" and not entry.is_global), None)
        first = own or Entry(Identifier("owner"))
        first = first if first.rights is not None else replace(first, rights=ALL)
        entries = in_order([first, *(entry for entry in entries if entry is not own)])
    rights: frozenset[str] = frozenset()
    negative: frozenset[str] = frozenset()
    before: Entry | None = None
    for entry in entries:
        if not person.is_meant(entry.identifier, owner=owner):
            continue
        same = before is not None and _class(before) == _class(entry)
        if entry.rights is not None:
            rights = entry.rights | rights if same else entry.rights
        if _makes_up(entry, before):
            negative = entry.negative or frozenset()
        elif entry.negative is not None:
            negative = entry.negative | negative if same else entry.negative
        before = entry
    return None if before is None else rights - negative


def _makes_up(entry: Entry, before: Entry | None) -> bool:
    """Whether an entry puts an end to what those before it took away."""
    if entry.is_global:
        return before is None or not before.is_global
    return entry.identifier.kind == "owner"


def _class(entry: Entry) -> tuple[bool, str]:
    return entry.is_global, entry.identifier.kind
