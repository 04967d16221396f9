"""saslpasswd2 and sasldblistusers2: users that can log in, and a file without a clear-text password."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from auth import schemes
from auth.cyrus.sasldb import Sasldb, SasldbError
from auth.cyrus.saslpasswd import list_main, main


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "sasldb"


def set_password(monkeypatch: pytest.MonkeyPatch, password: str, *arguments: str) -> int:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    return main(["-p", *arguments])


def test_create_change_delete(
    monkeypatch: pytest.MonkeyPatch, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ["-f", str(database)]
    assert set_password(monkeypatch, "first-Pw", *file, "-u", "x.test", "alice") == 20
    assert "user not found" in capsys.readouterr().err
    assert set_password(monkeypatch, "first-Pw", *file, "-c", "-u", "x.test", "alice") == 0
    assert set_password(monkeypatch, "other-Pw", *file, "-c", "-n", "bob@y.test") == 0
    assert database.stat().st_mode & 0o777 == 0o600
    assert b"first-Pw" not in database.read_bytes()
    assert list_main(file) == 0
    listed = "alice@x.test: cmusaslsecretSCRAM-SHA-256\nbob@y.test: cmusaslsecretSCRAM-SHA-256\n"
    assert capsys.readouterr().out == listed
    scheme, stored = schemes.split(Sasldb(database).users()["alice@x.test"], "CRYPT")
    assert schemes.verify(scheme, stored, b"first-Pw", "")
    database.chmod(0o640)
    assert set_password(monkeypatch, "second-Pw", *file, "-u", "x.test", "alice") == 0
    assert database.stat().st_mode & 0o777 == 0o640
    scheme, stored = schemes.split(Sasldb(database).users()["alice@x.test"], "CRYPT")
    assert schemes.verify(scheme, stored, b"second-Pw", "")
    assert main([*file, "-d", "-u", "x.test", "alice"]) == 0
    assert main([*file, "-d", "-u", "x.test", "alice"]) == 0
    assert list(Sasldb(database).users()) == ["bob@y.test"]


def test_wrong_use(monkeypatch: pytest.MonkeyPatch, database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["-f", str(database)]
    assert main([]) == 1
    assert main(["-c", "-d", "alice"]) == 1
    assert main(["--help"]) == 0
    assert set_password(monkeypatch, "", *file, "-c", "alice") == 7
    assert set_password(monkeypatch, "x", *file, "-c", "al:ice@x") == 7
    assert set_password(monkeypatch, "x", *file, "-c", "al\nice@x") == 7
    assert list_main(file) == 1
    assert "No such file" in capsys.readouterr().err
    assert set_password(monkeypatch, "x", "-f", "/nonexistent/db", "-c", "alice") == 1


def test_cyrus_sasls_own_file_is_left_alone(database: Path) -> None:
    database.write_bytes(bytes(12) + b"\x61\x15\x06\x00" + bytes(100))
    with pytest.raises(SasldbError, match="passwords in the clear"):
        Sasldb(database).users()


def test_writers_take_turns(database: Path) -> None:
    children = []
    for n in range(4):
        pid = os.fork()
        if pid == 0:
            for m in range(3):
                Sasldb(database).set(f"u{n}-{m}@x", b"pw", create=True)
            os._exit(0)
        children.append(pid)
    assert [os.waitpid(pid, 0)[1] for pid in children] == [0] * 4
    assert len(Sasldb(database).users()) == 12
