"""The tables on the disk: read again when they change, never less strict because they cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from auth.tcpwrap import AccessFiles, Host, Request, files
from auth.tcpwrap.files import FileError

CLIENT = Request("smtpd", Host("192.0.2.1"))


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "LOOK_AGAIN_SECONDS", 0.0)


def test_missing_files_are_empty(tmp_path: Path) -> None:
    assert AccessFiles.open(tmp_path / "hosts.allow", tmp_path / "hosts.deny").decide(CLIENT).granted
    assert AccessFiles.of("", "") is None


def test_changes_are_seen(tmp_path: Path) -> None:
    deny = tmp_path / "hosts.deny"
    access = AccessFiles.open(None, deny)
    assert access.decide(CLIENT).granted
    deny.write_text("ALL: ALL\n")
    assert not access.decide(CLIENT).granted
    deny.unlink()
    assert access.decide(CLIENT).granted


def test_problems_are_told_at_the_start_and_logged_after_a_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    deny = tmp_path / "hosts.deny"
    deny.write_text("ALL\n")
    access = AccessFiles.open(None, deny)
    assert [str(each) for each in access.problems] == [f'{deny}, line 1: missing ":" separator; the line is ignored']
    access.decide(CLIENT)
    assert not caplog.records
    deny.write_text("ALL: ALL")
    access.decide(CLIENT)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [f"{deny}, line 1"]


def test_files_of_patterns_are_read_and_followed(tmp_path: Path) -> None:
    friends = tmp_path / "friends"
    friends.write_text("198.51.100.\n")
    (tmp_path / "hosts.allow").write_text(f"smtpd: {friends}\n")
    (tmp_path / "hosts.deny").write_text("ALL: ALL\n")
    access = AccessFiles.open(tmp_path / "hosts.allow", tmp_path / "hosts.deny")
    assert list(access.named()) == [str(friends)]
    assert not access.decide(CLIENT).granted
    friends.write_text("198.51.100. 192.0.2.1\n")
    assert access.decide(CLIENT).granted


def test_what_cannot_be_read_again_stays_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deny = tmp_path / "hosts.deny"
    deny.write_text("ALL: ALL\n")
    access = AccessFiles.open(None, deny)
    deny.unlink()
    deny.mkdir()
    assert not access.decide(CLIENT).granted
    assert not access.decide(CLIENT).granted
    assert [record.message for record in caplog.records] == [
        f"cannot read {deny} again, its last contents stay in force: Is a directory"
    ]


def test_a_table_that_cannot_be_read_at_the_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="Is a directory"):
        AccessFiles.open(None, tmp_path)
    with (tmp_path / "hosts.deny").open("wb") as large:
        large.truncate(files.FILE_LIMIT + 1)
    with pytest.raises(FileError, match="larger than"):
        AccessFiles.open(None, tmp_path / "hosts.deny")


def test_banners(tmp_path: Path) -> None:
    (tmp_path / "smtpd").write_text("421 %h is not welcome\n")
    (tmp_path / "hosts.deny").write_text(f"ALL: ALL : banners {tmp_path}\n")
    access = AccessFiles.open(None, tmp_path / "hosts.deny")
    decision = access.decide(CLIENT)
    assert access.banner(decision, CLIENT) == b"421 192.0.2.1 is not welcome\r\n"
    assert access.banner(decision, Request("imap", CLIENT.client)) == b""
    assert list(access.banner_directories()) == [str(tmp_path)]


@pytest.mark.parametrize(
    ("clients", "asks"),
    [("192.0.2. EXCEPT [::1]/128 10.0.0.0/8 ALL", False), (".example.com", True), ("LOCAL", True), ("/f", True)],
)
def test_names_are_asked_for_only_where_they_matter(tmp_path: Path, clients: str, asks: bool) -> None:
    (tmp_path / "hosts.deny").write_text(f"ALL: {clients}\n")
    assert AccessFiles.open(None, tmp_path / "hosts.deny").asks_for_names is asks
