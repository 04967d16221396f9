"""The plain values that the mail store takes and returns."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from imap.store.maildir import crlf_size

if TYPE_CHECKING:
    from imap.store.stream import Incoming

# The system flags that are kept (RFC 3501 section 2.3.2); \Recent is a property of the session, not of the message.
ANSWERED, FLAGGED, DELETED, SEEN, DRAFT = "\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft"
SYSTEM_FLAGS = (ANSWERED, FLAGGED, DELETED, SEEN, DRAFT)

StoreMode = Literal["replace", "add", "remove"]


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    """One name of the hierarchy, as LIST shows it. Parents that exist only through their children are included."""

    name: str  # decoded, with namespace prefix and separator
    selectable: bool = True  # False: only a parent of other names (LIST \NoSelect, LIST-EXTENDED \NonExistent)
    has_children: bool = False
    subscribed: bool = False
    special_use: tuple[str, ...] = ()  # "\\Sent" ... from `mailbox {}` blocks
    separator: str = "."
    namespace: str = ""  # prefix of the namespace it lies in
    hidden: bool = False  # not to be looked up itself, but named as the parent of what may be


@dataclass(frozen=True, slots=True)
class SpecialMailbox:
    """A `mailbox NAME { }` block of a namespace (dovecot.conf)."""

    name: str  # within the namespace, with its separator
    special_use: tuple[str, ...] = ()
    auto: Literal["no", "create", "subscribe"] = "no"


@dataclass(frozen=True, slots=True)
class NamespaceInfo:
    """What NAMESPACE (RFC 2342) and LIST need to know of a namespace."""

    prefix: str
    separator: str
    kind: Literal["private", "shared", "public"] = "private"
    inbox: bool = False
    hidden: bool = False
    listed: Literal["yes", "no", "children"] = "yes"
    subscriptions: bool = True
    mailboxes: tuple[SpecialMailbox, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """What STATUS returns; sizes are octets of the CRLF form."""

    messages: int
    recent: int
    unseen: int
    deleted: int
    uidnext: int
    uidvalidity: int
    highest_modseq: int
    guid: str  # 32 hex digits, stable over renames (MAILBOXID)
    size: int | None = None  # only if asked for


@dataclass(frozen=True, slots=True)
class NewMail:
    """A message on its way in; `data` may have CRLF or LF line ends."""

    data: "bytes | Incoming"
    flags: Iterable[str] = ()
    internal_date: float | None = None  # seconds since the epoch; None: now

    @property
    def size(self) -> int:
        """Octets with CRLF line ends."""
        return crlf_size(self.data) if isinstance(self.data, bytes) else self.data.size


@dataclass(frozen=True, slots=True)
class AppendResult:
    """APPENDUID (RFC 4315): the UIDs in the order of the messages given."""

    uidvalidity: int
    uids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CopyResult:
    """COPYUID (RFC 4315): both lists have the same length and order. `expunged` (MOVE): source UIDs gone."""

    uidvalidity: int
    source: tuple[int, ...]
    destination: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StoreResult:
    """`changed`: UIDs whose flags are now other than before. `modified`: refused, MODSEQ above UNCHANGEDSINCE."""

    changed: tuple[int, ...] = ()
    modified: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()  # expunged meanwhile by another session


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened to the mailbox since the last sync(), by anyone; UIDs in ascending order."""

    expunged: tuple[int, ...] = ()
    appended: tuple[int, ...] = ()
    flags: tuple[int, ...] = ()  # flags or keywords changed by someone else
    keywords: bool = False  # a keyword never seen here came up: FLAGS and PERMANENTFLAGS are due
    restated: tuple[int, ...] = ()  # among those expunged: had other flags in the end than were known

    def __bool__(self) -> bool:
        return bool(self.expunged or self.appended or self.flags or self.keywords)


class Message:
    """One message of an open mailbox; `flags` holds system flags and keywords, never \\Recent.

    size, internal_date and guid are found out on first use and may raise Expunged if the file has gone.
    """

    __slots__ = ("_date", "_guid", "_measure", "_size", "flags", "modseq", "recent", "uid")

    def __init__(
        self,
        uid: int,
        flags: frozenset[str],
        modseq: int,
        measure: Callable[["Message"], tuple[int, int, str]],
        *,
        size: int | None = None,
        internal_date: int | None = None,
        recent: bool = False,
    ) -> None:
        self.uid = uid
        self.flags = flags
        self.modseq = modseq
        self.recent = recent
        self._measure = measure
        self._size = size
        self._date = internal_date
        self._guid: str | None = None

    def _fill(self) -> None:
        self._size, self._date, self._guid = self._measure(self)

    @property
    def size(self) -> int:
        """RFC822.SIZE: octets with CRLF line ends; remembered in the index."""
        if self._size is None:
            self._fill()
        assert self._size is not None
        return self._size

    @property
    def is_measured(self) -> bool:
        """Whether size and internal_date are known without a look at the file."""
        return self._size is not None and self._date is not None

    @property
    def internal_date(self) -> int:
        """INTERNALDATE, whole seconds since the epoch (the file's modification time)."""
        if self._date is None:
            self._fill()
        assert self._date is not None
        return self._date

    @property
    def guid(self) -> str:
        """What names this message for ever, also after COPY and MOVE (Dovecot's X-GUID)."""
        if self._guid is None:
            self._fill()
        assert self._guid is not None
        return self._guid

    def __repr__(self) -> str:
        return f"Message(uid={self.uid}, flags={sorted(self.flags)}, modseq={self.modseq})"
