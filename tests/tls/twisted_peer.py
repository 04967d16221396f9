"""A Twisted process with one port for each way to treat STARTTLS; prints `{"name": port}` and serves until killed."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from twisted.internet import asyncioreactor

asyncioreactor.install(asyncio.new_event_loop())

from twisted.internet import endpoints, protocol, reactor  # noqa: E402
from twisted.mail.imap4 import IMAP4Server  # noqa: E402
from twisted.protocols.basic import LineOnlyReceiver, LineReceiver  # noqa: E402

from tls.context_twisted import twisted_server_options  # noqa: E402
from tls.errors import TLSHandshakeError  # noqa: E402
from tls.policy import Policy  # noqa: E402
from tls.starttls_twisted import handshake_error, upgrade_client, upgrade_server  # noqa: E402

GO_AHEAD = b"220 ready\r\n"
certificate, key = (Path(name) for name in sys.argv[1:])
options = twisted_server_options(certificate, key, Policy())


class Echo(LineReceiver):
    """Answers each line with `ok LINE`; the answers under TLS show what it took for protected."""

    def lineReceived(self, line: bytes) -> None:
        if line == b"STARTTLS":
            self.start_tls()
        else:
            self.sendLine(b"ok " + line)

    def start_tls(self) -> None:
        self.dropped = upgrade_server(self, options, go_ahead=GO_AHEAD)

    def connectionLost(self, reason: object) -> None:
        failures.append(str(handshake_error(reason)))


class Naive(Echo):
    def start_tls(self) -> None:
        self.transport.write(GO_AHEAD)
        self.transport.startTLS(options)


class Twin(Echo):
    def start_tls(self) -> None:
        upgrade_server(self, options, go_ahead=GO_AHEAD, keep_plaintext=True)


class OnlyLines(LineOnlyReceiver):
    """Cannot be emptied, so the gate must refuse to open."""

    def lineReceived(self, line: bytes) -> None:
        try:
            upgrade_server(self, options, go_ahead=GO_AHEAD)
        except TypeError as error:
            self.sendLine(str(error).encode())


class HandlerOnly(IMAP4Server):
    """Overrides the handler alone, which IMAP4Server's command table never asks."""

    def do_STARTTLS(self, tag: bytes) -> None:
        upgrade_server(self, options, go_ahead=tag + b" OK gate\r\n")


class Guarded(HandlerOnly):
    unauth_STARTTLS = (HandlerOnly.do_STARTTLS,)


class Client(LineReceiver):
    """Asks the scripted server for STARTTLS; tells the outcome to the log."""

    def connectionMade(self) -> None:
        self.sendLine(b"STARTTLS")

    def lineReceived(self, line: bytes) -> None:
        try:
            upgrade_client(self, options)
        except TLSHandshakeError as error:
            failures.append(f"client: {error}")


class Control(LineReceiver):
    """`connect PORT` starts a client; `failures` lists what was recorded so far."""

    def lineReceived(self, line: bytes) -> None:
        if line.startswith(b"connect "):
            endpoint = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", int(line.split()[1]))
            endpoint.connect(protocol.Factory.forProtocol(Client))
        self.sendLine(json.dumps(failures).encode())


failures: list[str] = []


def listen(make: object) -> int:
    return reactor.listenTCP(0, protocol.Factory.forProtocol(make), interface="127.0.0.1").getHost().port


def imap(make: type[IMAP4Server]) -> object:
    return lambda: make(contextFactory=options)


ports = {kind.__name__: listen(kind) for kind in (Echo, Naive, Twin, OnlyLines, Control)}
ports |= {kind.__name__: listen(imap(kind)) for kind in (IMAP4Server, HandlerOnly, Guarded)}
print(json.dumps(ports), flush=True)
reactor.run(installSignalHandlers=False)
