"""What supervisors tell about themselves: only the living count, and only where their number means anything."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import AlreadyRunning, LabError, NotRunning
from lab.supervisor import state
from lab.supervisor.instance import InstanceLock
from lab.supervisor.state import State


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime directory of the test's own."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "runtime"))
    return tmp_path / "runtime" / "hardmail"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands for a supervisor."""
    process = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    assert process.stdout
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def state_of(pid: int, **changes: object) -> State:
    """A state of that process, as its supervisor would write it."""
    made = State(pid, state.birth(pid), "up", time.time(), state.namespace(), ["/conf"], "/lab")
    return replace(made, **changes)  # type: ignore[arg-type]


def test_files_are_private(runtime: Path) -> None:
    mine = state_of(os.getpid())
    mine.write()
    assert stat.S_IMODE(runtime.stat().st_mode) == 0o700
    assert stat.S_IMODE(mine.path.stat().st_mode) == 0o600
    assert state.running() == [mine]
    mine.remove()
    assert not runtime.exists()


def test_directory_of_somebody_else_is_refused(runtime: Path) -> None:
    runtime.mkdir(parents=True, mode=0o755)
    runtime.chmod(0o755)
    with pytest.raises(LabError, match="must be a directory of yours with mode 0700"):
        state.running()


def test_dead_are_forgotten_and_a_number_used_again_is_not_taken_for_them(runtime: Path) -> None:
    state_of(os.getpid(), born=1).write()
    assert state.running() == []
    assert not runtime.exists()


def test_other_pid_namespaces_are_neither_shown_nor_forgotten(runtime: Path) -> None:
    other = state_of(os.getpid(), born=1, namespace="pid:[1]")
    other.write()
    assert state.running() == []
    assert other.path.exists()


def test_the_same_number_in_two_containers_is_two_supervisors(runtime: Path) -> None:
    one, two = state_of(7, namespace="pid:[1]"), state_of(7, namespace="pid:[2]")
    one.write()
    two.write()
    one.remove()
    assert not one.path.exists()
    assert two.path.exists()


def test_damaged_file_is_passed_over(runtime: Path) -> None:
    mine = state_of(os.getpid())
    mine.write()
    (runtime / "1.json").write_text("{")
    (runtime / "2.json").write_text(json.dumps({"pid": 2}))
    assert state.running() == [mine]


def test_find_by_directory_and_configuration(sleeper: subprocess.Popen[bytes]) -> None:
    lab = state_of(os.getpid())
    served = state_of(sleeper.pid, directory="", confdirs=["/etc/mail"], started=lab.started + 1)
    lab.write()
    served.write()
    assert state.find() == lab  # the youngest lab; what is in service must be named
    assert state.find(directory=Path("/lab")) == lab
    assert state.find(confdir=Path("/etc/mail")) == served
    with pytest.raises(NotRunning, match="nothing runs for /elsewhere"):
        state.find(directory=Path("/elsewhere"))


def test_stop_waits_for_the_end(sleeper: subprocess.Popen[bytes]) -> None:
    state.stop(state_of(sleeper.pid))
    assert sleeper.wait() == -signal.SIGTERM


def test_stop_kills_what_does_not_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state, "STOP_SECONDS", 0.2)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1) as deaf:
        assert deaf.stdout
        deaf.stdout.readline()
        state.stop(state_of(deaf.pid))
        assert deaf.wait() == -signal.SIGKILL


def test_signal_never_reaches_a_process_that_took_the_number(sleeper: subprocess.Popen[bytes]) -> None:
    state.tell(state_of(sleeper.pid, born=1), signal.SIGKILL)
    assert sleeper.poll() is None


def test_lock_tells_its_holder_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "master.pid"
    first, second = InstanceLock(path), InstanceLock(path)
    first.acquire()
    assert not first.stale
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()} holds"):
        second.acquire()
    first.forget()  # as the kernel does when the process dies: the file stays
    second.acquire()
    assert second.stale
    second.release()
    assert not path.exists()


def test_lock_is_not_taken_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "master.pid").symlink_to(tmp_path / "precious")
    with pytest.raises(LabError, match="cannot open"):
        InstanceLock(tmp_path / "master.pid").acquire()
    assert (tmp_path / "precious").read_text() == "data"
