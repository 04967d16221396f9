"""port-taken: a start whose port is held by another program fails as a whole and says who holds it."""

from __future__ import annotations

import socket

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Hold the first port of a copy of the null client, start it, and look at what it says and what it left."""
    with socket.create_server(("127.0.0.1", 0)) as holder, socket.create_server(("127.0.0.1", 0)) as free:
        held, other = holder.getsockname()[1], free.getsockname()[1]
        free.close()
        confdir = lab.copy_of(
            "nullclient", f"127.0.0.1:{other} inet n - n - - smtpd\n127.0.0.1:{held} inet n - n - - smtpd\n"
        )
        evidence.note(
            f"127.0.0.1:{held} is held by this process; hardmail run is told to listen on {other} and on {held}"
        )
        result = await lab.hardmail("run", "-c", str(confdir))
        for line in result.errors.splitlines():
            evidence.note(line)
        lines = result.errors.strip().splitlines()
        if result.status == 0:
            raise ProbeFailed("the start succeeded on a port that is taken")
        with socket.socket() as client:
            half_started = client.connect_ex(("127.0.0.1", other)) == 0
    if half_started:
        return exposed(f"port {other} answers although the start failed")
    named = len(lines) == 1 and "127.0.0.1" in lines[0] and str(held) in lines[0]
    if result.status == 1 and named:
        return hardened(f"exit 1: {lines[0]}")
    return exposed(f"exit {result.status}, {len(lines)} lines: {result.errors.strip()[:200]}")


BEHAVIOUR = Behaviour(
    slug="port-taken",
    title="A daemon whose port is held by another does not start halfway",
    source="D 5.6.1 (inetd holds port 25)",
    why="A daemon that starts halfway looks healthy while another program, such as inetd with an old server, "
    "goes on receiving the mail. The start fails as a whole and names the port.",
    configuration=(Change("nullclient/master.cf", "smtpd"),),
    expectation="exit 1 and one line: address, port, and who holds it; nothing half-started",
    probe=probe,
    instances=("nullclient",),
)
