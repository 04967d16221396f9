"""Cipher suites by number and by name, and what is wrong with each."""

from __future__ import annotations

import enum
from pathlib import Path
from types import MappingProxyType
from typing import Final

_ROWS = (line.split() for line in (Path(__file__).parent / "suites.txt").read_text().splitlines() if line[0] != "#")
SUITES: Final = MappingProxyType({int(number, 16): name for number, name in _ROWS})
"""Every suite that a server can choose without a secret shared beforehand: number to IANA name."""

TLS13: Final = frozenset(number for number in SUITES if number >> 8 == 0x13)
"""Those of TLS 1.3, which no older version can use, nor it theirs."""

FALLBACK_SCSV: Final = 0x5600
"""Not a suite: "I have tried a newer version and failed" (RFC 7507)."""
RENEGOTIATION_SCSV: Final = 0x00FF
"""Not a suite: "I know RFC 5746"."""


class Weakness(enum.Enum):
    """Why a suite should not be offered."""

    NULL = "no encryption at all"
    ANONYMOUS = "no proof of identity, anybody can stand in the middle"
    EXPORT = "a key so short that it is broken in minutes (FREAK, Logjam)"
    DES = "a key of 56 bits"
    RC4 = "RC4, whose key stream is biased (RFC 7465)"
    BLOCK64 = "blocks of 64 bits (SWEET32)"
    CBC = "padding in CBC mode, whose errors can be told apart (Lucky 13)"
    STATIC = "no forward secrecy: the server's key opens what was recorded earlier"


_MARKS: Final = (
    (Weakness.NULL, ("_NULL_",)),
    (Weakness.ANONYMOUS, ("_anon_",)),
    (Weakness.EXPORT, ("_EXPORT", "_40_")),
    (Weakness.DES, ("_DES_CBC_", "_DES40_")),
    (Weakness.RC4, ("_RC4_",)),
    (Weakness.BLOCK64, ("_3DES_", "_IDEA_", "_RC2_", "_28147_", "_MAGMA_")),
    (Weakness.CBC, ("_CBC_",)),
    (Weakness.STATIC, ("TLS_RSA_", "TLS_DH_RSA_", "TLS_DH_DSS_", "TLS_ECDH_RSA_", "TLS_ECDH_ECDSA_", "SSL_RSA_")),
)


def name_of(number: int) -> str:
    """IANA's name, or the number where there is none."""
    return SUITES.get(number, f"0x{number:04X}")


def weaknesses(number: int) -> frozenset[Weakness]:
    """Everything that is wrong with a suite; nothing for one that is not known."""
    name = SUITES.get(number, "")
    return frozenset(weakness for weakness, marks in _MARKS if any(mark in name for mark in marks))
