"""The mail store: Maildir++ beneath one mail root that cannot be left, with a rebuildable index per user.

How a protocol server uses it::

    settings = imap.config.MailSettings.from_config(config)   # DovecotConfig of the auth room; `protocol imap {}` view
    root = imap.store.MailRoot.open(settings.mail_root)       # in prepare(), before the sandbox; keeps one descriptor
    store = settings.user_store(root, "alice", fields)        # fields: Mapping[str, str] of the userdb: home, mail ...
    with store.open("INBOX") as mailbox:
        mailbox.sync()
        for uid, message in mailbox.messages.items(): ...

All calls are synchronous and short; they may be moved to a thread, one thread at a time per UserStore.
Mailbox names are decoded `str` in the namespace's form ("Archive/2024"); `mutf7.decode`/`mutf7.encode` turn them from
and to the wire (decode raises InvalidName with code None for what is not valid modified UTF-7, as Dovecot answers).
INBOX is matched without regard to case. Every error is a StoreError; `.code` is the response code, `.text` the text.

MailRoot
    .open(path) -> MailRoot; .user(username, [(NamespaceInfo, Location), ...]) -> UserStore; .close()

UserStore
    .username; .namespaces -> tuple[NamespaceInfo, ...]; .separator (of the INBOX namespace)
    .namespace_of(name) -> NamespaceInfo                      # the namespace that a name belongs to
    .list_mailboxes(patterns=()) -> list[MailboxInfo]         # all visible, parents included; INBOX always
    .exists(name) -> bool                                     # selectable mailbox of that name (INBOX: always)
    .validate(name, creating=False) -> None                   # raises InvalidName, before anything touches the disk
    .create(name); .delete(name); .rename(old, new)           # AlreadyExists, NonExistent, InvalidName, NotPossible
    .subscribe(name); .unsubscribe(name); .subscriptions(patterns=()) -> list[str]
    .status(name, size=False) -> Status
    .open(name, read_only=False) -> Mailbox
    .spool(name) -> Incoming                                  # NewMail's data as they come: .write(), .sync(), .close()
    .append(name, [NewMail(data, flags, internal_date), ...]) -> AppendResult      # all or none (MULTIAPPEND)
    .deliver(name, NewMail)                                   # into new/, durable when it returns; for LMTP
    .quota_roots -> tuple[QuotaRoot, ...]                     # .name, .limits() -> Limits(storage, messages)
    .quota_usage(root) -> Limits                              # octets, messages; IMAP tells KiB, rounded up
    .attributes(name) -> dict[str, bytes]; .set_attributes(name, {"/private/comment": b"..." | None})   # METADATA
    .close()                                                  # also a context manager

Mailbox (context manager)
    .name .read_only .uidvalidity .uidnext .highest_modseq .guid
    .messages: Messages                  # UID -> Message in ascending UID order; changes only in sync(), store()
    .keywords: tuple[str, ...]           # all keywords known in the mailbox, for FLAGS/PERMANENTFLAGS
    .sync() -> Changes                   # applies what others did to .messages and tells it; also claims \\Recent
    .read(uid) -> bytes                  # CRLF form; raises Expunged
    .outgoing(uid) -> Outgoing           # a big mail: .size(start, count), .pieces(start, count), .close()
    .read_header(uid) -> bytes           # header and empty line, CRLF form; cheaper than read
    .save_date(uid) -> int               # SAVEDATE, seconds since the epoch
    .store(uids, "replace"|"add"|"remove", flags, unchanged_since=None) -> StoreResult   # ReadOnly if so opened
    .expunge(uids=None) -> tuple[int, ...]        # those \\Deleted; gone from .messages at once
    .copy(uids, destination) -> CopyResult; .move(uids, destination) -> CopyResult   # without UIDs gone
    .replace(uid, destination, NewMail) -> AppendResult       # REPLACE: the old one goes, the new one comes, or neither
    .vanished(modseq) -> list[int] | None                     # UIDs expunged since (QRESYNC); None: unknown
    .cached(key, uids) -> dict[int, bytes]; .cache(key, {uid: value})                    # ENVELOPE, BODYSTRUCTURE ...
    .pop3_fields() -> dict[int, tuple[int, str]]              # UID -> order and UIDL, where the uidlist has them
    .watch() -> Watch                            # IDLE: Watch.fileno() readable => Watch.drain(), then sync()
    .rest()                              # nothing will be asked for some time (IDLE): takes less memory
    .close()

Changes that this Mailbox object made itself (store, expunge) are applied to .messages at once and are not told again
by its next sync(); what it appended or copied into itself is told as appended. `Message.recent` is this session's.
"""

from imap.store.attributes import NO_PLACE
from imap.store.errors import (
    AlreadyExists,
    Corrupt,
    Expunged,
    InUse,
    InvalidName,
    JailEscape,
    LimitExceeded,
    MailboxDeleted,
    NonExistent,
    NoPermission,
    NotPossible,
    NotSelectable,
    OverQuota,
    ReadOnly,
    StoreError,
)
from imap.store.mailbox import Mailbox
from imap.store.quota import Limits, QuotaRoot
from imap.store.root import MailRoot
from imap.store.stream import Incoming, Outgoing
from imap.store.types import (
    SYSTEM_FLAGS,
    AppendResult,
    Changes,
    CopyResult,
    MailboxInfo,
    Message,
    NamespaceInfo,
    NewMail,
    SpecialMailbox,
    Status,
    StoreMode,
    StoreResult,
)
from imap.store.user import UserStore
from imap.store.watch import Watch

__all__ = [
    "NO_PLACE",
    "SYSTEM_FLAGS",
    "AlreadyExists",
    "AppendResult",
    "Changes",
    "CopyResult",
    "Corrupt",
    "Expunged",
    "InUse",
    "Incoming",
    "InvalidName",
    "JailEscape",
    "LimitExceeded",
    "Limits",
    "MailRoot",
    "Mailbox",
    "MailboxDeleted",
    "MailboxInfo",
    "Message",
    "NamespaceInfo",
    "NewMail",
    "NoPermission",
    "NonExistent",
    "NotPossible",
    "NotSelectable",
    "Outgoing",
    "OverQuota",
    "QuotaRoot",
    "ReadOnly",
    "SpecialMailbox",
    "Status",
    "StoreError",
    "StoreMode",
    "StoreResult",
    "UserStore",
    "Watch",
]
