"""What the kernel jail needs to know of the auth service: the files it reads, and names read before it shuts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auth import service
from auth.dovecotconf import DovecotConfig
from auth.identities import Identities

Write = Callable[..., Path]


def test_files_of_databases(write: Write) -> None:
    blocks = "".join(
        f"passdb {{\n driver = passwd-file\n args = {args}\n}}\n"
        for args in ("/etc/mail/users", "scheme=PLAIN /srv/%d/passwd", "/srv/domains/a-%d.users")
    )
    config = DovecotConfig.load(write(blocks + "userdb {\n driver = static\n args = uid=1\n}\n"))
    assert service.files(config).read == [Path("/etc/mail/users"), Path("/srv"), Path("/srv/domains")]
    assert service.check(config) == []


def test_files_that_are_written(write: Write, tmp_path: Path) -> None:
    (tmp_path / "sql.conf").write_text(f"driver = sqlite\nconnect = {tmp_path}/users.db\n")
    block = f"passdb {{\n driver = sql\n args = {tmp_path}/sql.conf\n}}\n"
    assert service.files(DovecotConfig.load(write(block))) == ([tmp_path / "users.db"], [])
    config = DovecotConfig.load(write(block + "auth_mechanisms = plain otp\n"))
    assert service.files(config).written == [tmp_path / "users.db"]


def test_what_cannot_start_is_told_in_a_line(write: Write) -> None:
    config = DovecotConfig.load(write("passdb {\n driver = nosuch\n}\n"))
    (line,) = service.check(config)
    assert line.startswith("Unknown passdb driver 'nosuch' (known: checkpassword, ")


def test_names_survive_the_loss_of_the_user_database(monkeypatch: pytest.MonkeyPatch) -> None:
    identities = Identities()
    identities.load()

    def gone(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("pwd.getpwnam", gone)
    monkeypatch.setattr("grp.getgrnam", gone)
    assert identities.find("uid", "daemon") == 1
    assert identities.find("gid", "daemon") == 1
    assert identities.find("uid", "77") == 77
    assert identities.find("uid", "nosuchuserhere") is None
    assert identities.find("uid", "4294967295") is None
