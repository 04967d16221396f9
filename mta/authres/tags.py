"""Tag lists, `name=value; name=value`, of DKIM signatures, DKIM keys and DMARC records (RFC 6376 section 3.2). Pure."""

from __future__ import annotations

import re
from typing import Final

LENGTH_LIMIT: Final = 64 * 1024
"""Characters of a list; a signature that signs every header by name has a few thousand."""

_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_BLANK: Final = " \t\r\n"


class TagError(ValueError):
    """The text is no tag list."""


def parse(text: str) -> dict[str, str]:
    """Values by their names, in order. Raises TagError."""
    if len(text) > LENGTH_LIMIT:
        raise TagError("too long")
    found: dict[str, str] = {}
    for part in text.split(";"):
        if not part.strip(_BLANK):
            continue
        name, equals, value = part.partition("=")
        name = name.strip(_BLANK)
        if not equals or not _NAME.fullmatch(name):
            raise TagError("not a tag")
        if name in found:
            raise TagError(f"tag {name} is there twice")
        found[name] = value.strip(_BLANK)
    return found
