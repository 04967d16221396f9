"""proxymap in the plan: who may read the files behind `proxy:` tables, and which sockets there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab import plan
from lab.supervisor.listeners import UnixListener
from lab.supervisor.service import Service

MASTER = """\
127.0.0.1:0 inet  n  -  n  -    -  smtpd
qmgr        unix  n  -  n  300  1  qmgr
"""
PROXYMAP = "proxymap unix - - n - - proxymap\nproxywrite unix - - n - 1 proxymap\n"


@pytest.fixture
def stand(tmp_path: Path) -> Path:
    (tmp_path / "conf").mkdir()
    for name in ("relay", "uids", "direct", "table.db"):
        (tmp_path / name).write_text("x y\n")
    (tmp_path / "relay.lmdb").write_text("")
    (tmp_path / "sql.cf").write_text(f"dbpath = {tmp_path}/table.db\nquery = SELECT '%s'\n")
    (tmp_path / "conf" / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\n"
        f"relay_domains = proxy:lmdb:{tmp_path}/relay\nvirtual_uid_maps = proxy:texthash:{tmp_path}/uids\n"
        f"transport_maps = texthash:{tmp_path}/direct, proxy:pgsql:{tmp_path}/pg.cf\n"
        f"canonical_maps = proxy:sqlite:{tmp_path}/sql.cf\n"
    )
    return tmp_path


def services(stand: Path, master: str) -> dict[str, Service]:
    (stand / "conf" / "master.cf").write_text(master)
    return {service.name: service for service in plan.load(stand / "conf").services}


def readable(service: Service, stand: Path) -> set[str]:
    return {path.name for path in service.rules.read if path.parent == stand and path.is_file()}


def test_only_proxymap_reads_the_files_behind_proxy(stand: Path) -> None:
    found = services(stand, MASTER + PROXYMAP)
    for name in ("smtpd", "qmgr"):
        assert readable(found[name], stand) == {"direct", "uids"}
    assert readable(found["proxymap"], stand) == {"direct", "uids", "relay", "relay.lmdb", "sql.cf", "table.db"}
    # Only proxymap talks to the database server, too.
    assert found["proxymap"].rules.connect is True
    assert found["smtpd"].rules.connect is not True


def test_its_sockets(stand: Path) -> None:
    listeners = services(stand, MASTER + PROXYMAP)["proxymap"].listeners
    assert [
        (listener.tag, str(listener), listener.mode) for listener in listeners if isinstance(listener, UnixListener)
    ] == [
        ("proxymap", f"{stand}/queue/private/proxymap", 0o600),
        ("proxywrite", f"{stand}/queue/private/proxywrite", 0o600),
    ]


def test_without_it_the_services_read_the_files_themselves(stand: Path) -> None:
    found = services(stand, MASTER)
    assert "proxymap" not in found
    assert readable(found["smtpd"], stand) >= {"direct", "uids", "relay", "relay.lmdb", "sql.cf", "table.db"}
    assert found["smtpd"].rules.connect is True


def test_without_a_proxied_table_it_is_not_started(stand: Path) -> None:
    main = stand / "conf" / "main.cf"
    main.write_text("\n".join(line for line in main.read_text().splitlines() if "proxy:" not in line))
    with main.open("a") as file:
        file.write("\nlocal_recipient_maps =\n")  # its default is proxy:unix:passwd.byname
    assert "proxymap" not in services(stand, MASTER + PROXYMAP)
