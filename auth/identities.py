"""User and group names of the machine, read before the service is shut in and cannot open /etc any more."""

from __future__ import annotations

import grp
import pwd

UNKNOWN = 2**32 - 2
"""Ids from here on are none; Dovecot refuses the last two 32-bit numbers."""


class Identities:
    """Names to numbers; ``load`` takes them all, later ones are asked of the system if it still answers."""

    def __init__(self) -> None:
        self._ids: dict[str, dict[str, int]] = {"uid": {}, "gid": {}}

    def load(self) -> None:
        """Read the user and group databases."""
        self._ids["uid"] = {entry.pw_name: entry.pw_uid for entry in pwd.getpwall()}
        self._ids["gid"] = {entry.gr_name: entry.gr_gid for entry in grp.getgrall()}

    def find(self, kind: str, word: str) -> int | None:
        """The ``uid`` or ``gid`` a word stands for, a number or a name; None when it is neither."""
        if word.isascii() and word.isdigit() and len(word) <= 10:
            return int(word) if int(word) < UNKNOWN else None
        known = self._ids[kind].get(word)
        if known is not None:
            return known
        try:
            return pwd.getpwnam(word).pw_uid if kind == "uid" else grp.getgrnam(word).gr_gid
        except (KeyError, ValueError, UnicodeError):
            return None


identities = Identities()
"""Those of this process."""
