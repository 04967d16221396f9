"""The lab's name server: authoritative for the profile's zones, by twisted.names, on sockets that are already bound."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
from twisted.names import dns as wire
from twisted.names.server import DNSServerFactory
from twisted.protocols.policies import TimeoutFactory

from imap.transport import install_reactor
from lab.dns.zones import Answer, Zones

_logger = logging.getLogger("hardmail.dns")

LARGEST_DATAGRAM = 512
"""RFC 1035 section 4.2.1; a longer answer is marked truncated and fetched over TCP."""
_IDLE_SECONDS = 10.0
_MOST_CONNECTIONS = 100
"""More TCP clients than that have no business in a lab; further ones are closed at once."""

Serve = Callable[[asyncio.Event, Callable[[], None]], Awaitable[None]]


class Bound(Protocol):
    """A bound socket; UDP and TCP are told apart by its type."""

    @property
    def socket(self) -> socket.socket: ...
    @property
    def tag(self) -> str: ...
    @property
    def options(self) -> Mapping[str, str]: ...


def prepare(zones: Path | Zones, sockets: Sequence[Bound]) -> Serve:
    """
    Read the zones (`*.zone` of a directory); the coroutine function that is returned answers for them.

    Raises ZoneError. Asked about anything else, the server answers REFUSED; it asks nobody itself.
    """
    known = zones if isinstance(zones, Zones) else Zones.load(zones)

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        reactor = install_reactor()
        controller = _Controller(known)
        ports = [_adopt(reactor, controller, bound.socket) for bound in sockets]
        _logger.info("serving %s", " ".join(known.origins) or "no zone")
        ready()
        try:
            await drain.wait()
        finally:
            for port in ports:
                port.stopListening()
            for connection in list(controller.connections):
                connection.transport.loseConnection()

    return serve


class _Controller(DNSServerFactory):
    """Answers queries from the zones; everything about the wire is Twisted's."""

    noisy = False

    def __init__(self, zones: Zones) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._zones = zones

    def messageReceived(self, message: wire.Message, proto: Any, address: tuple[str, int] | None = None) -> None:
        """Answer one message. Answers are dropped: two servers must not talk to each other for ever."""
        if message.answer:
            return
        if message.opCode != wire.OP_QUERY:
            self._reply(message, proto, address, Answer(dns.rcode.NOTIMP, authoritative=False))
        elif len(message.queries) != 1:
            self._reply(message, proto, address, Answer(dns.rcode.FORMERR, authoritative=False))
        else:
            answer = self._look_up(message.queries[0])
            _log(message.queries[0], answer, address)
            self._reply(message, proto, address, answer)

    def _look_up(self, query: wire.Query) -> Answer:
        if query.cls not in (wire.IN, wire.ANY):
            return Answer(dns.rcode.REFUSED, authoritative=False)
        try:
            name = dns.name.Name((*(label for label in query.name.name.split(b".") if label), b""))
        except dns.name.NameTooLong:
            return Answer(dns.rcode.FORMERR, authoritative=False)
        return self._zones.answer(name, dns.rdatatype.RdataType.make(query.type))

    def _reply(self, message: wire.Message, proto: Any, address: tuple[str, int] | None, answer: Answer) -> None:
        if answer.code is None:
            return
        reply = wire.Message(
            message.id, answer=1, opCode=message.opCode, recDes=message.recDes, rCode=answer.code, maxSize=0
        )
        reply.auth = answer.authoritative
        reply.queries = message.queries
        reply.answers, reply.authority, reply.additional = (
            [record for rrset in section for record in _records(rrset)]
            for section in (answer.answers, answer.authority, answer.additional)
        )
        if address is None:
            proto.writeMessage(reply)
            return
        if len(reply.toStr()) > LARGEST_DATAGRAM:
            reply.trunc = True
            reply.answers, reply.authority, reply.additional = [], [], []
        proto.writeMessage(reply, address)


class _Connections(TimeoutFactory):
    """TCP clients: not too many at a time, and none for ever."""

    noisy = False

    def buildProtocol(self, address: Any) -> Any:
        """None, which closes the connection, once there are too many."""
        if len(self.protocols) >= _MOST_CONNECTIONS:
            return None
        return super().buildProtocol(address)  # type: ignore[no-untyped-call]


def _records(rrset: dns.rrset.RRset) -> list[wire.RRHeader]:
    """The records as Twisted writes them: their data is already in wire form."""
    name = rrset.name.to_text(omit_final_dot=True).encode()
    payloads: list[Any] = [wire.UnknownRecord(rdata.to_wire()) for rdata in rrset]  # type: ignore[no-untyped-call]
    return [wire.RRHeader(name, rrset.rdtype, wire.IN, rrset.ttl, payload, auth=True) for payload in payloads]


def _adopt(reactor: Any, controller: _Controller, sock: socket.socket) -> Any:
    """A port of Twisted over a duplicate of the socket, so that the supervisor's stays open."""
    sock.setblocking(False)
    family, kind = sock.family, sock.type
    if kind == socket.SOCK_DGRAM:
        datagrams = wire.DNSDatagramProtocol(controller, reactor)  # type: ignore[no-untyped-call]
        return reactor.adoptDatagramPort(sock.fileno(), family, datagrams, LARGEST_DATAGRAM)
    connections = _Connections(controller, _IDLE_SECONDS)  # type: ignore[no-untyped-call]
    return reactor.adoptStreamPort(sock.fileno(), family, connections)


def _log(query: wire.Query, answer: Answer, address: tuple[str, int] | None) -> None:
    code = "no answer" if answer.code is None else dns.rcode.to_text(answer.code)
    kind = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(query.type))
    name = query.name.name.decode("ascii", "replace")
    printable = "".join(character if character.isprintable() else "?" for character in name)
    client = f"{address[0]}:{address[1]}" if address else "tcp"
    _logger.info("query from %s: %s %s: %s, %d answers", client, printable or ".", kind, code, len(answer.answers))
