"""The ClientHello of a probe: any version from SSL 2.0 to TLS 1.3, any suites (RFC 6101, 5246, 8446)."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tls.policy import Version
from tls.probe.suites import RENEGOTIATION_SCSV

_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_HOST_NAME: Final = 0

SERVER_NAME, GROUPS, POINT_FORMATS, SIGNATURES, SESSION_TICKET = 0, 10, 11, 13, 35
SUPPORTED_VERSIONS, KEY_EXCHANGE_MODES, KEY_SHARE, RENEGOTIATION = 43, 45, 51, 0xFF01
"""Numbers of extensions (IANA, TLS ExtensionType Values)."""

_ALL_GROUPS: Final = (29, 23, 24, 25, 30, 26, 27, 28, 256, 257, 258, 22, 21, 19, *range(1, 19))
"""x25519, the NIST, Brainpool and Koblitz curves, and finite fields."""
_ALL_SIGNATURES: Final = (
    *(0x0403, 0x0503, 0x0603, 0x0807, 0x0808, 0x0804, 0x0805, 0x0806, 0x0809, 0x080A, 0x080B),
    *(0x0401, 0x0501, 0x0601, 0x0402, 0x0303, 0x0301, 0x0203, 0x0201, 0x0202, 0x0101),
)
"""ECDSA, EdDSA, RSA-PSS and RSA, down to SHA-1 and MD5: what the server signs with is its own affair."""


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client offers. `suites` are tried in the server's order; `compression` offers DEFLATE."""

    version: Version
    suites: Sequence[int]
    server_name: str = ""
    compression: bool = False
    groups: Sequence[int] = _ALL_GROUPS

    def octets(self) -> bytes:
        """The ClientHello in its record. The record names TLS 1.0 at most, for servers that stumble over more."""
        message = _CLIENT_HELLO.to_bytes(1, "big") + _sized(self._body(), 3)
        record = min(self.version, Version.TLSv1)
        return bytes([_HANDSHAKE]) + record.to_bytes(2, "big") + _sized(message, 2)

    def _body(self) -> bytes:
        suites = list(self.suites)
        if self.version == Version.SSLv3:
            suites.append(RENEGOTIATION_SCSV)  # it has no extensions
        methods = b"\1\0" if self.compression else b"\0"
        legacy = min(self.version, Version.TLSv1_2)
        body = legacy.to_bytes(2, "big") + os.urandom(32)
        body += _sized(os.urandom(32), 1) + _sized(_numbers(suites), 2) + _sized(methods, 1)
        return body if self.version == Version.SSLv3 else body + _sized(b"".join(self._extensions()), 2)

    def _extensions(self) -> list[bytes]:
        extensions = [
            _extension(GROUPS, _sized(_numbers(self.groups), 2)),
            _extension(POINT_FORMATS, _sized(b"\0", 1)),
            _extension(SIGNATURES, _sized(_numbers(_ALL_SIGNATURES), 2)),
            _extension(RENEGOTIATION, _sized(b"", 1)),
        ]
        if self.server_name and not _is_address(self.server_name):
            name = bytes([_HOST_NAME]) + _sized(self.server_name.encode("ascii"), 2)
            extensions.insert(0, _extension(SERVER_NAME, _sized(name, 2)))
        if self.version == Version.TLSv1_3:
            # An empty list of keys asks the server to name a group first (RFC 8446 section 4.2.8): it then has
            # chosen version and suite, and no key of ours is needed.
            extensions += [
                _extension(SUPPORTED_VERSIONS, _sized(_numbers([Version.TLSv1_3]), 1)),
                _extension(KEY_EXCHANGE_MODES, _sized(b"\1", 1)),
                _extension(KEY_SHARE, _sized(b"", 2)),
            ]
        return extensions


_SSL2_KINDS: Final = (0x010080, 0x020080, 0x030080, 0x040080, 0x050080, 0x060040, 0x0700C0)
"""RC4, RC2, IDEA, DES and 3DES with MD5, and the export forms."""


def ssl2_hello() -> bytes:
    """CLIENT-HELLO of SSL 2.0, which has a record and numbers of its own (Hickman 1995)."""
    kinds = b"".join(kind.to_bytes(3, "big") for kind in _SSL2_KINDS)
    body = b"\1\0\2" + len(kinds).to_bytes(2, "big") + b"\0\0" + b"\0\20" + kinds + os.urandom(16)
    return (0x8000 | len(body)).to_bytes(2, "big") + body


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _numbers(values: Sequence[int]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def _sized(content: bytes, octets: int) -> bytes:
    return len(content).to_bytes(octets, "big") + content


def _extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _sized(content, 2)
