"""saslauthd's protocol (Cyrus SASL, saslauthd/README.ipc, ipc_unix.c): counted strings there, one counted string back.

A request is name, password, service and realm, each after its length in two octets, most significant first. Cyrus SASL
after 2.1.28 adds the client's address. The answer begins with OK or NO.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

STRING_MAX = 256
"""Octets of one string of a request, MAX_REQ_LEN of saslauthd."""

ANSWER_MAX = 1024
"""Octets of an answer that a client reads, as testsaslauthd."""

CLIENT_SECONDS = 30.0
"""Seconds a client waits."""

SOCKET = "mux"
"""The name of the socket in saslauthd's directory."""


class MuxError(Exception):
    """What came is not the protocol, or longer than it allows; the connection ends with NO."""


class MuxUnavailable(Exception):
    """saslauthd cannot be asked; the text is for the log or the operator."""


@dataclass(frozen=True, slots=True)
class Request:
    """Is this the password of that user?"""

    login: bytes
    password: bytes = field(repr=False)
    service: bytes = b""
    realm: bytes = b""
    address: bytes = b""

    def encode(self) -> bytes:
        """The octets of the request. Raises MuxError for what saslauthd would not take."""
        return b"".join(map(counted, (self.login, self.password, self.service, self.realm)))


def counted(text: bytes) -> bytes:
    """A string after its length. Raises MuxError."""
    if len(text) > STRING_MAX:
        raise MuxError(f"longer than {STRING_MAX} bytes")
    return struct.pack("!H", len(text)) + text


def strings(data: bytes, limit: int = STRING_MAX) -> list[bytes]:
    """The counted strings that are complete in ``data``. Raises MuxError for one that is longer than ``limit``."""
    found, at = [], 0
    while len(data) - at >= 2:
        (length,) = struct.unpack_from("!H", data, at)
        if length > limit:
            raise MuxError(f"a string of {length} bytes, more than {limit}")
        if len(data) - at - 2 < length:
            break
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return found


def parse(data: bytes) -> Request | None:
    """The request in ``data``, None while it is incomplete. Raises MuxError."""
    found = strings(data)
    if len(found) < 4:
        return None
    return Request(*found[:5])


def ask(path: str, request: Request) -> bool:
    """Ask the saslauthd behind a socket. Blocking. Raises MuxError, MuxUnavailable."""
    octets = request.encode()
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(CLIENT_SECONDS)
            sock.connect(path)
            sock.sendall(octets)
            data = b""
            while not (found := strings(data, ANSWER_MAX)):
                chunk = sock.recv(ANSWER_MAX + 2)
                if not chunk:
                    raise MuxUnavailable(f"{path}: no answer")
                data += chunk
    except OSError as error:
        raise MuxUnavailable(f"{path}: {error.strerror or error}") from None
    return found[0].startswith(b"OK")
