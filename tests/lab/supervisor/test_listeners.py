"""Listening sockets: all or nothing, modes before anyone can connect, stale files, and who holds a port."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.errors import ListenError
from lab.supervisor.listeners import UNIX_PATH_MAX, InetListener, Sockets, UnixListener, port_holder


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    """Sockets that are closed with the test."""
    made = Sockets()
    yield made
    made.close_all_but(())


def lines(sockets: Sockets, *listeners: InetListener | UnixListener) -> tuple[str, ...]:
    """What the operator reads when these cannot be bound."""
    with pytest.raises(ListenError) as caught:
        sockets.bind(listeners)
    return caught.value.lines


def test_unix_socket_has_its_mode_from_the_first_moment(sockets: Sockets, tmp_path: Path, monkeypatch) -> None:
    seen: list[int] = []
    rename = os.rename

    def watched(source: str, target: str, **directories: int) -> None:
        seen.append(stat.S_IMODE((tmp_path / source).stat().st_mode))
        rename(source, target, **directories)

    monkeypatch.setattr(os, "rename", watched)
    listener = UnixListener(tmp_path / "auth", 0o640, "auth")
    sockets.bind([listener])
    assert seen == [0o640]
    assert stat.S_IMODE(listener.path.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["auth"]


def test_stale_socket_is_replaced(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    sockets.bind([UnixListener(path, 0o600, "x")])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))


def test_living_socket_is_not_stolen(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert lines(sockets, UnixListener(path, 0o600, "x"))[0].startswith(f"cannot listen on {path}: ")


def test_file_that_is_no_socket_is_not_removed(sockets: Sockets, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    assert lines(sockets, UnixListener(path, 0o600, "x")) == (
        f"cannot listen on {path}: a file that is no socket stands there",
    )
    assert path.read_text() == "data"


def test_symbolic_link_is_not_followed(sockets: Sockets, tmp_path: Path) -> None:
    (tmp_path / "target").write_text("data")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    assert "no socket" in lines(sockets, UnixListener(tmp_path / "link", 0o600, "x"))[0]
    assert (tmp_path / "target").read_text() == "data"


def test_missing_directory_and_long_path(sockets: Sockets, tmp_path: Path) -> None:
    missing = UnixListener(tmp_path / "no" / "sock", 0o600, "x")
    long = UnixListener(Path("/tmp") / ("x" * UNIX_PATH_MAX), 0o600, "x")
    first, second = lines(sockets, missing, long)
    assert first.endswith(f"directory {tmp_path}/no does not exist")
    assert second.endswith("at most 107 octets; choose a shorter directory")


def test_all_or_nothing(sockets: Sockets, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = InetListener("127.0.0.1", other.getsockname()[1], "x")
        unix = UnixListener(tmp_path / "sock", 0o600, "x")
        assert len(lines(sockets, unix, taken)) == 1
    assert list(sockets) == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_bound_already_stays(sockets: Sockets, tmp_path: Path) -> None:
    listener = UnixListener(tmp_path / "sock", 0o600, "x")
    sockets.bind([listener])
    kept = sockets[listener]
    wider = UnixListener(tmp_path / "sock", 0o666, "x")
    assert sockets.bind([wider]) == []
    assert sockets[wider] is kept
    assert stat.S_IMODE(listener.path.stat().st_mode) == 0o666


def test_closing_removes_only_our_own_file(sockets: Sockets, tmp_path: Path) -> None:
    listener = UnixListener(tmp_path / "sock", 0o600, "x")
    sockets.bind([listener])
    listener.path.unlink()
    listener.path.write_text("somebody else's")
    sockets.close_all_but(())
    assert listener.path.read_text() == "somebody else's"


def test_reserved_port_is_ours_alone(sockets: Sockets) -> None:
    reserved = Sockets.reserve("127.0.0.1", 0)
    listener = InetListener("127.0.0.1", reserved.getsockname()[1], "x")
    assert "taken" in lines(sockets, listener)[0]
    sockets.adopt(listener, reserved)
    sockets.bind([listener])
    socket.create_connection(("127.0.0.1", listener.port)).close()


def test_address_that_no_interface_has(sockets: Sockets) -> None:
    listener = InetListener("192.0.2.1", 2525, "x")
    assert lines(sockets, listener) == ("cannot listen on 192.0.2.1:2525: no network interface has that address",)


def test_ipv6_is_shown_in_brackets_and_does_not_take_ipv4(sockets: Sockets) -> None:
    first = Sockets.reserve("::1", 0)
    port = first.getsockname()[1]
    sockets.adopt(InetListener("::1", port, "x"), first)
    assert str(InetListener("::1", port, "x")) == f"[::1]:{port}"
    sockets.bind([InetListener("127.0.0.1", port, "x")])


@pytest.mark.parametrize("below", [False, True], ids=["", "with room for /proc's own descriptor below"])
def test_holder_of_a_port_is_named(below: bool) -> None:
    with Path("/dev/null").open() as lower, socket.socket() as sock:
        if below:
            lower.close()
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        comm = Path("/proc/self/comm").read_text().strip()
        assert port_holder("127.0.0.1", port) == f"process {os.getpid()} ({comm})"
    assert port_holder("127.0.0.1", port) == ""


def test_datagram_listener(sockets: Sockets, tmp_path: Path) -> None:
    control = UnixListener(tmp_path / "qmgr", 0o600, "qmgr", datagram=True)
    sockets.bind([control])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(b"I", str(control.path))
    assert sockets[control].recv(10) == b"I"


def test_reload_does_not_follow_what_took_the_place_of_a_socket(sockets: Sockets, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("secret")
    victim.chmod(0o600)
    listener = UnixListener(tmp_path / "auth", 0o666, "auth")
    sockets.bind([listener])
    listener.path.unlink()
    listener.path.symlink_to(victim)
    sockets.bind([listener])
    assert stat.S_IMODE(victim.stat().st_mode) == 0o600


def test_reload_leaves_another_socket_alone(sockets: Sockets, tmp_path: Path) -> None:
    listener = UnixListener(tmp_path / "auth", 0o666, "auth")
    sockets.bind([listener])
    listener.path.rename(tmp_path / "away")
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(listener.path))
        listener.path.chmod(0o600)
        sockets.bind([listener])
        assert stat.S_IMODE(listener.path.stat().st_mode) == 0o600
        sockets.close_all_but(())
        assert listener.path.exists()


def test_directory_behind_another_users_link_is_refused(sockets: Sockets, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "private").symlink_to(tmp_path / "elsewhere")
    os.lchown(tmp_path / "private", 65534, 65534)
    assert "link of another user" in lines(sockets, UnixListener(tmp_path / "private" / "auth", 0o666, "x"))[0]
    assert list((tmp_path / "elsewhere").iterdir()) == []
