"""The PROXY protocol, versions 1 and 2 (haproxy's proxy-protocol.txt): who connected to the proxy. Sans-I/O.

parse(octets) -> None           the header is not complete
              -> Header(...)    with the number of octets that it has
raises Malformed                it is not a header; smtpd(8) then hangs up
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

V1_LIMIT: Final = 107
"""The longest line of version 1, with its CRLF."""
V2_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
V2_LIMIT: Final = 16 + 2048
"""Octets of a version 2 header that we take: addresses and some TLVs."""
_V2_SIZES: Final = {0x11: 12, 0x21: 36}


class Malformed(Exception):
    """What was sent is no PROXY header."""


@dataclass(frozen=True, slots=True)
class Header:
    """Both ends of the proxied connection; None for both where the proxy speaks for itself (LOCAL)."""

    size: int
    client: tuple[str, int] | None = None
    server: tuple[str, int] | None = None


def parse(octets: bytes) -> Header | None:
    """The header at the start of what was received."""
    if octets.startswith(b"PROXY "):
        return _version1(octets)
    if octets.startswith(V2_SIGNATURE):
        return _version2(octets)
    if b"PROXY ".startswith(octets[:6]) or V2_SIGNATURE.startswith(octets[:12]):
        return None
    raise Malformed("no PROXY header")


def _version1(octets: bytes) -> Header | None:
    end = octets.find(b"\n", 0, V1_LIMIT)
    if end < 0:
        if len(octets) >= V1_LIMIT:
            raise Malformed("PROXY line too long")
        return None
    try:
        words = octets[:end].rstrip(b"\r").decode("ascii").split()
    except UnicodeDecodeError:
        raise Malformed("PROXY line is not ASCII") from None
    # Like smtpd(8), without UNKNOWN: a proxy speaks for itself by LOCAL of version 2 only.
    if len(words) < 6 or words[1].upper() not in ("TCP4", "TCP6"):
        raise Malformed("bad PROXY line")
    version = int(words[1][3])
    return Header(end + 1, _endpoint(words[2], words[4], version), _endpoint(words[3], words[5], version))


def _endpoint(address: str, port: str, version: int) -> tuple[str, int]:
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        raise Malformed("bad port in PROXY line")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        raise Malformed("bad address in PROXY line") from None
    if parsed.version != version:
        raise Malformed("address of another family in PROXY line")
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed), int(port)


def _version2(octets: bytes) -> Header | None:
    if len(octets) < 16:
        return None
    version_and_command, family, length = struct.unpack_from(">BBH", octets, 12)
    size = 16 + length
    if version_and_command >> 4 != 2 or size > V2_LIMIT:
        raise Malformed("bad PROXY version 2 header")
    if len(octets) < size:
        return None
    command = version_and_command & 0x0F
    if command == 0:
        return Header(size)
    if command != 1 or family not in _V2_SIZES or length < _V2_SIZES[family]:
        raise Malformed("bad PROXY version 2 header")
    half = 4 if family == 0x11 else 16
    source, destination = octets[16 : 16 + half], octets[16 + half : 16 + 2 * half]
    source_port, destination_port = struct.unpack_from(">HH", octets, 16 + 2 * half)
    client = str(ipaddress.ip_address(source)), source_port
    return Header(size, client, (str(ipaddress.ip_address(destination)), destination_port))
