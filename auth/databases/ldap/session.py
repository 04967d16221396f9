"""One session with a directory server: sansldap speaks LDAP (RFC 4511), a blocking socket carries it."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import sansldap
from sansldap import LDAPFilter, LDAPResultCode

from auth.databases.sessions import ANSWER_SECONDS, CONNECT_SECONDS, Gone, Refused

PORTS = {"ldap": 389, "ldaps": 636}
START_TLS = "1.3.6.1.4.1.1466.20037"
"""RFC 4511 section 4.14.1."""

MESSAGE_MAX = 1 << 20
"""Octets of one message of the server."""

ENTRIES_MAX = 1_000_000
"""Entries of one answer."""

_ADDRESS = re.compile(r"(?:(ldaps?)://)?(\[[0-9a-fA-F:.]+\]|[^:/\[\]]+)(?::([0-9]{1,5}))?/?", re.IGNORECASE)
_AWAY = frozenset([LDAPResultCode.BUSY, LDAPResultCode.UNAVAILABLE])


@dataclass(frozen=True, slots=True)
class Search:
    """A search; ``attributes`` empty: all of them. ``scope``: 0 base, 1 one level, 2 subtree."""

    base: str
    scope: int
    filter: LDAPFilter
    attributes: tuple[str, ...]
    dereference: int


@dataclass(frozen=True, slots=True)
class Bind:
    """Is this the password of that entry? The answer: ok, mismatch or unknown."""

    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Found:
    """One entry: its name, and its attributes as the server names them."""

    name: str
    attributes: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Login:
    """How the service itself logs in: "" anonymous, ``simple``, or a SASL mechanism (EXTERNAL, PLAIN)."""

    method: str = ""
    name: str = ""
    password: str = field(default="", repr=False)
    authorization_id: str = ""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is, and how to get in."""

    address: str
    login: Login
    context: ssl.SSLContext
    start_tls: bool


