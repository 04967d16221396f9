"""Flags as a client writes them (RFC 3501 section 2.3.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable

from imap.imap4.arguments import Argument, Atom
from imap.imap4.errors import Bad, No
from imap.store import SYSTEM_FLAGS

# Dovecot's limit on the length of a keyword (mail_max_keyword_length).
MAX_KEYWORD = 50

_NOT_IN_KEYWORD = re.compile(rb'[\x00-\x20(){\]%*"\\\x7f-\xff]')
_SYSTEM = {flag.upper(): flag for flag in SYSTEM_FLAGS}


def is_keyword(name: bytes) -> bool:
    """Whether a mailbox could keep this keyword."""
    return 0 < len(name) <= MAX_KEYWORD and not _NOT_IN_KEYWORD.search(name)


def flag_set(items: Iterable[Argument]) -> tuple[str, ...]:
    """Read flags, in order, each once. Raises Bad for a system flag that is none, No for a keyword not to be kept."""
    flags: dict[str, None] = {}
    for item in items:
        if not isinstance(item, Atom):
            raise Bad("Flags list contains non-atoms.")
        text = item.decode("ascii")
        if text.startswith("\\"):
            known = _SYSTEM.get(text.upper())
            if known is None:
                raise Bad(f"Invalid system flag {text.upper()}")
            flags[known] = None
            continue
        if len(text) > MAX_KEYWORD:
            raise No("Keyword length too long", "CANNOT")
        if not is_keyword(item):
            raise No("Invalid characters in keyword", "CANNOT")
        flags[text] = None
    return tuple(flags)
