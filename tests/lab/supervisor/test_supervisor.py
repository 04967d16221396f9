"""The supervisor over real processes: start, crash, reload, stop, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Stand


@pytest.fixture
def port(helpers):
    return helpers.free_port()


def test_every_worker_serves_and_ready_means_ready(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "workers": 2, "ports": [port]})
    stand.start()
    assert len(stand.children()) == 2
    client = stand.client(port)
    assert client.pid in stand.children()
    assert client.ask("moin") == "moin"


def test_state_file_names_processes_and_listeners(stand: Stand, port: int) -> None:
    stand.plan({"name": "echo", "ports": [port]})
    stand.start()
    (service,) = stand.state()["services"]
    assert service == {"name": "echo", "pids": stand.children(), "listeners": [f"echo 127.0.0.1:{port}"]}


def test_taken_port_fails_the_whole_start_and_names_the_holder(stand: Stand, port: int, helpers) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        taken = holder.getsockname()[1]
        stand.plan({"name": "echo", "ports": [port, taken], "unix": ["sock"]})
        stand.start(wait=False)
        assert stand.finish() == 1
        comm = Path("/proc/self/comm").read_text().strip()
        expected = (
            f"hardmail: cannot listen on 127.0.0.1:{taken}: the port is taken by process {os.getpid()} ({comm})\n"
        )
        assert stand.log() == expected
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    assert not (stand.directory / "sock").exists()
    assert not (stand.directory / "master.pid").exists()


def test_crashed_service_is_started_again(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "ports": [port]})
    stand.start()
    first = stand.client(port).pid
    os.kill(first, signal.SIGKILL)
    second = stand.client(port).pid  # the kernel keeps the connection until the next process accepts it
    assert second != first
    assert f"process echo pid {first} killed by signal 9" in stand.log()


def test_a_service_on_demand_starts_with_its_first_client(stand: Stand, port: int, helpers) -> None:
    other = helpers.free_port()
    stand.plan({"name": "echo", "ports": [port]}, {"name": "rare", "ports": [other], "on_demand": True})
    stand.start()
    assert len(stand.children()) == 1
    client = stand.client(other)
    assert client.ask("moin") == "moin"
    assert len(stand.children()) == 2
    assert stand.state()["services"][1]["on_demand"]
    os.kill(client.pid, signal.SIGKILL)
    again = stand.client(other)
    assert again.ask("again") == "again"
    assert again.pid != client.pid


def test_a_service_on_demand_sleeps_again_after_a_reload(stand: Stand, port: int, helpers) -> None:
    other = helpers.free_port()
    services = {"name": "echo", "ports": [port]}, {"name": "rare", "ports": [other], "on_demand": True}
    stand.plan(*services)
    stand.start()
    first = stand.client(other)
    assert first.ask("moin") == "moin"
    stand.signal(signal.SIGHUP)
    helpers.wait_for(lambda: "generation 2 serves" in stand.log())
    assert first.ask("still") == "still"
    first.close()
    helpers.wait_for(lambda: len(stand.children()) == 1)
    second = stand.client(other)
    assert second.ask("moin") == "moin"
    assert second.pid != first.pid


def test_service_that_cannot_start_fails_the_start(stand: Stand, port: int) -> None:
    stand.plan({"name": "echo", "ports": [port]}, {"name": "odd", "broken": "/no/such/key.pem"})
    stand.start(wait=False)
    assert stand.finish() == os.EX_CONFIG
    assert stand.log().endswith("hardmail: odd: /no/such/key.pem: No such file or directory\n")
    assert not (stand.directory / "master.pid").exists()


def test_service_that_dies_before_it_is_ready_fails_the_start(stand: Stand) -> None:
    stand.plan({"name": "odd", "entry": "restless"})
    stand.start(wait=False)
    assert stand.finish() == os.EX_CONFIG
    assert stand.log().endswith("hardmail: odd: RuntimeError: no luck today\n")


def test_missing_service_does_not_stop_the_others(stand: Stand, port: int) -> None:
    stand.plan({"name": "echo", "ports": [port]}, {"name": "odd", "entry": "missing"})
    stand.start()
    assert stand.client(port).ask("x") == "x"
    assert "stand has no missing" in stand.log()


def test_reload_takes_new_settings_without_dropping_a_connection(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "greeting": "one", "ports": [port]})
    stand.start()
    old = stand.client(port)
    stand.plan({"name": "echo", "greeting": "two", "ports": [port]})
    stand.signal(signal.SIGHUP)
    helpers.wait_for(lambda: "serves" in stand.log())
    # The old process may take a last connection until it is told to drain.
    helpers.wait_for(lambda: stand.client(port).greeting == "two")
    new = stand.client(port)
    assert (old.greeting, new.greeting) == ("one", "two")
    assert old.ask("still here") == "still here"
    assert helpers.alive(old.pid)
    old.close()
    helpers.wait_for(lambda: not helpers.alive(old.pid), "the old process ends with its last session")
    assert new.ask("and here") == "and here"


def test_reload_during_connections_refuses_none(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "workers": 2, "ports": [port]})
    stand.start()
    for generation in range(2, 5):
        stand.signal(signal.SIGHUP)
        while f"generation {generation} serves" not in stand.log():
            client = stand.client(port)
            assert client.ask("x") == "x"
            client.close()


def test_reload_with_an_error_keeps_what_runs(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "greeting": "one", "ports": [port]})
    stand.start()
    stand.plan(errors=("main.cf, line 3: missing '=' after attribute name",))
    stand.signal(signal.SIGHUP)
    helpers.wait_for(lambda: "stays" in stand.log())
    assert "error: reload: main.cf, line 3: missing '=' after attribute name" in stand.log()
    assert stand.client(port).greeting == "one"


def test_reload_to_a_broken_service_keeps_what_runs(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "greeting": "one", "ports": [port]})
    stand.start()
    other = helpers.free_port()
    stand.plan({"name": "echo", "broken": "/no/such/file", "ports": [port, other]})
    stand.signal(signal.SIGHUP)
    helpers.wait_for(lambda: "stays" in stand.log())
    assert stand.client(port).greeting == "one"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", other))


def refused(port: int) -> bool:
    """Whether nobody listens there any more."""
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:  # it closed with us in its queue
        return False
    return False


def test_reload_opens_and_closes_listeners(stand: Stand, port: int, helpers) -> None:
    other = helpers.free_port()
    stand.plan({"name": "echo", "ports": [port], "unix": ["a"]})
    stand.start()
    stand.plan({"name": "echo", "ports": [other], "unix": ["b"]})
    stand.signal(signal.SIGHUP)
    helpers.wait_for(lambda: "serves" in stand.log())
    assert stand.client(other).ask("x") == "x"
    assert stand.client(stand.directory / "b").ask("x") == "x"
    assert not (stand.directory / "a").exists()

    helpers.wait_for(lambda: refused(port), "the removed listener closes with the old process")


def test_exclusive_service_never_runs_twice(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "alone", "entry": "alone", "exclusive": True}, {"name": "echo", "ports": [port]})
    stand.start()
    for generation in (2, 3):
        stand.signal(signal.SIGHUP)
        helpers.wait_for(lambda n=generation: f"generation {n} serves" in stand.log())
    stand.signal(signal.SIGTERM)
    assert stand.finish() == 0
    words = [line.split() for line in (stand.directory / "journal").read_text().splitlines()]
    assert [what for what, _ in words] == ["start", "end"] * 3
    assert [pid for _, pid in words[::2]] == [pid for _, pid in words[1::2]]


def test_stop_leaves_nothing(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "workers": 2, "ports": [port], "unix": ["sock"]})
    stand.start()
    children = stand.children()
    stand.signal(signal.SIGTERM)
    assert stand.finish() == 0
    assert not [pid for pid in children if helpers.alive(pid)]
    assert sorted(path.name for path in stand.directory.iterdir()) == ["plan.json", "runtime", "stderr"]
    assert list(stand.runtime.rglob("*")) == []
    stand.start()  # and everything can be had again


def test_stop_says_goodbye_to_idle_sessions(stand: Stand, port: int) -> None:
    stand.plan({"name": "echo", "ports": [port]})
    stand.start()
    idle = stand.client(port)
    stand.signal(signal.SIGTERM)
    assert idle.line() == "BYE"
    assert stand.finish() == 0


def test_service_that_others_need_stops_last(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "auth", "unix": ["auth"], "outlives": True}, {"name": "echo", "ports": [port]})
    stand.start()
    session = stand.client(port)
    stand.signal(signal.SIGTERM)

    helpers.wait_for(lambda: "x" in session.ask("x"))
    question = stand.client(stand.directory / "auth")
    assert question.ask("who?") == "who?"
    question.close()
    session.close()
    assert stand.finish() == 0


def test_killed_supervisor_takes_its_processes_along_and_can_start_again(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "workers": 2, "ports": [port], "unix": ["sock"]})
    for _ in range(3):
        process = stand.start()
        children = stand.children()
        client = stand.client(port)
        assert client.ask("x") == "x"
        process.kill()
        assert stand.finish() == -signal.SIGKILL
        restarted = stand.start()  # at once: no sleep, no clean-up by hand
        assert restarted.pid != process.pid
        helpers.wait_for(lambda pids=children: not [pid for pid in pids if helpers.alive(pid)])
        assert stand.client(port).ask("y") == "y"
        assert stand.client(stand.directory / "sock").ask("z") == "z"
        stand.signal(signal.SIGKILL)
        stand.finish()


def test_second_start_is_refused_and_says_who_runs(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "ports": [port]})
    first = stand.start()
    second = stand.start(wait=False)
    assert stand.finish() == os.EX_TEMPFAIL
    path = stand.directory / "master.pid"
    assert f"hardmail: already running: process {first.pid} holds {path}\n" in stand.log()
    stand.process = first
    assert path.read_text() == f"{first.pid}\n"
    assert second.pid != first.pid
    assert stand.client(port).ask("x") == "x"


def test_ready_fd(stand: Stand, port: int) -> None:
    stand.plan({"name": "echo", "ports": [port]})
    reader, writer = os.pipe()
    stand.start(str(writer), wait=False, pass_fds=[writer])
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"\n"
    assert stand.client(port).ask("x") == "x"


def test_service_manager_is_told(stand: Stand, port: int, helpers) -> None:
    stand.plan({"name": "echo", "ports": [port]})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(20)
        manager.bind(str(stand.directory / "notify"))
        stand.start(environment={"NOTIFY_SOCKET": str(stand.directory / "notify")})
        assert manager.recv(100) == b"READY=1"
        stand.signal(signal.SIGHUP)
        assert manager.recv(100).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(100) == b"READY=1"
        stand.signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"


def test_unix_socket_has_the_mode_asked_for(stand: Stand) -> None:
    stand.plan({"name": "echo", "unix": ["sock"]})
    stand.start()
    status = (stand.directory / "sock").stat()
    assert stat.S_IMODE(status.st_mode) == 0o640
    assert sorted(path.name for path in stand.directory.iterdir() if path.name.startswith(".")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="a confined process shows its descriptors to root only")
def test_processes_keep_neither_lock_nor_foreign_sockets(stand: Stand, port: int) -> None:
    stand.plan({"name": "one", "ports": [port]}, {"name": "two", "unix": ["sock"]})
    stand.start()
    inodes = {
        line.split()[9]
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int(line.split()[1].partition(":")[2], 16) == port
    }
    holders = []
    for pid in stand.children():
        targets = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        holders += [pid] * bool({f"socket:[{inode}]" for inode in inodes} & set(targets))
        assert not [target for target in targets if "master.pid" in target]
    assert len(holders) == 1
