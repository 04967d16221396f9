"""Who is logged in: records, the lock that tells the living from the dead, and marks; `doveadm who` and `kick` on them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from auth.doveadm import main
from auth.sessions import RECORD, Sessions, read

PROCESS = """
import os, signal, sys
from pathlib import Path
from auth.sessions import KICK, Sessions
sessions = Sessions(Path(sys.argv[1]), sys.argv[2])
def enter(user, address):
    place = sessions.enter(user, address, lambda: (print("ended", user, flush=True), sessions.leave(place)))
signal.signal(KICK, lambda *_: sessions.end_marked())
for word in sys.argv[3:]:
    enter(*word.split("/"))
print("ready", flush=True)
while sys.stdin.readline():
    pass
"""


@pytest.fixture
def confdir(tmp_path: Path) -> Path:
    (tmp_path / "dovecot.conf").write_text(f"base_dir = {tmp_path}/run\nprotocols =\n")
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture
def processes(confdir: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """Two log-in processes: alice twice and bob over IMAP, alice over POP3."""
    entries = (("imap", "alice/192.0.2.1", "bob/2001:db8::1", "alice/192.0.2.2"), ("pop3", "alice/192.0.2.1"))
    started = []
    for words in entries:
        command = [sys.executable, "-c", PROCESS, str(confdir / "run"), *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2]))
        assert started[-1].stdout is not None
        assert started[-1].stdout.readline() == "ready\n"
    yield started
    for process in started:
        process.communicate()


def doveadm(confdir: Path, *words: str) -> int:
    return main(["-c", str(confdir), *words])


def test_who(confdir: Path, processes: list[subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]) -> None:
    imap, pop3 = (process.pid for process in processes)
    assert doveadm(confdir, "-f", "flow", "who") == 0
    assert capsys.readouterr().out.splitlines() == [
        f"username=alice #=2 proto=imap (pids)=({imap}) (ips)=(192.0.2.1 192.0.2.2)",
        f"username=bob #=1 proto=imap (pids)=({imap}) (ips)=(2001:db8::1)",
        f"username=alice #=1 proto=pop3 (pids)=({pop3}) (ips)=(192.0.2.1)",
    ]
    doveadm(confdir, "-f", "tab", "who", "-1", "A*", "192.0.2.0/31")
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"alice\timap\t{imap}\t192.0.2.1",
        f"alice\tpop3\t{pop3}\t192.0.2.1",
    ]
    doveadm(confdir, "-f", "json", "who", "bob")
    assert capsys.readouterr().out.startswith('[{"username":"bob","connections":"1","service":"imap","pids":')


def test_kick(confdir: Path, processes: list[subprocess.Popen[str]], capsys: pytest.CaptureFixture[str]) -> None:
    assert doveadm(confdir, "kick", "alice", "192.0.2.2") == 0
    assert capsys.readouterr().out == "alice kicked connections from the following users:\n\n"
    assert processes[0].stdout is not None
    assert processes[0].stdout.readline() == "ended alice\n"
    left = [(session.user, session.address, session.protocol) for session in read(confdir / "run")]
    assert sorted(left) == [
        ("alice", "192.0.2.1", "imap"),
        ("alice", "192.0.2.1", "pop3"),
        ("bob", "2001:db8::1", "imap"),
    ]
    assert doveadm(confdir, "kick", "nobody") == 68
    assert doveadm(confdir, "kick") == 64
    assert doveadm(confdir, "kick", "a", "b") == 64


def test_the_dead_are_not_logged_in(confdir: Path, processes: list[subprocess.Popen[str]]) -> None:
    processes[0].kill()
    processes[0].wait()
    assert [session.protocol for session in read(confdir / "run")] == ["pop3"]
    sessions = Sessions(confdir / "run", "imap")  # sweeps
    assert len(list((confdir / "run").iterdir())) == 2
    sessions.close()


def test_a_record_cannot_have_another_process_signalled(confdir: Path, processes: list[subprocess.Popen[str]]) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    file = next((confdir / "run").glob("hardmail-who.pop3.*"))
    record = f"+pop3\t{bystander.pid}\tmallory\t{bystander.pid}".encode()
    file.write_bytes(record.ljust(RECORD, b"\0"))
    assert {session.pid for session in read(confdir / "run")} == {process.pid for process in processes}
    bystander.communicate(b"\n")
    assert bystander.returncode == 0


def test_places_are_used_again_and_long_names_are_cut(tmp_path: Path) -> None:
    sessions = Sessions(tmp_path, "imap")
    ended = []
    first = sessions.enter("a" * 5000, "192.0.2.1", lambda: ended.append(1))
    second = sessions.enter("b", "192.0.2.1", lambda: ended.append(2))
    sessions.leave(first)
    assert sessions.enter("c", "192.0.2.1", lambda: ended.append(3)) == first
    assert second != first
    os.pwrite(sessions._file, b"-", second * RECORD)
    sessions.end_marked()
    assert ended == [2]
    sessions.close()
