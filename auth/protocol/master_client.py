"""The client's side of the Dovecot master and userdb protocol 1.1 as a machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from .asking import AskingSide, Row, number_of
from .parameters import Parameters
from .wire import MASTER_LINE_MAX, ProtocolError, fields_of, line, number


class State(Enum):
    """How far the server's greeting has come."""

    VERSION = "expects VERSION"
    SPID = "expects SPID"
    READY = "requests may be made"


@dataclass(frozen=True, slots=True)
class Ready:
    """The greeting is complete (``SPID``)."""


@dataclass(frozen=True, slots=True)
class Found:
    """``USER`` or ``PASS``: the user's fields; ``user`` is its name after normalisation."""

    id: int
    user: str
    fields: dict[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class NotFound:
    """``NOTFOUND``: no such user."""

    id: int


@dataclass(frozen=True, slots=True)
class Failed:
    """``FAIL`` or ``DONE fail``: the lookup could not be made; try again later."""

    id: int
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Listed:
    """``LIST``: one user of a list."""

    id: int
    user: str


@dataclass(frozen=True, slots=True)
class Penalized:
    """``PENALTY``: an address that has to wait; ``penalty`` and ``update`` are seconds since 1970."""

    id: int
    address: str
    count: int
    penalty: int
    update: int


@dataclass(frozen=True, slots=True)
class Done:
    """``DONE`` or ``OK``: the end of a list or of a cache flush (``count`` entries)."""

    id: int
    count: int = 0


Event = Ready | Found | NotFound | Failed | Listed | Penalized | Done


class MasterClientConnection(AskingSide[State, Event]):
    """One connection to a master or userdb socket."""

    line_max = MASTER_LINE_MAX

    def __init__(self) -> None:
        super().__init__(State.VERSION, line("VERSION", "1", "1"))
        self.server_pid = 0

    def _row(self, word: str) -> Row[Event, State] | None:
        return TRANSITIONS.get((self.state, word))

    def user(self, username: str, parameters: Parameters) -> int:
        """``USER``; returns the request's id."""
        return self._request("USER", username, *parameters.words())

    def passdb(self, username: str, parameters: Parameters) -> int:
        """``PASS``; returns the request's id."""
        return self._request("PASS", username, *parameters.words())

    def list_users(self, mask: str, parameters: Parameters) -> int:
        """``LIST``; returns the request's id."""
        return self._request("LIST", *([f"user={mask}"] if mask else []), *parameters.words())

    def login(self, pid: int, request: int, cookie: str) -> int:
        """``REQUEST``: userdb fields of a login made by client process ``pid``; returns the request's id."""
        return self._request("REQUEST", str(pid), str(request), cookie)

    def penalties(self) -> int:
        """``PENALTY``; returns the request's id."""
        return self._request("PENALTY")

    def flush(self, users: tuple[str, ...]) -> int:
        """``CACHE-FLUSH``; returns the request's id."""
        return self._request("CACHE-FLUSH", *users)

    # Handlers of the lines, each a row of TRANSITIONS.

    def _version(self, words: list[str]) -> None:
        if not words or number(words[0]) != 1:
            raise ProtocolError("speaks another protocol version")

    def _spid(self, words: list[str]) -> Ready:
        self.server_pid = number_of(words)
        return Ready()

    def _user(self, words: list[str]) -> Found:
        if len(words) < 2 or not words[1]:
            raise ProtocolError("sent USER without a name")
        return Found(number_of(words), words[1], fields_of(words[2:]))

    def _pass(self, words: list[str]) -> Found:
        fields = fields_of(words[1:])
        return Found(number_of(words), fields.get("user", ""), fields)

    def _not_found(self, words: list[str]) -> NotFound:
        return NotFound(number_of(words))

    def _fail(self, words: list[str]) -> Failed:
        return Failed(number_of(words), fields_of(words[1:]))

    def _listed(self, words: list[str]) -> Listed:
        if len(words) < 2:
            raise ProtocolError("sent LIST without a name")
        return Listed(number_of(words), words[1])

    def _penalty(self, words: list[str]) -> Penalized:
        numbers = [number(word) for word in words[2:5]]
        if len(numbers) != 3 or None in numbers:
            raise ProtocolError("sent a broken PENALTY")
        count, penalty, update = (value or 0 for value in numbers)
        return Penalized(number_of(words), words[1], count, penalty, update)

    def _done(self, words: list[str]) -> Done | Failed:
        if words[1:2] == ["fail"]:
            return Failed(number_of(words), {})
        return Done(number_of(words))

    def _ok(self, words: list[str]) -> Done:
        return Done(number_of(words), number(words[1]) or 0 if len(words) > 1 else 0)


Handler = Callable[[MasterClientConnection, list[str]], Event | None]

TRANSITIONS: Mapping[tuple[State, str], tuple[Handler, State]] = {
    (State.VERSION, "VERSION"): (MasterClientConnection._version, State.SPID),
    (State.SPID, "SPID"): (MasterClientConnection._spid, State.READY),
    (State.READY, "USER"): (MasterClientConnection._user, State.READY),
    (State.READY, "PASS"): (MasterClientConnection._pass, State.READY),
    (State.READY, "NOTFOUND"): (MasterClientConnection._not_found, State.READY),
    (State.READY, "FAIL"): (MasterClientConnection._fail, State.READY),
    (State.READY, "LIST"): (MasterClientConnection._listed, State.READY),
    (State.READY, "PENALTY"): (MasterClientConnection._penalty, State.READY),
    (State.READY, "DONE"): (MasterClientConnection._done, State.READY),
    (State.READY, "OK"): (MasterClientConnection._ok, State.READY),
}
"""Every line the client takes, by state, and the state after it; whatever is not here closes the connection."""
