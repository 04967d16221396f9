"""Who may do what with which mailbox: the ACL plugin (`acl = vfile`) over the names of one user (RFC 4314)."""

import fnmatch
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from imap.store import acl
from imap.store.acl import ALL, Entry, Identifier, Person
from imap.store.dictfile import DictFile
from imap.store.dotlock import dotlock
from imap.store.errors import NonExistent, NoPermission
from imap.store.jail import CONTROL_FILE_LIMIT, Directory, file_stamp
from imap.store.layout import ROOT, Parts
from imap.store.listing import Namespace

log = logging.getLogger("dovecot.store")

NAME = "dovecot-acl"
# Dovecot's cache of who may look up what; it makes it anew where it is missing.
_CACHE = "dovecot-acl-list"

NO_ADMIN = "You lack administrator privileges on this mailbox"
# One of these, and MYRIGHTS tells of the mailbox (RFC 4314 section 4).
_TELLING = frozenset("lrikxa")


@dataclass(frozen=True, slots=True)
class AclSettings:
    """Settings of `plugin { acl... }`."""

    everywhere: tuple[tuple[str, Entry], ...] = ()  # the global file: mailbox pattern and entry
    anyone: bool = False  # acl_anyone = allow: users may give rights to everyone
    globals_only: bool = False  # acl_globals_only
    shared_dict: str = ""  # acl_shared_dict = file:PATH, relative to the mail root; "" = none


def read_global(text: str) -> tuple[tuple[str, Entry], ...]:
    """The lines of a global ACL file. Raises BadAcl."""
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        if line.strip() and not line.startswith("#"):
            pattern, rest = acl.word(line.strip())
            found.setdefault(pattern, []).append(rest)
    return tuple(
        (pattern, entry) for pattern, lines in found.items() for entry in acl.parse("\n".join(lines), is_global=True)
    )


