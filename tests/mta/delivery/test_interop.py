"""Our client against other people's servers: smtp-sink(1) of Postfix, by SMTP and LMTP."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator

import pytest

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs("smtp-sink", "postfix"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["smtp", "smtp without pipelining", "smtp without ESMTP", "lmtp"])
def sink(request: pytest.FixtureRequest) -> Iterator[tuple[str, int]]:
    port = free_port()
    kind = str(request.param)
    options = {"smtp without pipelining": ["-p"], "smtp without ESMTP": ["-e"], "lmtp": ["-L"]}.get(kind, [])
    if os.geteuid() == 0:
        options = ["-u", "nobody", *options]
    process = subprocess.Popen(["smtp-sink", *options, f"127.0.0.1:{port}", "100"], stderr=subprocess.PIPE)
    try:
        wait_for(port, process)
        yield kind, port
    finally:
        process.kill()
        process.communicate()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        if process.poll() is not None:
            raise AssertionError(process.communicate()[1])
        os.sched_yield()


async def test_mail_goes_through(sink, agent, request_to, outcome) -> None:
    kind, port = sink
    prefix = "lmtp" if kind == "lmtp" else "smtp"
    client = agent(prefix=prefix)
    nexthop = f"inet:127.0.0.1:{port}" if prefix == "lmtp" else f"[127.0.0.1]:{port}"
    content = b"Subject: x\r\n\r\n" + b".line\r\n" * 2000
    async with asyncio.timeout(20):
        for _ in range(3):
            results = await client.deliver(
                request_to(nexthop, "a@x.example", "b@x.example", content=content, more=True)
            )
            assert [status for status, _, _ in outcome(results).values()] == ["sent", "sent"]
