"""Two network namespaces with a cable between them: a server on its real ports, and a stranger who looks at it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests import peers

SERVER, STRANGER = "10.77.0.2", "10.77.0.1"
IP = "/usr/sbin/ip"


@dataclass(frozen=True)
class Network:
    """The names of the namespaces."""

    server: str
    stranger: str

    def at_server(self, *command: str) -> list[str]:
        return [IP, "netns", "exec", self.server, *command]

    def at_stranger(self, *command: str) -> list[str]:
        return [IP, "netns", "exec", self.stranger, *command]

    def wrapper(self, program: str, directory: Path) -> str:
        """A program that runs `program` on the server's side."""
        path = directory / f"{Path(program).name}-in-{self.server}"
        path.write_text(f'#!/bin/sh\nexec {IP} netns exec {self.server} {program} "$@"\n')
        path.chmod(0o755)
        return str(path)


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def network() -> Iterator[Network]:
    """Both sides, with a resolver on the server's (tests.interop.audited.resolver is to be started there)."""
    peers.need_root()
    peers.find("ip", "iproute2")
    made = Network(f"hm{os.getpid()}s", f"hm{os.getpid()}c")
    settings = Path("/etc/netns") / made.server
    try:
        for name in (made.server, made.stranger):
            run(IP, "netns", "add", name)
            run(IP, "-n", name, "link", "set", "lo", "up")
        run(
            IP,
            "link",
            "add",
            "hm0",
            "netns",
            made.server,
            "type",
            "veth",
            "peer",
            "name",
            "hm1",
            "netns",
            made.stranger,
        )
        for name, device, address in ((made.server, "hm0", SERVER), (made.stranger, "hm1", STRANGER)):
            run(IP, "-n", name, "addr", "add", f"{address}/24", "dev", device)
            run(IP, "-n", name, "link", "set", device, "up")
        settings.mkdir(parents=True)
        (settings / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        yield made
    finally:
        shutil.rmtree(settings, ignore_errors=True)
        for name in (made.server, made.stranger):
            subprocess.run([IP, "netns", "del", name], check=False, capture_output=True)
