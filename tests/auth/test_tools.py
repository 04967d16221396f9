"""doveconf and doveadm: what they print, and their exit statuses."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auth import doveadm, doveconf

if TYPE_CHECKING:
    from .conftest import Running

Write = Callable[..., Path]
Start = Callable[..., Awaitable["Running"]]
Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture) -> list[str]:
    """What was printed, without the comment lines."""
    return [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")]


def test_only_what_differs(write: Write, capsys: Capture) -> None:
    path = write(
        "mail_plugins = $mail_plugins quota\nauth_failure_delay = 90 s\nssl_min_protocol = TLSv1.2\n"
        "doveadm_password = s3cret\n"
        "service auth {\n client_limit = 0\n unix_listener auth-client {\n  mode = 0660\n }\n}\n"
        "passdb {\n driver = static\n deny = no\n}\nnamespace inbox {\n inbox = yes\n}\nservice imap {\n}\n"
        "protocol imap {\n mail_debug = no\n}\n"
    )
    assert doveconf.main(["-n", "-c", str(path)]) == 0
    assert shown(capsys) == [
        "auth_failure_delay = 90 secs",
        "doveadm_password = # hidden, use -P to show it",
        'mail_plugins = " quota"',
        "namespace inbox {",
        "  inbox = yes",
        "  location = ",
        "  prefix = ",
        "}",
        "passdb {",
        "  driver = static",
        "}",
        "service auth {",
        "  client_limit = 0",
        "  unix_listener auth-client {",
        "    mode = 0660",
        "  }",
        "}",
        "protocol imap {",
        "  mail_debug = no",
        "}",
    ]


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (["mail_debug"], ["mail_debug = yes"]),
        (["-h", "mail_debug", "auth_mechanisms"], ["yes", "plain"]),
        (["-d", "mail_debug"], ["mail_debug = no"]),
        (["service/imap-login/inet_listener/imap/port"], ["service/imap-login/inet_listener/imap/port = 143"]),
        (["plugin/a"], ["plugin/a = b"]),
        (["plugin"], ["plugin {", "  a = b", "}"]),
        (["nosuch"], []),
        (["-f", "protocol=imap", "mail_plugins"], ["mail_plugins = x"]),
        (["-P", "doveadm_password"], ["doveadm_password = s3cret"]),
    ],
)
def test_one_setting(write: Write, capsys: Capture, arguments: list[str], lines: list[str]) -> None:
    path = write(
        "mail_debug = yes\ndoveadm_password = s3cret\nplugin {\n a = b\n}\nprotocol imap {\n mail_plugins = x\n}\n"
    )
    assert doveconf.main(["-c", str(path), *arguments]) == 0
    assert shown(capsys) == lines


def test_all_settings_have_their_defaults(write: Write, capsys: Capture) -> None:
    assert doveconf.main(["-a", "-c", str(write(""))]) == 0
    lines = shown(capsys)
    assert "auth_failure_delay = 2 secs" in lines
    assert "  unix_listener auth-userdb {" in lines
    assert not any(line.startswith("hardmail_") for line in lines)


@pytest.mark.parametrize("text", ["foo = 1\n", "service auth {\n", "ssl = perhaps\n", "protocols = xyz\n"])
def test_a_wrong_configuration(write: Write, capsys: Capture, text: str) -> None:
    assert doveconf.main(["-n", "-c", str(write(text))]) == 89
    assert "doveconf: Fatal: Error in configuration file" in capsys.readouterr().err


def test_pw(capsys: Capture) -> None:
    assert doveadm.main(["pw", "-s", "SHA512-CRYPT", "-p", "pa55-Word"]) == 0
    stored = capsys.readouterr().out.strip()
    assert stored.startswith("{SHA512-CRYPT}$6$")
    assert doveadm.main(["pw", "-t", stored, "-p", "pa55-Word"]) == 0
    assert capsys.readouterr().out == f"{stored} (verified)\n"
    assert doveadm.main(["pw", "-t", stored, "-p", "x"]) == 75
    assert "Password mismatch" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "error"),
    [
        (["pw", "-s", "NOPE", "-p", "x"], 75, "Fatal: Unknown scheme: NOPE"),
        (["pw", "-t", "{NOPE}x", "-p", "x"], 75, "Fatal: reverse decode check failed: Unknown scheme"),
        (["pw", "-t", "x", "-p", "x"], 75, "Fatal: Missing {scheme} prefix from hash"),
        (["pw", "-s", "DIGEST-MD5", "-p", "x"], 75, "Fatal: digest_md5_generate(): username not given"),
        (["pw", "foo"], 64, "Error: Extraneous arguments found: foo"),
        (["nosuch"], 64, "usage: doveadm"),
        (["-f", "nosuch", "user", "a"], 64, "Fatal: Unknown formatter: nosuch"),
    ],
)
def test_doveadm_errors(capsys: Capture, arguments: list[str], status: int, error: str) -> None:
    assert doveadm.main(arguments) == status
    assert capsys.readouterr().err.startswith(error)


async def test_doveadm_on_a_running_service(start: Start, tmp_path: Path, capsys: Capture) -> None:
    running = await start(
        f"mail_location = maildir:~/Maildir\npassdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n"
        f"userdb {{\n driver = passwd-file\n args = {tmp_path}/users\n default_fields = uid=8 gid=8 home=/srv/%u\n}}\n",
        users="alice:{PLAIN}secret::::::\nbob:{PLAIN}x:5:6::/home/bob::userdb_quota_rule=*:storage=5G extra=1\n",
    )
    config = str(running.directory / "dovecot.conf")

    async def run(*arguments: str) -> tuple[int, list[str]]:
        status = await asyncio.to_thread(doveadm.main, ["-c", config, *arguments])
        return status, capsys.readouterr().out.splitlines()

    assert await run("auth", "test", "alice", "secret") == (
        0, ["passdb: alice auth succeeded", "extra fields:", "  user=alice"],
    )  # fmt: skip
    assert await run("auth", "test", "alice", "wrong") == (
        77, ["passdb: alice auth failed", "extra fields:", "  user=alice"],
    )  # fmt: skip
    status, lines = await run("auth", "login", "bob", "x")
    assert status == 0
    assert lines[3:6] == ["  extra=1", "userdb extra fields:", "  bob"]
    assert sorted(lines[6:]) == [
        "  auth_mech=PLAIN",
        "  gid=6",
        "  home=/home/bob",
        "  quota_rule=*:storage=5G",
        "  uid=5",
    ]
    assert await run("auth", "lookup", "bob", "nobody") == (
        67,
        ["passdb: bob", "  user      : bob", "  extra     : 1", "", "passdb lookup: user nobody doesn't exist"],
    )
    assert await run("auth", "cache", "flush") == (0, ["0 cache entries flushed"])
    assert await run("user", "alice") == (
        0, ["field\tvalue", "uid\t8", "gid\t8", "home\t/srv/alice", "mail\tmaildir:~/Maildir"],
    )  # fmt: skip
    assert await run("user", "nobody") == (67, ["field\tvalue", "", "userdb lookup: user nobody doesn't exist"])
    assert await run("user", "-f", "uid", "alice", "bob") == (0, ["8", "", "5"])
    assert await run("user", "b*") == (0, ["bob"])
    assert await run("user", "-e", "%{home} %u", "bob") == (0, ["/home/bob bob"])
    assert (await run("-f", "json", "user", "alice"))[1][0].startswith('[{"field":"uid","value":"8"}')
    assert (await run("auth", "test", "-a", "/nonexistent", "alice", "x"))[0] == 77
    assert (await run("user", "-a", "/nonexistent", "alice"))[0] == 75
