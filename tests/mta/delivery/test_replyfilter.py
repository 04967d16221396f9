"""smtp_reply_filter: lines of a server are replaced before anything is made of them."""

from __future__ import annotations

import logging

import pytest

from mta.delivery.smtp.tlssettings import TlsDefaults
from mta.tables import TableError

from .conftest import Table


def fate(results) -> tuple[str, str, str]:
    [result] = results
    return str(result.status), result.dsn.status, result.dsn.reason


async def test_replaced_line_by_line(peer, agent, request_to, caplog) -> None:
    caplog.set_level(logging.INFO)
    server = await peer(
        greeting="garbage\r\n220 peer.example",
        replies={"RCPT": "550-5.7.1 no\r\n550 5.1.1 none of ours", "MAIL": "450 4.4.4 wait"},
    )
    table = Table({"garbage": "220-filler for garbage", "450 4.4.4 wait": "250 2.1.0 Ok"})
    results = await agent(reply_filter=table).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    label = f"127.0.0.1[127.0.0.1]:{server.port}"
    assert f'{label}: replacing server reply "garbage" with "220-filler for garbage"' in caplog.text
    status, code, reason = fate(results)
    assert (status, code) == ("bounced", "5.1.1")  # of the last line
    assert "said: 550-5.7.1 no 550 5.1.1 none of ours (in reply to RCPT TO command)" in reason


async def test_without_a_filter_garbage_is_no_reply(peer, agent, request_to) -> None:
    server = await peer(greeting="garbage\r\n220 peer.example")
    assert fate(await agent().deliver(request_to(f"[127.0.0.1]:{server.port}")))[:2] == ("deferred", "4.5.0")


async def test_a_last_word_counts_although_the_server_hangs_up_with_it(peer, agent, request_to) -> None:
    server = await peer(hang_up_at="EHLO", replies={})
    results = await agent(reply_filter=Table({})).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[:2] == ("deferred", "4.4.2")
    server = await peer(greeting="554 5.3.2 closed")
    results = await agent(reply_filter=Table({}), skip_5xx_greeting=False).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[:2] == ("bounced", "5.3.2")


class Broken:
    async def lookup(self, key: str) -> str | None:
        raise TableError("gone")


async def test_a_table_that_cannot_be_asked_defers(peer, agent, request_to) -> None:
    server = await peer()
    results = await agent(reply_filter=Broken()).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert fate(results)[0] == "deferred"
    assert server.contents == []


@pytest.mark.parametrize("inject", [b"", b"250 2.0.0 injected\r\n250-x\r\n"])
async def test_what_is_injected_behind_starttls_is_forgotten(peer, agent, request_to, server_tls, inject) -> None:
    server = await peer(tls=server_tls(), inject=inject)
    results = await agent(tls=TlsDefaults(level="encrypt"), reply_filter=Table({})).deliver(
        request_to(f"[127.0.0.1]:{server.port}")
    )
    assert fate(results)[0] == "sent"
    assert server.encrypted == [True]