class Access:
    """The rights of one user."""

    def __init__(self, person: Person, settings: AclSettings, root: Directory) -> None:
        self.person = person
        self.settings = settings
        self._root = root
        self._known: dict[str, tuple[str, list[Entry] | None]] = {}

    def is_owner(self, namespace: Namespace) -> bool:
        """Whether a namespace is the user's own."""
        return namespace.owner == self.person.user

    # -- files --------------------------------------------------------------------------------------------------------

    def _local(self, namespace: Namespace, parts: Parts) -> list[Entry] | None:
        """The entries of a mailbox's own file; None where it has none. Raises BadAcl."""
        if self.settings.globals_only:
            return None
        path = namespace.place.folder(parts).mail
        try:
            with self._root.directory(path) as directory:
                stamp = file_stamp(directory, NAME)
                known = self._known.get(path)
                if known is None or known[0] != stamp:
                    text = directory.read(NAME, CONTROL_FILE_LIMIT) if stamp else None
                    known = stamp, None if text is None else acl.parse(text.decode("utf-8", "surrogateescape"))
                    self._known[path] = known
                return known[1]
        except (FileNotFoundError, NotADirectoryError):
            return None

    def _default(self, namespace: Namespace) -> list[Entry] | None:
        """The entries of the namespace's root, for mailboxes without any; INBOX's own where that lies there."""
        location = namespace.place.location
        is_inbox = namespace.info.inbox or namespace.info.kind == "shared"
        return None if is_inbox and location.inbox == location.root else self._local(namespace, ROOT)

    def entries(self, namespace: Namespace, parts: Parts) -> list[Entry]:
        """Those of the mailbox, and the global ones for it. Raises BadAcl."""
        name = namespace.name(parts)
        everywhere = [
            entry
            for pattern, entry in self.settings.everywhere
            if fnmatch.fnmatchcase(name, pattern.replace("[", "[[]"))
        ]
        return acl.in_order([*(self._local(namespace, parts) or ()), *everywhere])

    # -- rights -------------------------------------------------------------------------------------------------------

    def rights(self, namespace: Namespace, parts: Parts) -> frozenset[str]:
        """What the user may do with a mailbox, which need not be there."""
        try:
            found = self._effective(namespace, self.entries(namespace, parts))
            return found if found is not None else self._default_rights(namespace)
        except acl.BadAcl as error:
            log.error("%s: %s", namespace.name(parts), error.reason)
            return frozenset()

    def _effective(self, namespace: Namespace, entries: Sequence[Entry]) -> frozenset[str] | None:
        owner = self.is_owner(namespace)
        if owner and not entries:
            return None
        return acl.effective(entries, self.person, owner=owner)

    def _default_rights(self, namespace: Namespace) -> frozenset[str]:
        found = self._effective(namespace, self._default(namespace) or ())
        return found if found is not None else ALL if self.is_owner(namespace) else frozenset()

    def require(self, right: str, namespace: Namespace, parts: Parts) -> frozenset[str]:
        """The rights, if this one is among them. Raises NoPermission, or NonExistent to whom may not even know."""
        rights = self.rights(namespace, parts)
        if right not in rights:
            if "l" in rights:
                raise NoPermission(NO_ADMIN if right == "a" else None)
            raise NonExistent(namespace.name(parts))
        return rights

    def require_create(self, namespace: Namespace, parts: Parts) -> None:
        """A new mailbox needs the right at its parent, or in the namespace. Raises NoPermission."""
        parent = next(self._above(namespace, parts), None)
        rights = self.rights(namespace, parent) if parent else self._default_rights(namespace)
        if "k" not in rights:
            raise NoPermission()

    def told(self, namespace: Namespace, parts: Parts) -> frozenset[str]:
        """For MYRIGHTS. Raises NonExistent."""
        rights = self.rights(namespace, parts)
        if not rights & _TELLING:
            raise NonExistent(namespace.name(parts))
        return rights

    def _above(self, namespace: Namespace, parts: Parts) -> Iterator[Parts]:
        """The mailboxes above a name, the nearest first."""
        for depth in range(len(parts) - 1, 0, -1):
            if namespace.place.exists(parts[:depth]):
                yield parts[:depth]

    # -- changing -----------------------------------------------------------------------------------------------------

    def inherit(self, namespace: Namespace, parts: Parts) -> None:
        """Give a new mailbox the entries of what lies above it."""
        if self.settings.globals_only:
            return
        for above in self._above(namespace, parts):
            entries = self._local(namespace, above)
            if entries is not None:
                break
        else:
            entries = self._default(namespace)
        if entries is not None:
            self._write(namespace, parts, entries)

    def change(
        self, namespace: Namespace, parts: Parts, identifier: Identifier, mode: str, rights: frozenset[str] | None,
        *, negative: bool,
    ) -> None:  # fmt: skip
        """SETACL and (``rights`` None) DELETEACL: "replace", "add" or "remove" what an identifier has.

        An owner keeps the right to administer what he gives to himself.
        """
        path = namespace.place.folder(parts).mail
        with self._root.directory(path) as directory, dotlock(directory, NAME):
            entries = {entry.identifier: entry for entry in self._local(namespace, parts) or ()}
            entry = entries.pop(identifier, None)
            old = None if entry is None else entry.negative if negative else entry.rights
            if rights is not None and mode != "replace":
                rights = None if old is None and mode == "remove" else _combined(mode, old or frozenset(), rights)
            mine = self.is_owner(namespace) and self.person.is_meant(identifier, owner=True)
            if rights is not None and mine and not negative and identifier.kind in ("owner", "user"):
                rights |= {"a"}
            entry = entry or Entry(identifier)
            entry = replace(entry, negative=rights) if negative else replace(entry, rights=rights)
            if entry.rights is not None or entry.negative is not None:
                entries[identifier] = entry
            directory.replace(NAME, acl.write(entries.values()).encode("utf-8", "surrogateescape"))
        self._forget_cache(namespace)
        self._publish(namespace)

    def _write(self, namespace: Namespace, parts: Parts, entries: Sequence[Entry]) -> None:
        with self._root.directory(namespace.place.folder(parts).mail) as directory, dotlock(directory, NAME):
            directory.replace(NAME, acl.write(entries).encode("utf-8", "surrogateescape"))
        self._forget_cache(namespace)

    def _forget_cache(self, namespace: Namespace) -> None:
        with self._root.directory(namespace.place.location.root) as directory:
            directory.unlink(_CACHE, missing_ok=True)

    # -- who shares with whom -----------------------------------------------------------------------------------------

    def owners(self) -> list[str]:
        """The users who let this one look up a mailbox of theirs, by acl_shared_dict."""
        if not self.settings.shared_dict:
            return []
        names = [f"user/{_escape(self.person.user)}", "anyone", *(f"group/{_escape(g)}" for g in self.person.groups)]
        found: set[str] = set()
        for name in names:
            prefix = f"shared/shared-boxes/{name}/"
            found.update(_unescape(key[len(prefix) :]) for key in self._dict().read(prefix))
        return sorted(found - {self.person.user})

    def _dict(self) -> DictFile:
        return DictFile(self._root, self.settings.shared_dict)

    def _publish(self, namespace: Namespace) -> None:
        """Note in acl_shared_dict who may look up one of the owner's mailboxes."""
        if not self.settings.shared_dict or not namespace.owner:
            return
        wanted: set[str] = set()
        for parts in namespace.place.names():
            try:
                entries = self._local(namespace, parts) or []
            except acl.BadAcl:
                continue
            wanted |= {_dict_name(entry.identifier) for entry in entries if "l" in (entry.rights or ())}
        owner = _escape(namespace.owner)
        keys = {f"shared/shared-boxes/{name}/{owner}" for name in wanted if name and name != f"user/{owner}"}
        old = {key for key in self._dict().read("shared/shared-boxes/") if key.endswith(f"/{owner}")}
        changes: Mapping[str, bytes | None] = {**dict.fromkeys(old - keys), **dict.fromkeys(keys - old, b"1")}
        if changes:
            self._dict().change(changes)


def _combined(mode: str, old: frozenset[str], rights: frozenset[str]) -> frozenset[str]:
    return old | rights if mode == "add" else old - rights


def _dict_name(identifier: Identifier) -> str:
    if identifier.kind in ("user", "group"):
        return f"{identifier.kind}/{_escape(identifier.name)}"
    return "anyone" if identifier.kind in ("anyone", "authenticated") else ""


def _escape(name: str) -> str:
    """A part of a dict key (dict_escape_string)."""
    return name.replace("\\", "\\\\").replace("/", "\\|")


def _unescape(name: str) -> str:
    return name.replace("\\|", "/").replace("\\\\", "\\")


def may_set(rights: frozenset[str], flag: str) -> bool:
    """Whether a flag or keyword may be set and taken away (RFC 4314 section 4)."""
    return {"\\Seen": "s", "\\Deleted": "t"}.get(flag, "w") in rights


def is_read_only(rights: frozenset[str]) -> bool:
    """Whether nothing in a mailbox can be changed."""
    return not rights & frozenset("wstie")
