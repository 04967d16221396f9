"""What CAPABILITY says, before and after log-in (RFC 3501 section 7.2.1). Only what holds is named."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imap.imap4.session import Settings
    from imap.login import Login

_BEFORE = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+"

_AFTER = (
    "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE SORT SORT=DISPLAY THREAD=REFERENCES THREAD=REFS "
    "THREAD=ORDEREDSUBJECT MULTIAPPEND URL-PARTIAL CATENATE UNSELECT CHILDREN NAMESPACE UIDPLUS LIST-EXTENDED "
    "I18NLEVEL=1 CONDSTORE QRESYNC ESEARCH ESORT SEARCHRES WITHIN CONTEXT=SEARCH LIST-STATUS BINARY MOVE "
    "SNIPPET=FUZZY PREVIEW=FUZZY PREVIEW STATUS=SIZE SAVEDATE LITERAL+ NOTIFY"
)


def before_login(login: Login) -> str:
    """The list before log-in: STARTTLS, LOGINDISABLED and mechanisms as the connection stands."""
    words = [_BEFORE]
    if login.starttls_possible:
        words.append("STARTTLS")
    if not login.plaintext_allowed:
        words.append("LOGINDISABLED")
    words += [f"AUTH={name}" for name in login.mechanism_names()]
    return " ".join(words)


def after_login(settings: Settings) -> str:
    """The list after log-in; ``imap_capability`` replaces it, or adds to it with a leading ``+``."""
    own = settings.capability.strip()
    words = _AFTER + (" QUOTA" if settings.quota else "")
    if own.startswith("+"):
        return f"{words} {own[1:].strip()}"
    return own or words
