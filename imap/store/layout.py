"""Mailbox names and the directories that they stand for: Maildir++ (`.a.b`) and LAYOUT=fs (`a/b`).

A name from the wire becomes a tuple of parts first. A part can hold neither `/` nor, in Maildir++, `.`, is never a
way upwards, and is written in modified UTF-7: an escape has no spelling. The texts are Dovecot's.
"""

import os
from dataclasses import dataclass

from imap.store import mutf7
from imap.store.errors import InvalidName, NonExistent
from imap.store.location import Location

Parts = tuple[str, ...]
ROOT: Parts = ()  # the maildir at the root of a location: INBOX, or a namespace of its own

NAME_LIMIT = 4096  # characters of a whole name (Dovecot's MAILBOX_LIST_NAME_MAX_LENGTH)
PART_LIMIT = 255  # octets of one part on disk (NAME_MAX)
_RESERVED = frozenset({"cur", "new", "tmp"})  # directories of a maildir, so no parts of names in LAYOUT=fs
# Directories in the root of a Maildir++ that begin so are ours or Dovecot's, no mailboxes (`..DOVECOT-TRASHED`).
_PRIVATE_PREFIX = ".."


def invalid(why: str) -> InvalidName:
    """The error for a name that breaks a rule."""
    return InvalidName(f"Invalid mailbox name: {why}")


def split(name: str, separator: str, disk_separator: str) -> Parts:
    """Split a decoded name (namespace prefix already taken off) into its parts. Raises InvalidName."""
    if not name:
        raise invalid("Name is empty")
    if separator != disk_separator and disk_separator in name:
        raise InvalidName(f"Character not allowed in mailbox name: '{disk_separator}'")
    if name.startswith(separator):
        raise invalid("Begins with hierarchy separator")
    if name.endswith(separator):
        raise invalid("Ends with hierarchy separator")
    if separator * 2 in name:
        raise invalid("Has adjacent hierarchy separators")
    parts = tuple(name.split(separator))
    if disk_separator == ".":
        if any("/" in part for part in parts):
            raise invalid("Name must not have '/' characters")
    else:
        _check_fs(parts)
    if "\0" in name:
        raise invalid("Contains NUL")
    if name.startswith("~"):
        raise invalid("Begins with '~'")
    return parts


def _check_fs(parts: Parts) -> None:
    """The rules for parts that are directories of their own."""
    for part in parts:
        if part in (".", ".."):
            raise invalid(f"Contains '{part}' part")
        if part in _RESERVED:
            raise invalid("Contains reserved name")


def check_new(parts: Parts) -> None:
    """The further rules for names that are created. Raises InvalidName."""
    name = ".".join(parts)
    if any(char < " " for char in name):
        raise InvalidName("Control characters not allowed in new mailbox names")
    if len(name) > NAME_LIMIT or any(len(mutf7.encode(part)) > PART_LIMIT for part in parts):
        raise InvalidName("Mailbox name too long")


def to_disk(parts: Parts) -> Parts:
    """The parts as they are written on disk: modified UTF-7. Raises InvalidName."""
    return tuple(mutf7.encode(part).decode("ascii") for part in parts)


def from_disk(parts: Parts) -> Parts | None:
    """The decoded parts, or None if the disk name is none that could be reached by its name."""
    try:
        decoded = tuple(mutf7.decode(os.fsencode(part)) for part in parts)
    except InvalidName:
        return None
    if any(not part or part in (".", "..") or "/" in part or "\0" in part for part in decoded):
        return None
    return decoded


@dataclass(frozen=True, slots=True)
class Folder:
    """One mailbox's directories, relative to the mail root; `key` is its name in the index."""

    parts: Parts
    key: str
    mail: str
    control: str


@dataclass(frozen=True, slots=True)
class Layout:
    """How the names of one location map to directories."""

    location: Location

    def folder(self, parts: Parts) -> Folder:
        """Where the mailbox of these decoded parts lies. Raises InvalidName, NonExistent (no such name can be)."""
        disk = to_disk(parts)
        place = self.location
        if place.layout == "maildir++":
            key = ".".join(disk)
            relative = control = f"/.{key}" if parts else ""
        else:
            key = "/".join(disk)
            relative = control = f"/{key}" if parts else ""
            if not parts and place.control != place.root:
                control = "/INBOX"  # with CONTROL= the root has a directory of its own, beside its children
        if max(len(part) for part in relative.split("/")) > PART_LIMIT:
            raise NonExistent(place.separator.join(parts))
        if parts:
            return Folder(parts, key, place.root + relative, place.control + control)
        own = place.inbox != place.root and place.control == place.root
        return Folder(parts, key, place.inbox, place.inbox if own else place.control + control)

    def parts_of_directory(self, name: str) -> Parts | None:
        """Maildir++: the decoded parts of a directory name in the root, None if it is no mailbox."""
        if not name.startswith(".") or name.startswith(_PRIVATE_PREFIX) or name in (".", ".."):
            return None
        parts = tuple(name[1:].split("."))
        return None if "" in parts else from_disk(parts)
