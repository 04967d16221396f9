"""hosts.allow and hosts.deny in front of IMAP and POP3."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from auth.dovecotconf import DovecotConfig
from auth.tcpwrap import PARANOID, UNKNOWN, AccessFiles
from auth.tcpwrap.dovecot import names
from imap import admission
from imap.admission import Admission, client_name


def config(tmp_path: Path, text: str) -> DovecotConfig:
    path = tmp_path / "dovecot.conf"
    path.write_text(text)
    return DovecotConfig.load(path)


@pytest.mark.parametrize(
    ("text", "files"),
    [
        ("", ("", "")),
        ("login_access_sockets = tcpwrap\n", ("/etc/hosts.allow", "/etc/hosts.deny")),
        ("login_access_sockets = tcpwrap\nhardmail_hosts_deny = /d\n", ("/etc/hosts.allow", "/d")),
        ("hardmail_hosts_allow = /a\nhardmail_hosts_deny = /d\n", ("/a", "/d")),
        (
            "login_access_sockets = tcpwrap\n"
            "service tcpwrap {\n  unix_listener login/tcpwrap {\n    mode = 0600\n    user = root\n  }\n}\n",
            ("/etc/hosts.allow", "/etc/hosts.deny"),
        ),
    ],
)
def test_who_names_the_files(tmp_path: Path, text: str, files: tuple[str, str]) -> None:
    assert names(config(tmp_path, text)) == files


def gate(tmp_path: Path, deny: str, daemon: str = "imap") -> Admission:
    (tmp_path / "hosts.deny").write_text(deny)
    return Admission(AccessFiles.open(None, tmp_path / "hosts.deny"), daemon)


async def test_a_refusal_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    closed = gate(tmp_path, "imap: 192.0.2.0/24\n")
    assert await closed.admit("192.0.2.1", "192.0.2.25") == (False, b"")
    assert await closed.admit("198.51.100.1", "192.0.2.25") == (True, b"")
    assert await gate(tmp_path, "imap: 192.0.2.0/24\n", "pop3").admit("192.0.2.1", "") == (True, b"")
    assert [(record.name, record.getMessage()) for record in caplog.records] == [
        ("dovecot.imap-login", "refused connect from unknown[192.0.2.1]")
    ]


async def test_names_are_looked_up_only_for_rules_that_have_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def name(address: str) -> str:
        asked.append(address)
        return "mx.example.com"

    monkeypatch.setattr(admission, "client_name", name)
    assert (await gate(tmp_path, "ALL: 198.51.100.\n").admit("192.0.2.1", ""))[0]
    assert not asked
    assert not (await gate(tmp_path, "ALL: .example.com\n").admit("192.0.2.1", ""))[0]
    assert asked == ["192.0.2.1"]


async def test_the_name_of_this_machine() -> None:
    # Whatever /etc/hosts calls it, the name leads back; no name server is asked for an address that is not one.
    assert await client_name("127.0.0.1") not in (UNKNOWN, PARANOID)
    assert await client_name("not an address") == UNKNOWN
