"""Mailbox names and the directories that they stand for: Maildir++ (`.a.b`) and LAYOUT=fs (`a/b`).

A name from the wire becomes a tuple of parts first. A part can hold neither `/` nor, in Maildir++, `.`, is never a
way upwards, and is written in modified UTF-7: an escape has no spelling. The texts are Dovecot's.
"""

import os
from dataclasses import dataclass

from imap.store import mutf7
from imap.store.errors import InvalidName
from imap.store.location import Location

Parts = tuple[str, ...]
INBOX: Parts = ("INBOX",)

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
    if parts[0].upper() == "INBOX":
        parts = ("INBOX", *parts[1:])
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
    if "\u2028" in name or "\u2029" in name:
        raise InvalidName("Line separators not allowed in new mailbox names")
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
        """Where the mailbox of these decoded parts lies. Raises InvalidName for what cannot be written."""
        disk = to_disk(parts)
        place = self.location
        if place.layout == "maildir++":
            relative = "" if parts == INBOX else "/." + ".".join(disk)
            control_relative = relative
        else:
            relative = "" if parts == INBOX else "/" + "/".join(disk)
            # With CONTROL= the INBOX has a directory of its own, beside its children.
            control_relative = "/" + "/".join(disk) if place.control != place.root else relative
        if len(relative.rpartition("/")[2]) > PART_LIMIT:
            raise InvalidName("Mailbox name too long")
        mail = place.inbox if parts == INBOX else place.root + relative
        control = place.control + control_relative
        if parts == INBOX and place.layout == "maildir++" and place.inbox != place.root and control == place.root:
            control = place.inbox
        return Folder(parts, ".".join(disk) if place.layout == "maildir++" else "/".join(disk), mail, control)

    def parts_of_directory(self, name: str) -> Parts | None:
        """Maildir++: the decoded parts of a directory name in the root, None if it is no mailbox."""
        if not name.startswith(".") or name.startswith(_PRIVATE_PREFIX) or name in (".", ".."):
            return None
        parts = tuple(name[1:].split("."))
        return None if "" in parts else from_disk(parts)