class LdapSession:
    """A session; after a ``Bind`` it logs in as itself again before the next search."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._client = sansldap.LDAPClient()
        self._ourselves = False
        try:
            self._socket = self._connect()
        except OSError as error:
            raise Gone(f"{server.address}: {error.strerror or error}") from None

    def ask(self, question: Search | Bind) -> list[Found] | str:
        """The entries found, or what a Bind asks. Raises Gone, Refused."""
        try:
            if isinstance(question, Bind):
                return self._check(question)
            if not self._ourselves:
                self._log_in()
            return self._search(question)
        except (OSError, sansldap.LDAPError, UnicodeError) as error:
            raise Gone(f"{self._server.address}: {error}") from None

    def close(self) -> None:
        with contextlib.suppress(sansldap.LDAPError, OSError):
            self._client.unbind()
            self._socket.setblocking(False)  # a good-bye that does not wait
            self._socket.sendall(self._client.data_to_send())
        self._socket.close()

    # -- requests --------------------------------------------------------------------------------------------

    def _search(self, search: Search) -> list[Found]:
        self._client.search_request(
            search.base, search.scope, search.dereference, 0, filter=search.filter, attributes=list(search.attributes)
        )
        found: list[Found] = []
        while not isinstance(message := self._receive(), sansldap.SearchResultDone):
            if isinstance(message, sansldap.SearchResultEntry):
                found.append(_found(message))
                if len(found) > ENTRIES_MAX:
                    raise Gone("the answer has too many entries")
        code = message.result.result_code
        if code in _AWAY:
            raise Gone(_described(message.result))
        if code not in (LDAPResultCode.SUCCESS, LDAPResultCode.NO_SUCH_OBJECT):  # no such base: nothing found
            raise Refused(f"search failed: {_described(message.result)}")
        return found

    def _check(self, bind: Bind) -> str:
        self._ourselves = False
        self._client.bind_simple(bind.name, bind.password)
        result = self._result(sansldap.BindResponse)
        match result.result_code:
            case LDAPResultCode.SUCCESS:
                return "ok"
            case LDAPResultCode.INVALID_CREDENTIALS:
                return "mismatch"
            case LDAPResultCode.NO_SUCH_OBJECT:
                return "unknown"
        raise Refused(f"bind failed: {_described(result)}")

    def _log_in(self) -> None:
        login = self._server.login
        if login.method in ("", "simple"):
            self._client.bind_simple(login.name, login.password)
        else:
            parts = (login.authorization_id, login.name, login.password)
            credentials = login.authorization_id if login.method == "EXTERNAL" else "\0".join(parts)
            self._client.bind_sasl(login.method, cred=credentials.encode())
        result = self._result(sansldap.BindResponse)
        if result.result_code != LDAPResultCode.SUCCESS:
            raise Gone(f"cannot bind as {login.name or 'anonymous'}: {_described(result)}")
        self._ourselves = True

    # -- the wire --------------------------------------------------------------------------------------------

    def _connect(self) -> socket.socket:
        address, context = self._server.address, self._server.context
        if address.lower().startswith("ldapi://"):
            sock = socket.socket(socket.AF_UNIX)
            sock.settimeout(CONNECT_SECONDS)
            try:
                sock.connect(unquote(address[len("ldapi://") :]).rstrip("/"))
            except OSError:
                sock.close()
                raise
            return sock
        match = _ADDRESS.fullmatch(address)
        if match is None:
            raise Gone(f"not an LDAP server's address: {address}")
        scheme, host = (match[1] or "ldap").lower(), match[2].strip("[]")
        sock = socket.create_connection((host, int(match[3] or PORTS[scheme])), CONNECT_SECONDS)
        try:
            if scheme == "ldaps":
                sock = context.wrap_socket(sock, server_hostname=host)
            elif self._server.start_tls:
                sock = self._start_tls(sock, host)
            sock.settimeout(ANSWER_SECONDS)
        except BaseException:
            sock.close()
            raise
        return sock

    def _start_tls(self, sock: socket.socket, host: str) -> socket.socket:
        """Messages are read one by one, to the octet: nothing sent in the clear is taken for what comes under TLS."""
        self._socket = sock
        self._client.extended_request(START_TLS)
        result = self._result(sansldap.ExtendedResponse)
        if result.result_code != LDAPResultCode.SUCCESS:
            raise Gone(f"cannot start TLS: {_described(result)}")
        return self._server.context.wrap_socket(sock, server_hostname=host)

    def _result(self, kind: type[Any]) -> Any:
        message = self._receive()
        if not isinstance(message, kind):
            raise Gone(f"unexpected {type(message).__name__}")
        return message.result

    def _receive(self) -> Any:
        """Send what is due; the next message."""
        if data := self._client.data_to_send():
            self._socket.sendall(data)
        while True:
            messages = list(self._client.receive(self._message()))
            if messages:
                return messages[0]

    def _message(self) -> bytes:
        """The octets of one message: a BER sequence of definite length (X.690 section 8.1)."""
        head = self._exactly(2)
        length = head[1]
        if length & 0x80:
            more = self._exactly(min(length & 0x7F, 8))
            head += more
            length = int.from_bytes(more, "big")
        if head[0] != 0x30 or length > MESSAGE_MAX:
            raise Gone("the server's message is none of LDAP, or too long")
        return head + self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self._socket.recv(count - len(data))
            if not chunk:
                raise Gone("the server closed the connection")
            data += chunk
        return data


def _found(message: sansldap.SearchResultEntry) -> Found:
    attributes = dict[str, tuple[str, ...]]()
    for attribute in message.attributes:
        values = tuple(value.decode("utf-8", "surrogateescape") for value in attribute.values)
        attributes[attribute.name] = attributes.get(attribute.name, ()) + values
    return Found(message.object_name, attributes)


def _described(result: sansldap.LDAPResult) -> str:
    """A result for the log: its number, name and the server's words."""
    code, words = result.result_code, " ".join(result.diagnostics_message.split())
    return f"{code.value} ({code.name.lower().replace('_', ' ')}{': ' + words if words else ''})"
