"""The server's side of the Dovecot master and userdb protocol 1.1 as a machine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from .parameters import Parameters
from .wire import MASTER_LINE_MAX, LineBuffer, ProtocolError, line, number, text_of, words_of

MAJOR, MINOR = 1, 1
"""Version of the master protocol spoken here (Design/AuthProtocol)."""

_COOKIE = re.compile(r"[0-9a-f]{32}\Z")


class State(Enum):
    """How far the handshake has come; userdb and master sockets differ in what they allow."""

    USERDB_VERSION = "expects VERSION on a userdb socket"
    MASTER_VERSION = "expects VERSION on a master socket"
    USERDB = "serves lookups"
    MASTER = "serves lookups and finished logins"


@dataclass(frozen=True, slots=True)
class UserLookup:
    """``USER``: userdb fields of a user."""

    id: int
    user: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class PassLookup:
    """``PASS``: passdb fields of a user, without its password."""

    id: int
    user: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class ListUsers:
    """``LIST``: all users; ``mask`` is what the asker will look for."""

    id: int
    mask: str
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class FinishedLogin:
    """``REQUEST``: userdb fields for a login that a client process has just made."""

    id: int
    pid: int
    request: int
    cookie: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class FlushCache:
    """``CACHE-FLUSH``: forget everything, or what is known of some users. ``id`` is repeated in the answer as it is."""

    id: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ListPenalties:
    """``PENALTY``: which addresses have to wait (our own; in Dovecot the anvil process is asked)."""

    id: int


Event = UserLookup | PassLookup | ListUsers | FinishedLogin | FlushCache | ListPenalties


class MasterServerConnection:
    """One connection on a master (``userdb_only`` false) or userdb socket."""

    def __init__(self, *, spid: int, userdb_only: bool) -> None:
        self.state = State.USERDB_VERSION if userdb_only else State.MASTER_VERSION
        self._lines = LineBuffer(MASTER_LINE_MAX)
        self._out = bytearray(line("VERSION", str(MAJOR), str(MINOR)) + line("SPID", str(spid)))

    def receive(self, data: bytes) -> Iterator[Event]:
        """Yield what is asked for, line by line. Raises ProtocolError: close the connection."""
        for raw in self._lines.feed(data):
            command, tab, rest = text_of(raw).partition("\t")
            row = TRANSITIONS.get((self.state, command)) if tab else None
            if row is None:
                raise ProtocolError(f"sent {command[:20]!r} in state {self.state.name}")
            handler, self.state = row[0], row[1]
            event = handler(self, rest)
            if event is not None:
                yield event

    def data_to_send(self) -> bytes:
        """Bytes due to the peer, handed out once."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def send_user(self, id: int, user: str, fields: Iterable[str]) -> None:
        """``USER``: the user exists; ``fields`` are words such as ``uid=1000``."""
        self._out += line("USER", str(id), user, *fields)

    def send_pass(self, id: int, fields: Iterable[str]) -> None:
        """``PASS``: the passdb knows the user."""
        self._out += line("PASS", str(id), *fields)

    def send_not_found(self, id: int) -> None:
        """``NOTFOUND``: no such user."""
        self._out += line("NOTFOUND", str(id))

    def send_fail(self, id: int, fields: Iterable[str] = ()) -> None:
        """``FAIL``: the lookup could not be made, or was refused."""
        self._out += line("FAIL", str(id), *fields)

    def send_listed(self, id: int, user: str) -> None:
        """``LIST``: one user of a list."""
        self._out += line("LIST", str(id), user)

    def send_done(self, id: int, *, failed: bool = False) -> None:
        """``DONE``: the end of a list."""
        self._out += line("DONE", str(id), "fail" if failed else "")

    def send_penalty(self, id: int, address: str, count: int, penalty: float, update: float) -> None:
        """``PENALTY``: one address that has to wait; its last failure that counted, and its last at all (seconds since
        1970)."""
        self._out += line("PENALTY", str(id), address, str(count), str(int(penalty)), str(int(update)))

    def send_flushed(self, id: str, count: int) -> None:
        """``OK``: the cache entries are gone."""
        self._out += line("OK", id, str(count))

    # Handlers of the lines, each a row of TRANSITIONS.

    def _version(self, rest: str) -> None:
        if number(rest.partition("\t")[0]) != MAJOR:
            raise ProtocolError("speaks another protocol version")

    def _user(self, rest: str) -> UserLookup:
        return UserLookup(*_lookup("USER", rest))

    def _pass(self, rest: str) -> PassLookup:
        return PassLookup(*_lookup("PASS", rest))

    def _list(self, rest: str) -> ListUsers:
        words = words_of(rest)
        id = number(words[0])
        if id is None:
            raise ProtocolError("sent a broken LIST request")
        parameters, mask = Parameters(), ""
        for word in words[1:]:
            name, _, value = word.partition("=")
            if not parameters.set(word) and name == "user":
                mask = value
        return ListUsers(id, mask, parameters)

    def _request(self, rest: str) -> FinishedLogin:
        words = words_of(rest)
        numbers = [number(word) for word in words[:3]]
        if len(words) < 4 or None in numbers or not _COOKIE.match(words[3]):
            raise ProtocolError("sent a broken REQUEST")
        id, pid, request = (value or 0 for value in numbers)
        return FinishedLogin(id, pid, request, words[3])

    def _penalties(self, rest: str) -> ListPenalties:
        id = number(rest)
        if id is None:
            raise ProtocolError("sent a broken PENALTY request")
        return ListPenalties(id)

    def _flush(self, rest: str) -> FlushCache:
        id, *users = words_of(rest)
        return FlushCache(id, tuple(users))


def _lookup(command: str, rest: str) -> tuple[int, str, Parameters]:
    words = words_of(rest)
    id = number(words[0])
    if id is None or len(words) < 2:
        raise ProtocolError(f"sent a broken {command} request")
    parameters = Parameters()
    for word in words[2:]:
        parameters.set(word)
    if parameters.service is None:
        raise ProtocolError(f"sent a {command} request without service")
    return id, words[1], parameters


Handler = Callable[[MasterServerConnection, str], Event | None]

_LOOKUPS: Mapping[str, Handler] = {
    "USER": MasterServerConnection._user,
    "PASS": MasterServerConnection._pass,
    "LIST": MasterServerConnection._list,
}
_LOGINS: Mapping[str, Handler] = {
    "REQUEST": MasterServerConnection._request,
    "CACHE-FLUSH": MasterServerConnection._flush,
    "PENALTY": MasterServerConnection._penalties,
}
TRANSITIONS: Mapping[tuple[State, str], tuple[Handler, State]] = {
    (State.USERDB_VERSION, "VERSION"): (MasterServerConnection._version, State.USERDB),
    (State.MASTER_VERSION, "VERSION"): (MasterServerConnection._version, State.MASTER),
    **{(State.USERDB, command): (handler, State.USERDB) for command, handler in _LOOKUPS.items()},
    **{(State.MASTER, command): (handler, State.MASTER) for command, handler in {**_LOOKUPS, **_LOGINS}.items()},
}
"""Every line the server takes, by state, and the state after it; whatever is not here closes the connection."""
