"""hosts.allow and hosts.deny in front of smtpd: who is turned away hears nothing, and the log has one line of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from mta.config import ConfigErrors

TABLES = "hardmail_hosts_allow = CONFDIR/hosts.allow\nhardmail_hosts_deny = CONFDIR/hosts.deny\n"
NAMES = """
1.0.0.127.in-addr.arpa PTR mail.example.com
mail.example.com A 127.0.0.1
2.0.0.127.in-addr.arpa PTR mail.example.com
"""


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "postfix.smtpd"]


async def test_a_denied_client_hears_nothing(start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = await start(TABLES, **{"hosts.allow": "smtpd: 127.0.0.1\n", "hosts.deny": "ALL: ALL\n"})
    client = await site.connect("127.0.0.2")
    assert await client.closed()
    assert lines(caplog) == ["refused connect from unknown[127.0.0.2]"]
    await site.say("C: QUIT\nS: 221 *", source="127.0.0.1")


async def test_names_are_those_of_the_dns(start, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    site = await start(TABLES, dns=NAMES, **{"hosts.allow": "smtpd: .example.com\n", "hosts.deny": "ALL: ALL\n"})
    await site.say("C: QUIT\nS: 221 *", source="127.0.0.1")
    assert await (await site.connect("127.0.0.2")).closed()


async def test_paranoid_is_a_name_that_does_not_lead_back(start) -> None:
    site = await start(TABLES, dns=NAMES, **{"hosts.allow": "", "hosts.deny": "ALL: PARANOID\n"})
    await site.say("C: QUIT\nS: 221 *", source="127.0.0.1")
    await site.say("C: QUIT\nS: 221 *", source="127.0.0.3")
    assert await (await site.connect("127.0.0.2")).closed()


async def test_no_files_admit_everybody(start) -> None:
    site = await start("hardmail_hosts_deny = CONFDIR/nosuch")
    await site.say("C: QUIT\nS: 221 *")
    assert (await start()).server.wrapper.files is None


async def test_other_daemons_are_no_concern_of_ours(start) -> None:
    site = await start(TABLES, **{"hosts.allow": "", "hosts.deny": "imap: ALL\n"})
    await site.say("C: QUIT\nS: 221 *")


async def test_severity_and_banner(start, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / "smtpd").write_text("421 4.7.0 not for %a\n")
    deny = f"smtpd: 127.0.0.2: severity mail.warning : banners {tmp_path}\n"
    site = await start(TABLES, **{"hosts.allow": "", "hosts.deny": deny})
    client = await site.connect("127.0.0.2")
    assert await client.reply() == "421 4.7.0 not for 127.0.0.2"
    assert await client.closed()
    assert caplog.records[-1].levelno == logging.WARNING


async def test_a_table_that_cannot_be_read_is_a_configuration_error(start) -> None:
    with pytest.raises(ConfigErrors, match=r"main\.cf, line \d+: .*Is a directory"):
        await start("hardmail_hosts_deny = CONFDIR")
