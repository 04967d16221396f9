"""What CAPABILITY says, before and after log-in (RFC 3501 section 7.2.1). Only what holds is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imap.imap4.settings import Settings
    from imap.login import Login
    from imap.store import UserStore

# One message of APPEND and REPLACE (RFC 7889). FETCH of parts of it and SEARCH in it hold it in memory.
MAX_MESSAGE = 128 << 20

_BEFORE = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+"

_AFTER = (
    "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS "
    "THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED "
    "I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE "
    "SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE SAVEDATE LITERAL+ NOTIFY"
)


def before_login(login: Login, *, extensions: bool) -> str:
    """The list before log-in: STARTTLS, LOGINDISABLED and mechanisms as the connection stands."""
    words = [_BEFORE]
    if extensions:
        words.append("IMAP4rev2")
    if login.starttls_possible:
        words.append("STARTTLS")
    if not login.plaintext_allowed:
        words.append("LOGINDISABLED")
    words += [f"AUTH={name}" for name in login.mechanism_names()]
    return " ".join(words)


def after_login(settings: Settings, store: UserStore | None) -> str:
    """The list after log-in; ``imap_capability`` replaces it, or adds to it with a leading ``+``."""
    own = settings.capability.strip()
    words = [_AFTER]
    if settings.metadata and store is not None and store.has_attributes:
        words.append("METADATA")
    if store is not None and any(box.special_use for info in store.namespaces for box in info.mailboxes):
        words.append("SPECIAL-USE")
    if settings.compress:
        words.append("COMPRESS=DEFLATE")
    if settings.quota:
        words.append("QUOTA")
    if settings.acl and store is not None and store.access is not None:
        words.append("ACL RIGHTS=texk")
    if settings.extensions:
        words.append(f"IMAP4rev2 UTF8=ACCEPT OBJECTID REPLACE APPENDLIMIT={MAX_MESSAGE}")
    if own.startswith("+"):
        words.append(own[1:].strip())
    elif own:
        return own
    return " ".join(words)
