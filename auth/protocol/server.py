"""The server's side of the Dovecot auth client protocol 1.2 as a machine: bytes in, events out, replies to bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from .parameters import Parameters
from .wire import (
    CLIENT_LINE_MAX,
    LineBuffer,
    ProtocolError,
    decode_base64,
    encode_base64,
    line,
    number,
    octets_of,
    text_of,
    words_of,
)

MAJOR, MINOR = 1, 2
"""Version of the client protocol spoken here (Design/AuthProtocol)."""

BINDING_MINOR = 3
"""Minor version of clients that understand ``channel_binding`` in CONT, as Dovecot 2.4 has it."""

REQUESTS_MAX = 4096
"""Requests of one connection that may be under way at once; a client that starts more is broken."""


_ZERO = ord("0")


class State(Enum):
    """How far the handshake has come."""

    VERSION = "expects VERSION"
    CPID = "expects CPID"
    READY = "serves requests"


@dataclass(frozen=True, slots=True)
class Handshake:
    """The client has named its process (``CPID``); requests follow."""

    pid: int


@dataclass(frozen=True, slots=True)
class Begin:
    """``AUTH``: a new exchange. ``initial`` is None when the client sent no initial response."""

    id: int
    mechanism: str
    parameters: Parameters
    initial: bytes | None = field(repr=False)
    request: bytes = field(default=b"", repr=False)
    """What follows the number, as it came."""


@dataclass(frozen=True, slots=True)
class Continue:
    """``CONT``: the client's answer to a challenge."""

    id: int
    data: bytes = field(repr=False)
    binding: bytes | None = field(default=None, repr=False)
    """Channel binding data, if they were asked for and the client has any."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """``CANCEL``: the client gave up."""

    id: int


@dataclass(frozen=True, slots=True)
class Malformed:
    """A request whose base64 is broken: it has been answered with FAIL and is over."""

    id: int


Event = Handshake | Begin | Continue | Cancel | Malformed


def no_reply(request: bytes) -> None:
    """A memory without anything in it."""


class ServerConnection:
    """One client's connection. ``mechanisms`` maps names, in the order announced, to their flags. ``known`` is asked
    for the rest of an OK line before a request is looked into; its argument is what follows AUTH and the number."""

    def __init__(
        self,
        mechanisms: Mapping[str, Iterable[str]],
        *,
        spid: int,
        cuid: int,
        cookie: str,
        known: Callable[[bytes], bytes | None] = no_reply,
    ) -> None:
        self.state = State.VERSION
        self.minor = 0
        self._known = known
        self._mechanisms = {name: tuple(flags) for name, flags in mechanisms.items()}
        self._lines = LineBuffer(CLIENT_LINE_MAX)
        self._waiting: dict[int, bool] = {}
        self._out = bytearray(line("VERSION", str(MAJOR), str(MINOR)))
        for name, flags in self._mechanisms.items():
            self._out += line("MECH", name, *flags)
        self._out += line("SPID", str(spid)) + line("CUID", str(cuid)) + line("COOKIE", cookie) + line("DONE")

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield what the client's bytes ask for, line by line. Raises ProtocolError: close the connection."""
        for raw in self._lines.feed(data):
            if raw.startswith(b"AUTH\t") and self.state is State.READY and self._recalled(raw):
                continue
            command, tab, rest = text_of(raw).partition("\t")
            row = TRANSITIONS.get((self.state, command)) if tab else None
            if row is None:
                raise ProtocolError(f"sent {command[:20]!r} in state {self.state.name}")
            handler, self.state = row[0], row[1]
            event = handler(self, rest)
            if event is not None:
                yield event

    def _recalled(self, raw: bytes) -> bool:
        """Answer an AUTH request if its reply is known; whether it was."""
        _, id, request = (*raw.split(b"\t", 2), b"")[:3]
        if not (id.isdigit() and len(id) < 10 and id[0] != _ZERO) or int(id) in self._waiting:
            return False
        reply = self._known(request)
        if reply is None:
            return False
        self._out += b"OK\t%b\t%b" % (id, reply)
        return True

    @property
    def binds(self) -> bool:
        """Whether the client can tell channel binding data."""
        return self.minor >= BINDING_MINOR

    def data_to_send(self) -> bytes:
        """Bytes due to the client, handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def send_challenge(self, id: int, challenge: bytes, binding: str = "") -> None:
        """``CONT``: ask the client for a response, and for the channel binding data of the kind ``binding``."""
        if id in self._waiting:
            self._waiting[id] = True
            asked = [f"channel_binding={binding}"] if binding and self.binds else []
            self._out += line("CONT", str(id), encode_base64(challenge), *asked)

    def send_ok(self, id: int, fields: Iterable[str]) -> None:
        """``OK``; ``fields`` are words such as ``user=alice``."""
        self._finish(id, "OK", fields)

    def send_fail(self, id: int, fields: Iterable[str]) -> None:
        """``FAIL``; ``fields`` are words such as ``code=temp_fail``."""
        self._finish(id, "FAIL", fields)

    def send_late_fail(self, id: int, fields: Iterable[str]) -> None:
        """``FAIL`` of a request that was forgotten: held back, while its number may already serve another."""
        self._out += line("FAIL", str(id), *fields)

    def forget(self, id: int) -> None:
        """End a request without a reply, or with a late one."""
        self._waiting.pop(id, None)

    def _finish(self, id: int, reply: str, fields: Iterable[str]) -> None:
        if self._waiting.pop(id, None) is not None:
            self._out += line(reply, str(id), *fields)

    # Handlers of the lines, each a row of TRANSITIONS.

    def _version(self, rest: str) -> None:
        major, _, minor = rest.partition("\t")
        number_of_minor = number(minor)
        if number(major) != MAJOR or number_of_minor is None:
            raise ProtocolError(f"speaks another protocol version: {rest[:20]!r}")
        self.minor = number_of_minor

    def _cpid(self, rest: str) -> Handshake:
        pid = number(rest)
        if not pid:
            raise ProtocolError("said its process id is 0")
        return Handshake(pid)

    def _auth(self, rest: str) -> Event:
        words = words_of(rest)
        id = number(words[0])
        if not id or len(words) < 2:
            raise ProtocolError("sent a broken AUTH request")
        mechanism = words[1].upper()
        if mechanism not in self._mechanisms:
            raise ProtocolError(f"requested an unsupported mechanism: {mechanism[:20]!r}")
        parameters, response = _parameters(words[2:])
        if id in self._waiting:
            raise ProtocolError(f"sent a duplicate id {id}")
        if len(self._waiting) >= REQUESTS_MAX:
            raise ProtocolError("has too many requests under way")
        self._waiting[id] = False
        request = octets_of(rest.partition("\t")[2])
        if response is None or (not response and self.minor < 2):
            # Before 1.2 an empty resp= meant "none" (Exim sends it so).
            return Begin(id, mechanism, parameters, None, request)
        initial = decode_base64(response)
        if initial is None:
            return self._malformed(id, "initial")
        return Begin(id, mechanism, parameters, initial, request)

    def _cont(self, rest: str) -> Event | None:
        word, tab, data = rest.partition("\t")
        id = number(word)
        if id is None or not tab:
            raise ProtocolError("sent a broken CONT request")
        waits = self._waiting.get(id)
        if waits is None:
            self._out += line("FAIL", str(id), "reason=Authentication request timed out")
            return None
        if not waits:
            self.send_fail(id, ["reason=Unexpected continuation"])
            return Cancel(id)
        self._waiting[id] = False
        binding = None
        if self.binds:
            data, *parameters = data.split("\t")
            bindings = [word.partition("=")[2] for word in parameters if word.startswith("channel_binding=")]
            binding = decode_base64(bindings[0]) if bindings else None
        response = None if data == "=" else decode_base64(data)  # "=" is for initial responses only
        if response is None:
            return self._malformed(id, "continued")
        return Continue(id, response, binding)

    def _malformed(self, id: int, which: str) -> Malformed:
        self.send_fail(id, ["code=invalid_base64", f"reason=Invalid base64 data in {which} response"])
        return Malformed(id)

    def _cancel(self, rest: str) -> Cancel | None:
        id = number(rest)
        if id is None:
            raise ProtocolError("sent a broken CANCEL request")
        return Cancel(id) if self._waiting.pop(id, None) is not None else None


def _parameters(words: list[str]) -> tuple[Parameters, str | None]:
    parameters = Parameters()
    for position, word in enumerate(words):
        name, _, value = word.partition("=")
        if name == "resp":
            if position + 1 != len(words):
                raise ProtocolError("sent AUTH parameters after 'resp'")
            response: str | None = value
            break
        parameters.set(word)
    else:
        response = None
    if parameters.service is None:
        raise ProtocolError("did not say for which service it asks")
    return parameters, response


Handler = Callable[[ServerConnection, str], Event | None]

TRANSITIONS: Mapping[tuple[State, str], tuple[Handler, State]] = {
    (State.VERSION, "VERSION"): (ServerConnection._version, State.CPID),
    (State.CPID, "CPID"): (ServerConnection._cpid, State.READY),
    (State.READY, "AUTH"): (ServerConnection._auth, State.READY),
    (State.READY, "CONT"): (ServerConnection._cont, State.READY),
    (State.READY, "CANCEL"): (ServerConnection._cancel, State.READY),
}
"""Every line the server takes, by state, and the state after it; whatever is not here closes the connection."""
