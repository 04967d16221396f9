"""A stand-in for `hardmail run`: the real supervisor over services whose plan stands in a JSON file."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.errors import LabError, PlanError
from lab.supervisor import runner
from lab.supervisor.listeners import Bound, InetListener, Listener, UnixListener
from lab.supervisor.service import Plan, Rules, Service

Serve = Callable[[asyncio.Event, Callable[[], None]], object]


def load(directory: Path) -> list[Plan]:
    """The plan in `directory`/plan.json; a list under "errors" is raised as PlanError."""
    spec = json.loads((directory / "plan.json").read_text())
    if spec.get("errors"):
        raise PlanError(spec["errors"])
    services = []
    for entry in spec["services"]:
        listeners: list[Listener] = [InetListener("127.0.0.1", port, "echo") for port in entry.get("ports", [])]
        listeners += [UnixListener(directory / name, 0o640, "echo") for name in entry.get("unix", [])]
        services.append(
            Service(
                name=entry["name"],
                entry=f"stand:{entry.get('entry', 'prepare')}",
                config={**entry, "directory": str(directory)},
                listeners=tuple(listeners),
                workers=entry.get("workers", 1),
                rules=Rules(write=(directory,), read=(Path(__file__).parent,)),
                exclusive=entry.get("exclusive", False),
                outlives=entry.get("outlives", False),
                on_demand=entry.get("on_demand", False),
            )
        )
    return [Plan(directory, tuple(services), (directory / "master.pid",))]


def prepare(config: dict[str, str], sockets: Sequence[Bound]) -> Serve:
    """Greets with `GREETING PID`, echoes lines, says BYE when it must close."""
    if config.get("broken"):
        raise OSError(2, "No such file or directory", config["broken"])

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(f"{config.get('greeting', 'hello')} {os.getpid()}\n".encode())
            while line := await reader.readline():
                writer.write(line)
        except asyncio.CancelledError:
            writer.write(b"BYE\n")
        finally:
            writer.close()

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        sessions: set[asyncio.Task[None]] = set()

        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(session(reader, writer))
            sessions.add(task)
            task.add_done_callback(sessions.discard)

        start = {True: asyncio.start_unix_server, False: asyncio.start_server}
        servers = [await start[bound.socket.family == 1](accepted, sock=bound.socket) for bound in sockets]
        ready()
        await drain.wait()
        for server in servers:
            server.close()
        for _ in range(5):  # what was accepted a moment ago becomes a session first
            await asyncio.sleep(0)
        try:
            while sessions:
                await asyncio.wait(sessions)
        except asyncio.CancelledError:
            for task in sessions:
                task.cancel()
            await asyncio.wait(sessions)

    return serve


def alone(config: dict[str, str], sockets: Sequence[Bound]) -> Serve:
    """Writes `start PID` and `end PID` to a file: two at once would show."""
    journal = Path(config["directory"], "journal")

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        with journal.open("a") as file:
            file.write(f"start {os.getpid()}\n")
            file.flush()
            ready()
            await drain.wait()
            file.write(f"end {os.getpid()}\n")

    return serve


def restless(config: dict[str, str], sockets: Sequence[Bound]) -> Serve:
    """Dies before it is ever ready."""

    async def serve(drain: asyncio.Event, ready: Callable[[], None]) -> None:
        raise RuntimeError("no luck today")

    return serve


def main() -> None:
    """`stand.py DIRECTORY [READY_FD]`."""
    directory = Path(sys.argv[1])
    try:
        runner.run(lambda: load(directory), command="run", ready_fd=int(sys.argv[2]) if len(sys.argv) > 2 else None)
    except LabError as error:
        for line in error.lines:
            print(f"hardmail: {line}", file=sys.stderr)
        sys.exit(error.status)


if __name__ == "__main__":
    sys.modules["stand"] = sys.modules["__main__"]
    main()
