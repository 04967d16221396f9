"""The server's first flight, read as far as it is sent in the clear: what it has chosen, its certificates, its keys."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from tls.policy import Version
from tls.probe.hello import RENEGOTIATION, SUPPORTED_VERSIONS
from tls.probe.suites import name_of

FLIGHT_OCTETS: Final = 1 << 17
"""A chain of certificates takes some thousand octets; OpenSSL itself stops at 100 KiB."""
RECORD_OCTETS: Final = (1 << 14) + 2048

_ALERT, _HANDSHAKE = 21, 22
_SERVER_HELLO, _CERTIFICATE, _SERVER_KEY_EXCHANGE, _SERVER_HELLO_DONE = 2, 11, 12, 14
_NAMED_CURVE: Final = 3
_SSL2_SERVER_HELLO: Final = 4


class FlightError(ValueError):
    """The octets are no answer of a TLS server; the text says what is wrong with them."""


@dataclass(slots=True)
class Answer:
    """What the server has said. None: it has not said so (yet)."""

    alert: int | None = None
    """The description of the alert that refused us (RFC 8446 section 6)."""
    version: int | None = None
    """0x0002 for SSL 2.0."""
    suite: int | None = None
    compressed: bool = False
    secure_renegotiation: bool = False
    certificates: list[bytes] = field(default_factory=list)
    """DER, the server's own first."""
    dh_bits: int | None = None
    """The size of the prime of a finite-field Diffie-Hellman exchange."""
    dh_prime: int | None = None
    curve: int | None = None


class Flight:
    """Takes the octets of an answer as they come. `done`: no more need be read."""

    def __init__(self) -> None:
        self.answer = Answer()
        self.done = False
        self._octets = bytearray()
        self._messages = bytearray()
        self._taken = 0

    def feed(self, octets: bytes) -> None:
        """Raises FlightError."""
        self._taken += len(octets)
        if self._taken > FLIGHT_OCTETS:
            raise FlightError("an answer without end")
        self._octets += octets
        if self._is_ssl2():
            self._ssl2()
            return
        while not self.done and (record := self._record()) is not None:
            kind, content = record
            if kind == _ALERT:
                self._alert(content)
            elif kind == _HANDSHAKE:
                self._messages += content
                self._handshake()
            else:
                self.done = True  # encrypted from here on: TLS 1.3

    def _is_ssl2(self) -> bool:
        return len(self._octets) >= 3 and bool(self._octets[0] & 0x80) and self._octets[2] == _SSL2_SERVER_HELLO

    def _ssl2(self) -> None:
        if len(self._octets) >= 13:
            self.answer.version, self.done = 0x0002, True
            # A server that has every cipher switched off still says hello, and then nothing can be agreed.
            self.answer.suite = 0 if struct.unpack(">H", self._octets[9:11])[0] else None

    def _record(self) -> tuple[int, bytes] | None:
        if len(self._octets) < 5:
            return None
        kind, major, length = self._octets[0], self._octets[1], struct.unpack(">H", self._octets[3:5])[0]
        if not 20 <= kind <= 24 or major != 3 or length > RECORD_OCTETS:
            raise FlightError(f"not a TLS record: {bytes(self._octets[:16])!r}")
        if len(self._octets) < 5 + length:
            return None
        content = bytes(self._octets[5 : 5 + length])
        del self._octets[: 5 + length]
        return kind, content

    def _alert(self, content: bytes) -> None:
        if len(content) != 2:
            raise FlightError("an alert of a wrong length")
        level, description = content
        if level == 2 or description == 0:
            self.answer.alert, self.done = description, True

    def _handshake(self) -> None:
        while not self.done and len(self._messages) >= 4:
            length = int.from_bytes(self._messages[1:4], "big")
            if len(self._messages) < 4 + length:
                return
            kind, body = self._messages[0], bytes(self._messages[4 : 4 + length])
            del self._messages[: 4 + length]
            try:
                self._message(kind, _Reader(body))
            except IndexError:
                raise FlightError(f"a handshake message of type {kind} that ends too early") from None

    def _message(self, kind: int, body: _Reader) -> None:
        if kind == _SERVER_HELLO:
            self._server_hello(body)
        elif kind == _CERTIFICATE:
            listed = _Reader(body.sized(3))
            while listed.left:
                self.answer.certificates.append(listed.sized(3))
        elif kind == _SERVER_KEY_EXCHANGE:
            self._key_exchange(body)
        elif kind == _SERVER_HELLO_DONE:
            self.done = True

    def _server_hello(self, body: _Reader) -> None:
        self.answer.version = body.number(2)
        body.take(32)
        body.sized(1)
        self.answer.suite = body.number(2)
        self.answer.compressed = body.number(1) != 0
        extensions = _Reader(body.sized(2) if body.left else b"")
        while extensions.left:
            number, content = extensions.number(2), _Reader(extensions.sized(2))
            if number == SUPPORTED_VERSIONS:
                self.answer.version = content.number(2)
            self.answer.secure_renegotiation |= number == RENEGOTIATION
        self.done = self.answer.version == Version.TLSv1_3

    def _key_exchange(self, body: _Reader) -> None:
        name = name_of(self.answer.suite or 0)
        if "_ECDHE_" in name or "_ECDH_anon_" in name:
            if body.number(1) == _NAMED_CURVE:
                self.answer.curve = body.number(2)
        elif "_DHE_" in name or "_DH_anon_" in name:
            prime = int.from_bytes(body.sized(2), "big")
            self.answer.dh_prime, self.answer.dh_bits = prime, prime.bit_length()


class _Reader:
    """Takes a message apart from its front; raises IndexError where it is too short."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._octets) - self._at

    def take(self, octets: int) -> bytes:
        if octets > self.left:
            raise IndexError
        taken = self._octets[self._at : self._at + octets]
        self._at += octets
        return taken

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "big")

    def sized(self, octets: int) -> bytes:
        """Content with its length before it, which is written in so many octets."""
        return self.take(self.number(octets))
