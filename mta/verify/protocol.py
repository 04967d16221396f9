"""Words of the dialogue on private/verify, and what can be known of an address."""

from __future__ import annotations

import enum
from typing import Final

GREETING: Final = {"protocol": "verify_protocol"}
OK, FAILED, BAD = "0", "1", "2"


class Fate(enum.IntEnum):
    """What a probe found (DEL_RCPT_STAT_ of Postfix)."""

    DELIVERABLE = 0
    DEFERRED = 1
    UNDELIVERABLE = 2
    UNKNOWN = 3
    """Nothing yet."""

    @classmethod
    def of(cls, status: str) -> Fate:
        """By an enhanced status code."""
        return {"2": cls.DELIVERABLE, "4": cls.DEFERRED}.get(status[:1], cls.UNDELIVERABLE)
