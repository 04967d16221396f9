"""smtpd_sasl_type = cyrus: smtpd.conf decides whether saslauthd or sasldb says who may log in."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from auth.cyrus.sasldb import Sasldb
from auth.cyrus.smtpd_conf import BadSaslConfig, CyrusSettings
from tests.auth.cyrus.test_saslauthd import saslauthd

CYRUS = "smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\nsmtpd_sasl_security_options = noanonymous\n"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def logins(start: Any, place: Path, conf: str, *tries: tuple[str, str], more: str = "") -> tuple[str, list[str]]:
    """What EHLO announces, and the reply to each PLAIN log-in."""
    (place / "smtpd.conf").write_text(conf)
    site = await start(f"{CYRUS}cyrus_sasl_config_path = {place}\n{more}")
    announced, replies = "", []
    for user, password in tries:
        client = await site.connect()
        await client.say("S: 220 *")
        await client.send(b"EHLO x\r\n")
        lines = (await client.reply()).split("|")
        announced = next((line[4:] for line in lines if line[4:].startswith("AUTH ")), "")
        await client.send(f"AUTH PLAIN {b64(chr(0) + user + chr(0) + password)}\r\n".encode())
        replies.append((await client.reply())[:3])
    return announced, replies


async def test_saslauthd(start: Any, place: Path) -> None:
    (place / "users").write_text("alice:{PLAIN}secret\n")
    async with saslauthd(place, "-a", "passwd-file", "-O", str(place / "users")) as path:
        conf = f"# as in LPI 322.2\npwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\nsaslauthd_path: {path}\n"
        tries = (("alice", "secret"), ("alice", "wrong"), ("nobody", "secret"))
        assert await logins(start, place, conf, *tries) == ("AUTH PLAIN LOGIN", ["235", "535", "535"])
    assert await logins(start, place, conf, ("alice", "secret")) == ("AUTH PLAIN LOGIN", ["454"])


async def test_sasldb(start: Any, place: Path) -> None:
    Sasldb(place / "db").set("alice@mx.test", b"secret", create=True)
    Sasldb(place / "db").set("alice@x.test", b"other", create=True)
    conf = f"pwcheck_method: auxprop\nsasldb_path: {place}/db\n"
    tries = (("alice", "secret"), ("alice@x.test", "other"), ("alice", "other"))
    found = await logins(start, place, conf, *tries, more="smtpd_sasl_local_domain = mx.test\n")
    assert found == ("AUTH SCRAM-SHA-256 PLAIN LOGIN", ["235", "235", "535"])


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("pwcheck_method: alwaystrue\n", "pwcheck_method: alwaystrue is not supported"),
        ("auxprop_plugin: sql\n", "only sasldb is supported"),
        ("nonsense\n", "line 1: expected name: value"),
    ],
)
def test_what_cannot_be(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "smtpd.conf").write_text(text)
    with pytest.raises(BadSaslConfig, match=error):
        CyrusSettings.load("smtpd", [tmp_path / "none", tmp_path])


def test_defaults(tmp_path: Path) -> None:
    settings = CyrusSettings.load("smtpd", [tmp_path])
    assert (settings.checks, settings.saslauthd_path) == (("auxprop",), "/run/saslauthd/mux")
