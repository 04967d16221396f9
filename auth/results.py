"""How a passdb lookup ended; what the databases, their rules and the replies share."""

from __future__ import annotations

from enum import Enum


class Result(Enum):
    """How a passdb lookup ended."""

    OK = "ok"
    UNKNOWN = "unknown user"
    MISMATCH = "Password mismatch"
    DISABLED = "User is disabled"
    EXPIRED = "Password expired"
    INTERNAL = "internal failure"
    NO_SCHEME = "no credentials for this mechanism"
    NEXT = "no authentication here"
