"""The client's side of the Dovecot auth client protocol 1.2 as a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from .asking import AskingSide, Row, number_of
from .parameters import Parameters
from .server import BINDING_MINOR, MAJOR
from .wire import CLIENT_LINE_MAX, ProtocolError, decode_base64, encode_base64, fields_of, line, number

MECHANISMS_MAX = 64
"""Mechanisms a server may announce; real ones know fewer than twenty."""


class State(Enum):
    """How far the server's greeting has come."""

    VERSION = "expects VERSION"
    GREETING = "expects the rest of the greeting"
    READY = "requests may be made"


@dataclass(frozen=True, slots=True)
class Mechanism:
    """A SASL mechanism as announced; ``flags``: plaintext, dictionary, active, anonymous, mutual-auth, private ..."""

    name: str
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Ready:
    """The greeting is complete (``DONE``)."""


@dataclass(frozen=True, slots=True)
class Challenge:
    """``CONT``: the server wants a response."""

    id: int
    data: bytes
    binding: str = ""
    """The kind of channel binding data wanted with it, "" for none."""


@dataclass(frozen=True, slots=True)
class Success:
    """``OK``: the user is who it says; ``fields`` hold ``user`` and whatever the passdb added."""

    id: int
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """``FAIL``: ``fields`` may hold user, code, reason, temp, authz."""

    id: int
    fields: dict[str, str] = field(repr=False)


Event = Ready | Challenge | Success | Failure


class ClientConnection(AskingSide[State, Event]):
    """One connection to an auth server. ``pid`` must differ between connections of one machine."""

    line_max = CLIENT_LINE_MAX

    def __init__(self, pid: int) -> None:
        super().__init__(State.VERSION, line("VERSION", str(MAJOR), str(BINDING_MINOR)), line("CPID", str(pid)))
        self.pid = pid
        self.mechanisms: dict[str, Mechanism] = {}
        self.server_pid = 0
        self.connection_id = 0
        self.cookie = ""
        self._live: set[int] = set()

    def _row(self, word: str) -> Row[Event, State] | None:
        return TRANSITIONS.get((self.state, word))

    def _skips(self) -> bool:
        return self.state is State.GREETING  # later versions may say more before DONE

    def begin(self, mechanism: str, parameters: Parameters, initial: bytes | None) -> int:
        """``AUTH``; returns the request's id. Raises ProtocolError when the request is too long to be sent."""
        response = [] if initial is None else ["resp=" + (encode_base64(initial) or "=")]
        id = self._request("AUTH", mechanism, *parameters.words(), *response)
        self._live.add(id)
        return id

    def respond(self, id: int, response: bytes, binding: bytes | None = None) -> None:
        """``CONT``: answer a challenge, with the channel binding data it asked for. Raises ProtocolError when the
        response is too long to be sent."""
        words = [] if binding is None else [f"channel_binding={encode_base64(binding)}"]
        self._send("CONT", str(id), encode_base64(response), *words)

    def cancel(self, id: int) -> None:
        """``CANCEL``: give up; the server answers nothing more."""
        if id in self._live:
            self._live.discard(id)
            self._send("CANCEL", str(id))

    # Handlers of the lines, each a row of TRANSITIONS.

    def _version(self, words: list[str]) -> None:
        if not words or number(words[0]) != MAJOR:
            raise ProtocolError("speaks another protocol version")

    def _mech(self, words: list[str]) -> None:
        if not words or len(self.mechanisms) >= MECHANISMS_MAX:
            raise ProtocolError("announced too many mechanisms, or one without a name")
        name = words[0].upper()
        self.mechanisms[name] = Mechanism(name, frozenset(words[1:]))

    def _spid(self, words: list[str]) -> None:
        self.server_pid = number_of(words)

    def _cuid(self, words: list[str]) -> None:
        self.connection_id = number_of(words)

    def _cookie(self, words: list[str]) -> None:
        if not words:
            raise ProtocolError("sent an empty COOKIE")
        self.cookie = words[0]

    def _done(self, words: list[str]) -> Ready:
        if not self.server_pid or not self.cookie:
            raise ProtocolError("did not send SPID and COOKIE before DONE")
        return Ready()

    def _cont(self, words: list[str]) -> Challenge | None:
        id = number_of(words)
        data = decode_base64(words[1] if len(words) > 1 else "")
        if data is None:
            raise ProtocolError("sent a challenge that is not base64")
        return Challenge(id, data, fields_of(words[2:]).get("channel_binding", "")) if id in self._live else None

    def _ok(self, words: list[str]) -> Success | None:
        id = number_of(words)
        fields = fields_of(words[1:])
        if id not in self._live:
            return None  # an answer that crossed a CANCEL
        self._live.discard(id)
        if not fields.get("user"):
            raise ProtocolError("sent OK without a user")
        return Success(id, fields)

    def _fail(self, words: list[str]) -> Failure | None:
        id = number_of(words)
        if id not in self._live:
            return None
        self._live.discard(id)
        return Failure(id, fields_of(words[1:]))


Handler = Callable[[ClientConnection, list[str]], Event | None]

TRANSITIONS: Mapping[tuple[State, str], tuple[Handler, State]] = {
    (State.VERSION, "VERSION"): (ClientConnection._version, State.GREETING),
    (State.GREETING, "MECH"): (ClientConnection._mech, State.GREETING),
    (State.GREETING, "SPID"): (ClientConnection._spid, State.GREETING),
    (State.GREETING, "CUID"): (ClientConnection._cuid, State.GREETING),
    (State.GREETING, "COOKIE"): (ClientConnection._cookie, State.GREETING),
    (State.GREETING, "DONE"): (ClientConnection._done, State.READY),
    (State.READY, "MECH"): (ClientConnection._mech, State.READY),
    (State.READY, "SPID"): (ClientConnection._spid, State.READY),
    (State.READY, "CUID"): (ClientConnection._cuid, State.READY),
    (State.READY, "COOKIE"): (ClientConnection._cookie, State.READY),
    (State.READY, "DONE"): (ClientConnection._done, State.READY),
    (State.READY, "CONT"): (ClientConnection._cont, State.READY),
    (State.READY, "OK"): (ClientConnection._ok, State.READY),
    (State.READY, "FAIL"): (ClientConnection._fail, State.READY),
}
"""Every line the client takes, by state, and the state after it.

A server may repeat its greeting at any time (Design/AuthProtocol).
"""
