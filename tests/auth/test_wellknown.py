"""default-passwords: empty, shipped and well-known passwords are found in every form, and never told."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from auth import schemes
from auth.dovecotconf import DovecotConfig
from auth.settings import AuthSettings
from auth.wellknown import REPORTED_MAX, stale, weaknesses

Write = Callable[..., Path]


def settings(write: Write, blocks: str, **files: str) -> AuthSettings:
    return AuthSettings.of(DovecotConfig.load(write(blocks, **files)))


def found(write: Write, users: str, extra: str = "", seconds: float = 10) -> list[str]:
    path = write("", users="").parent / "users"
    blocks = f"passdb {{\n driver = passwd-file\n args = {path}\n{extra}}}\n"
    return [
        str(weakness).removeprefix(f"{path}: ")
        for weakness in weaknesses(settings(write, blocks, users=users), seconds)
    ]


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("alice:{PLAIN}", "an empty password"),
        ("alice:{PLAIN}alice", "its own name for a password"),
        ("alice@x.test:{PLAIN}Alice", "its own name for a password"),
        ("alice:{PLAIN}ecila", "its own name for a password"),
        ("alice:{PLAIN}password", "a well-known password"),
        ("alice:{PLAIN}Changeme", "a well-known password"),
        (f"alice:{{SSHA256}}{schemes.generate('SSHA256', b'letmein')}", "a well-known password"),
        (f"alice:{schemes.generate('SHA512-CRYPT', b'123456', rounds=1000)}", "a well-known password"),
        (f"alice:{{SCRAM-SHA-256}}{schemes.generate('SCRAM-SHA-256', b'admin')}", "a well-known password"),
        (f"alice:{{CRAM-MD5}}{schemes.generate('CRAM-MD5', b'geheim')}", "a well-known password"),
        ("alice:::::::nopassword", "no password"),
        ("alice:{PLAIN}k3Jx-92mQ-vv", ""),
        ("alice:{PLAIN}password::::::allow_nets=10.0.0.0/8", ""),
        ("alice:", ""),  # a CRYPT hash that nothing fits
        ("alice:{NOSUCH}password", ""),
    ],
    ids=[f"line{n}" for n in range(15)],  # some have a random salt
)
def test_what_is_found(write: Write, line: str, kind: str) -> None:
    name = line.partition(":")[0]
    assert found(write, line + "\n") == ([f"user {name} has {kind}"] if kind else [])


def test_slow_hashes_get_a_share_of_the_time(write: Write) -> None:
    slow = schemes.generate("SHA512-CRYPT", b"not-to-be-guessed", rounds=200_000)
    began = time.monotonic()
    assert found(write, "".join(f"u{n}:{slow}\n" for n in range(50)) + "bob:{PLAIN}test\n", seconds=0.3) == [
        "user bob has a well-known password"
    ]
    assert time.monotonic() - began < 5


def test_many_are_cut_short(write: Write) -> None:
    assert len(found(write, "".join(f"u{n}:{{PLAIN}}test\n" for n in range(50)))) == REPORTED_MAX


@pytest.mark.parametrize(
    ("args", "count"),
    [
        ("password=test", 1),
        ("nopassword=y", 1),
        ("nopassword=y allow_nets=10.0.0.0/8", 0),
        ("proxy=y host=10.0.0.1 nopassword=y", 0),
        ("password=%n", 0),
        ("password=fW8-kk31-Qr", 0),
    ],
)
def test_static(write: Write, args: str, count: int) -> None:
    blocks = f"passdb {{\n driver = static\n args = {args}\n}}\n"
    assert len(list(weaknesses(settings(write, blocks), 1))) == count


def test_passdbs_that_ask_for_no_password(write: Write) -> None:
    assert found(write, "alice:{PLAIN}test\n", " deny = yes\n") == []
    assert found(write, "alice:::::::nopassword\n", " mechanisms = external\n") == []


def test_age(write: Write, tmp_path: Path) -> None:
    blocks = f"passdb {{\n driver = passwd-file\n args = {tmp_path}/users\n}}\n"
    now, day = time.time(), 86400.0
    old = settings(write, blocks, users="alice:{PLAIN}x\n")
    assert list(stale(old, 30 * day, now)) == []
    os.utime(tmp_path / "users", (now - 40 * day, now - 40 * day))
    assert list(stale(old, 30 * day, now)) == [f"{tmp_path}/users: no password has changed for 40 days"]
    dated = "".join(
        f"{name}:{{PLAIN}}x::::::userdb_password_changed={date}\n"
        for name, date in (("alice", "2020-01-01"), ("bob", time.strftime("%Y-%m-%d")), ("carol", "soon"))
    )
    lines = list(stale(settings(write, blocks, users=dated), 30 * day, now))
    assert lines[0].startswith(f"{tmp_path}/users: user alice: the password has not changed for ")
    assert lines[1:] == [f"{tmp_path}/users: user carol: userdb_password_changed=soon is no date"]
