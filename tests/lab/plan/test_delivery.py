"""What delivers on this host: when it starts, as whom, and what the kernel lets it touch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lab import plan
from lab.plan import delivery
from lab.supervisor.service import Service

MASTER = """\
127.0.0.1:2525 inet n - n - 1 smtpd
qmgr unix n - n 300 1 qmgr
proxymap unix - - n - - proxymap
local unix - n n - - local
virtual unix - n n - - virtual
one unix - n n - - pipe user=nobody argv=/bin/cat
two unix - n n - - pipe user=nobody argv=/bin/cat
"""


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Service]:
    home, foreign = tmp_path / "homes/joe", tmp_path / "homes/foreign"
    for path in (home, foreign, tmp_path / "mail", tmp_path / "virtual", tmp_path / "lists"):
        path.mkdir(parents=True)
    me = home.stat().st_uid or 1
    owned = SimpleNamespace(pw_dir=str(home), pw_uid=home.stat().st_uid)
    others = [SimpleNamespace(pw_dir=name, pw_uid=me + 1) for name in ("/", "/usr/sbin", str(foreign), "/no/such\0")]
    monkeypatch.setattr(delivery.pwd, "getpwall", lambda: [owned, *others])
    monkeypatch.setattr(delivery, "HOMES", str(tmp_path / "nowhere"))
    conf = tmp_path / "conf"
    conf.mkdir()
    (conf / "main.cf").write_text(
        f"queue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\nmail_spool_directory = {tmp_path}/mail\n"
        f"virtual_mailbox_base = {tmp_path}/virtual\nhardmail_delivery_directories = {tmp_path}/lists, /\n"
    )
    (conf / "master.cf").write_text(MASTER)
    return {service.name: service for service in plan.load(conf).services}


def test_one_process_for_each_program_when_there_is_mail_for_it(services: dict[str, Service], tmp_path: Path) -> None:
    for name, lines in (("local", ["local"]), ("virtual", ["virtual"]), ("pipe", ["one", "two"])):
        service = services[name]
        assert service.on_demand
        assert service.identity is None  # a child becomes the recipient
        assert [str(listener) for listener in service.listeners] == [
            f"{tmp_path}/queue/private/{line}" for line in lines
        ]
        assert {listener.mode for listener in service.listeners} == {0o600}


def test_virtual_writes_mailboxes_and_runs_nothing(services: dict[str, Service], tmp_path: Path) -> None:
    rules = services["virtual"].rules
    assert (rules.write, rules.execute, rules.connect) == ((tmp_path / "virtual",), (), False)


def test_local_writes_homes_and_spool_but_neither_queue_nor_system(
    services: dict[str, Service], tmp_path: Path
) -> None:
    write = services["local"].rules.write
    assert {tmp_path / "mail", tmp_path / "lists"} <= set(write)
    assert tmp_path / "homes/foreign" not in write
    assert not {Path("/"), Path("/usr/sbin"), Path("/root"), tmp_path / "queue"} & set(write)
    assert tmp_path / "mail" not in services["pipe"].rules.write


def test_secrets_of_etc_are_out_of_reach(services: dict[str, Service]) -> None:
    read = {str(path) for path in services["local"].rules.read}
    assert "/etc/passwd" in read
    assert not {"/etc", "/etc/shadow", "/etc/gshadow"} & read


def test_who_sees_users_come_and_go(services: dict[str, Service], tmp_path: Path) -> None:
    """useradd(8) replaces /etc/passwd: proxymap, which is not root, may read what everybody may; smtpd asks it."""
    proxymap = services["proxymap"]
    assert proxymap.on_demand
    assert Path("/etc") in proxymap.rules.read
    assert not any(Path("/etc") in services[name].rules.read for name in services if name != "proxymap")
    assert Path("/etc/passwd") in services["smtpd"].rules.read
    with (tmp_path / "conf/main.cf").open("a") as file:
        file.write("mydestination =\n")
    found = {service.name: service for service in plan.load(tmp_path / "conf").services}
    assert "proxymap" not in found
    assert Path("/etc/passwd") not in found["smtpd"].rules.read


def test_only_what_everybody_may_read(tmp_path: Path) -> None:
    for name, mode in (("open", 0o644), ("closed", 0o640)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    assert delivery.readable_by_all(tmp_path) == (tmp_path / "open",)
    assert delivery.readable_by_all(tmp_path / "none") == ()
