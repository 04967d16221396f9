"""What is measured: each function starts a server afresh, and checks that nothing was lost or doubled."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable
from functools import partial

from bench.servers import Server, Sink, running, send

Measure = Callable[[type[Server], float], dict[str, float]]

WARM_UP = 100
CONNECTIONS = 500
MIB, KIB = 1024 * 1024, 1024


def accept(kind: type[Server], scale: float, *, messages: int, octets: int, one_session: bool) -> dict[str, float]:
    """Mails a second: accepted (the last 250), relayed (the last one at the sink); processor time of the server."""
    count = max(100, int(messages * scale))
    with running(kind) as server, Sink(server) as sink:
        send(server, WARM_UP, octets)
        sink.wait(WARM_UP)
        used, begun = server.cpu_seconds(), time.monotonic()
        seconds = send(server, count, octets, one_session=one_session)
        relayed = sink.wait(WARM_UP + count) - begun
        return {
            "accepted, mails/s": count / seconds,
            "relayed, mails/s": count / relayed,
            "processor time, ms/mail": 1000 * (server.cpu_seconds() - used) / count,
        }


def start(kind: type[Server], scale: float) -> dict[str, float]:
    """From the command to the first 220, with a queue that exists."""
    with running(kind) as server:
        server.stop()
        return {"ms": 1000 * server.start()}


def memory(kind: type[Server], scale: float) -> dict[str, float]:
    """After some mail; and what a connection costs that has said EHLO and is silent."""
    with running(kind, processes=CONNECTIONS + 100) as server, Sink(server) as sink:
        send(server, 2 * WARM_UP, 2 * KIB)
        sink.wait(2 * WARM_UP)
        idle = server.pss_octets()
        with contextlib.ExitStack() as clients:
            for _ in range(CONNECTIONS):
                client = clients.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
                client.recv(512)
                client.sendall(b"EHLO client.example.test\r\n")
                client.recv(1024)
            busy = server.pss_octets()
    return {"MiB when idle": idle / MIB, "KiB for a connection": (busy - idle) / CONNECTIONS / KIB}


def backlog(kind: type[Server], scale: float) -> dict[str, float]:
    """The smarthost refuses connections: is mail still accepted as fast? Then it is back, and all must go out."""
    half, probe = int(10_000 * scale), max(100, int(1000 * scale))
    with running(kind) as server:
        send(server, WARM_UP, 2 * KIB)
        empty = probe / send(server, probe, 2 * KIB)
        send(server, 2 * half - 2 * probe - WARM_UP, 2 * KIB, one_session=True)
        full = probe / send(server, probe, 2 * KIB)
        with Sink(server) as sink:
            time.sleep(1)
            begun = time.monotonic()
            server.flush()
            drained = 2 * half / (sink.wait(2 * half) - begun)
    return {"accepted when full, % of empty": 100 * full / empty, "drained, mails/s": drained}


MEASURES: dict[str, Measure] = {
    "2 KiB, one mail a session": partial(accept, messages=2000, octets=2 * KIB, one_session=False),
    "2 KiB, 100 mails a session": partial(accept, messages=2000, octets=2 * KIB, one_session=True),
    "100 KiB, one mail a session": partial(accept, messages=500, octets=100 * KIB, one_session=False),
    "100 KiB, 25 mails a session": partial(accept, messages=500, octets=100 * KIB, one_session=True),
    "start": start,
    "memory": memory,
    "backlog of 20,000": backlog,
}
