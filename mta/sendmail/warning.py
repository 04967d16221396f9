"""X-Authentication-Warning: who really gave the command a sender that is not his own (sendmail's PrivacyOptions)."""

from __future__ import annotations

import re
from typing import Final

from mta.address import quote_822
from mta.config import MainConfig

NAME_LIMIT: Final = 64
"""Characters of a name in the header; sendmail(8) has the same."""

_UNPRINTABLE: Final = re.compile(r"[^ -~]")


def authentication_warning(config: MainConfig, login: str, sender: str) -> bytes:
    """The header field, CRLF ended, for a sender that `login` chose with -f; empty where none is due.

    None is due to the caller's own address, to those in hardmail_trusted_users, and where
    hardmail_authentication_warnings = no. `sender` is empty for the null sender.
    """
    if not config.bool("hardmail_authentication_warnings") or login in config.list("hardmail_trusted_users"):
        return b""
    if sender in (login, f"{login}@{config.str('myorigin')}"):
        return b""
    shown = _UNPRINTABLE.sub("?", quote_822(sender) if sender else "<>")[:NAME_LIMIT]
    text = f"{config.str('myhostname')}: {login[:NAME_LIMIT]} set sender to {shown} using -f"
    return f"X-Authentication-Warning: {text}\r\n".encode("ascii", "replace")
