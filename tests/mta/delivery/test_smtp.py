"""smtp(8) against a scripted server: what is said on the wire, and what each recipient's fate is."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from mta.delivery.statusfilter import StatusFilter
from mta.queue.message import Notify, Recipient

from .conftest import Table

TO = "bob@example.net"


async def test_a_mail_crosses_the_wire(peer, agent, request_to, outcome, caplog) -> None:
    caplog.set_level(logging.INFO)
    server = await peer()
    smtp = agent()
    results = await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert outcome(results) == {TO: ("sent", "2.0.0", "250 2.0.0 Ok: queued")}
    assert server.commands[:4] == [
        "EHLO mx.here",
        "MAIL FROM:<alice@example.org> SIZE=54",
        "RCPT TO:<bob@example.net> ORCPT=rfc822;bob@example.net",
        "DATA",
    ]
    assert server.contents == [b"From: alice@example.org\r\nSubject: test\r\n\r\nbody\r\n..dot\r\n"]
    assert f"ABCDEF0: to=<{TO}>, relay=127.0.0.1[127.0.0.1]:{server.port}, delay=" in caplog.text
    assert "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued)" in caplog.text


async def test_without_pipelining_each_reply_is_awaited(peer, agent, request_to, outcome) -> None:
    server = await peer(keywords=("SIZE",), replies={"RCPT TO:<gone": "550 5.1.1 no such user"})
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", "gone@x.example", TO))
    assert outcome(results) == {
        TO: ("sent", "2.0.0", "250 2.0.0 Ok: queued"),
        "gone@x.example": (
            "bounced",
            "5.1.1",
            "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)",
        ),
    }
    assert server.verbs == ["EHLO", "MAIL", "RCPT", "RCPT", "DATA", "QUIT"] or server.verbs[-1] == "DATA"


async def test_a_server_without_ehlo_gets_helo(peer, agent, request_to, outcome) -> None:
    server = await peer(replies={"EHLO": "502 5.5.1 what?"})
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert server.commands[:3] == ["EHLO mx.here", "HELO mx.here", "MAIL FROM:<alice@example.org>"]


@pytest.mark.parametrize(
    ("script", "status", "code", "reason"),
    [
        (
            {"replies": {"MAIL": "452 4.3.1 full"}},
            "deferred",
            "4.3.1",
            "host {h} said: 452 4.3.1 full (in reply to MAIL FROM command)",
        ),
        (
            {"replies": {"RCPT": "550-5.7.1 one\r\n550 5.7.1 two"}},
            "bounced",
            "5.7.1",
            "host {h} said: 550-5.7.1 one 550 5.7.1 two (in reply to RCPT TO command)",
        ),
        (
            {"replies": {"DATA": "451 try later"}},
            "deferred",
            "4.0.0",
            "host {h} said: 451 try later (in reply to DATA command)",
        ),
        (
            {"after_data": ["554 5.6.0 no"]},
            "bounced",
            "5.6.0",
            "host {h} said: 554 5.6.0 no (in reply to end of DATA command)",
        ),
        ({"greeting": "554 5.7.1 go away"}, "deferred", "4.7.1", "host {h} refused to talk to me: 554 5.7.1 go away"),
        ({"greeting": "421 busy"}, "deferred", "4.0.0", "host {h} refused to talk to me: 421 busy"),
        (
            {"greeting": None},
            "deferred",
            "4.4.2",
            "lost connection with {h} while receiving the initial server greeting",
        ),
        ({"hang_up_at": "EHLO"}, "deferred", "4.4.2", "lost connection with {h} while performing the EHLO handshake"),
        ({"hang_up_at": "RCPT"}, "deferred", "4.4.2", "lost connection with {h} while sending RCPT TO"),
    ],
)
async def test_failures_in_postfix_words(peer, agent, request_to, outcome, script, status, code, reason) -> None:
    server = await peer(**script)
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert outcome(results) == {TO: (status, code, reason.format(h="127.0.0.1[127.0.0.1]"))}


async def test_nobody_listens(agent, request_to, outcome, unused_tcp_port) -> None:
    results = await agent().deliver(request_to(f"[127.0.0.1]:{unused_tcp_port}"))
    reason = f"connect to 127.0.0.1[127.0.0.1]:{unused_tcp_port}: Connection refused"
    assert outcome(results) == {TO: ("deferred", "4.4.1", reason)}
    assert results[0].site_failure is not None
    assert results[0].relay == "none"


async def test_a_silent_server_times_out(agent, request_to, outcome) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    smtp = agent()
    object.__setattr__(smtp.client.settings.timeouts, "helo", 0.05)
    results = await smtp.deliver(request_to(f"[127.0.0.1]:{port}"))
    [(status, code, reason)] = outcome(results).values()
    assert (status, code) == ("deferred", "4.4.2")
    assert reason.startswith("conversation with 127.0.0.1[127.0.0.1] timed out while receiving")
    server.close()
    await server.wait_closed()


async def test_the_next_mx_is_tried_after_a_temporary_failure(peer, agent, request_to, outcome, names) -> None:
    bad, good = await peer(replies={"RCPT": "450 4.2.1 not now"}), await peer()
    smtp = agent(fallback_relay=f"[127.0.0.1]:{good.port}")
    results = await smtp.deliver(request_to(f"[127.0.0.1]:{bad.port}"))
    assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert (len(bad.contents), len(good.contents)) == (0, 1)


async def test_a_permanent_refusal_is_not_offered_to_the_next_server(peer, agent, request_to, outcome) -> None:
    bad, good = await peer(replies={"RCPT": "550 5.1.1 no"}), await peer()
    smtp = agent(fallback_relay=f"[127.0.0.1]:{good.port}")
    results = await smtp.deliver(request_to(f"[127.0.0.1]:{bad.port}"))
    assert [status for status, _, _ in outcome(results).values()] == ["bounced"]
    assert good.connections == 0


async def test_host_not_found_bounces_but_not_for_the_relayhost(agent, request_to, outcome) -> None:
    reason = "Host or domain name not found. Name service error for name=nowhere.example type=AAAA: Host not found"
    results = await agent().deliver(request_to("[nowhere.example]"))
    assert outcome(results) == {TO: ("bounced", "5.4.4", reason)}
    results = await agent(relayhost="[nowhere.example]").deliver(request_to("[nowhere.example]"))
    assert outcome(results) == {TO: ("deferred", "4.3.5", reason)}


async def test_a_bad_next_hop_keeps_the_mail(agent, request_to, outcome) -> None:
    results = await agent().deliver(request_to("[127.0.0.1:25"))
    assert [status for status, _, _ in outcome(results).values()] == ["deferred"]


async def test_soft_bounce_keeps_what_would_bounce(peer, agent, request_to, outcome) -> None:
    server = await peer(replies={"RCPT": "550 5.1.1 no"})
    results = await agent(soft_bounce=True).deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert [(status, code) for status, code, _ in outcome(results).values()] == [("deferred", "4.1.1")]


async def test_the_connection_is_kept_for_more(peer, agent, request_to, caplog) -> None:
    caplog.set_level(logging.INFO)
    server = await peer()
    smtp = agent()
    for _ in range(3):
        await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", more=True))
    assert server.connections == 1
    assert len(server.contents) == 3
    assert "conn_use=3" in caplog.text


async def test_a_kept_connection_is_reset_after_a_refusal(peer, agent, request_to, outcome) -> None:
    server = await peer(replies={"RCPT TO:<gone": "550 5.1.1 no"})
    smtp = agent()
    await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", "gone@x", more=True))
    results = await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", more=True))
    assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert server.connections == 1
    assert "RSET" in server.verbs


async def test_a_kept_connection_that_the_server_closed_is_not_used(peer, agent, request_to, outcome) -> None:
    server = await peer()
    smtp = agent()
    await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", more=True))
    await server.end()
    results = await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert server.connections == 2


async def test_no_connection_is_kept_without_need(peer, agent, request_to) -> None:
    server = await peer()
    smtp = agent()
    await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}"))
    await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert server.connections == 2


async def test_dsn_parameters(peer, agent, request_to) -> None:
    server = await peer()
    to = Recipient(TO, "root@here", "rfc822;r+t@here", Notify.SUCCESS | Notify.FAILURE)
    results = await agent().deliver(
        request_to(f"[127.0.0.1]:{server.port}", to, ret="HDRS", envid="a b=c", body="8BITMIME")
    )
    assert server.commands[1:3] == [
        "MAIL FROM:<alice@example.org> SIZE=54 BODY=8BITMIME ENVID=a+20b+3Dc RET=HDRS",
        "RCPT TO:<bob@example.net> ORCPT=rfc822;r+2Bt@here NOTIFY=SUCCESS,FAILURE",
    ]
    assert results[0].dsn.delegated


async def test_without_dsn_nothing_of_it_is_sent_and_success_is_ours_to_tell(peer, agent, request_to) -> None:
    server = await peer(keywords=("PIPELINING",))
    to = Recipient(TO, notify=Notify.SUCCESS)
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", to, ret="HDRS", body="8BITMIME"))
    assert server.commands[1:3] == ["MAIL FROM:<alice@example.org>", "RCPT TO:<bob@example.net>"]
    assert not results[0].dsn.delegated
    assert results[0].action == "relayed"


async def test_smtputf8_needs_a_server_that_knows_it(peer, agent, request_to, outcome) -> None:
    server = await peer()
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", "jösé@example.net", smtputf8=True))
    [(status, code, reason)] = outcome(results).values()
    assert (status, code) == ("bounced", "5.6.7")
    assert reason == "SMTPUTF8 is required, but was not offered by host 127.0.0.1[127.0.0.1]"
    able = await peer(keywords=("SMTPUTF8", "8BITMIME", "PIPELINING"))
    results = await agent().deliver(request_to(f"[127.0.0.1]:{able.port}", "jösé@example.net", smtputf8=True))
    assert able.commands[1:3] == ["MAIL FROM:<alice@example.org> SMTPUTF8", "RCPT TO:<jösé@example.net>"]


async def test_what_the_server_calls_too_large_is_not_sent(peer, agent, request_to, outcome) -> None:
    server = await peer(keywords=("PIPELINING", "SIZE 50"))
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}"))
    reason = "message size 54 exceeds size limit 50 of server 127.0.0.1[127.0.0.1]"
    assert outcome(results) == {TO: ("bounced", "5.3.4", reason)}
    assert "MAIL" not in server.verbs


async def test_null_sender_and_quoted_local_parts(peer, agent, request_to) -> None:
    server = await peer(keywords=())
    await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", "two words@example.net", sender=""))
    assert server.commands[1:3] == ["MAIL FROM:<>", 'RCPT TO:<"two words"@example.net>']


async def test_a_line_end_in_an_address_never_reaches_the_wire(peer, agent, request_to, outcome) -> None:
    server = await peer()
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", "a\r\nRCPT TO:<evil@x>\r\n@b"))
    assert [status for status, _, _ in outcome(results).values()] == ["bounced"]
    assert not [command for command in server.commands if command.startswith(("RCPT", "MAIL"))]


async def test_a_big_message_arrives_whole(peer, agent, request_to) -> None:
    server = await peer(keywords=("PIPELINING", "SIZE 3000000"))
    content = b"Subject: big\r\n\r\n" + b"".join(b".%060d\r\n" % n for n in range(30_000))
    await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", content=content))
    assert server.contents[0].replace(b"\r\n..", b"\r\n.") == content


async def test_long_lines_are_broken(peer, agent, request_to) -> None:
    server = await peer()
    content = b"Subject: x\r\n\r\n" + b"a" * 2500 + b"\r\n"
    await agent().deliver(request_to(f"[127.0.0.1]:{server.port}", content=content))
    assert max(map(len, server.contents[0].split(b"\r\n"))) <= 999
    assert server.contents[0].replace(b"\r\n ", b"") == content


async def test_lines_the_server_was_not_asked_for_end_the_connection(peer, agent, request_to, outcome) -> None:
    server = await peer(after_data=["250 2.0.0 Ok\r\n250 2.0.0 and another"])
    smtp = agent()
    for _ in range(2):
        results = await smtp.deliver(request_to(f"[127.0.0.1]:{server.port}", more=True))
        assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert server.connections in (1, 2)
    assert len(server.contents) == 2


@pytest.mark.parametrize("junk", ["hello", "2x0 what", "999 no", "250" + "x" * 40_000, "\x00\x01"])
async def test_junk_for_a_reply(peer, agent, request_to, outcome, junk) -> None:
    server = await peer(replies={"MAIL": junk})
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}"))
    [(status, code, _)] = outcome(results).values()
    assert status == "deferred"
    assert code.startswith("4.")


async def test_replies_cannot_forge_log_lines(peer, agent, request_to, outcome, caplog) -> None:
    caplog.set_level(logging.INFO)
    server = await peer(replies={"RCPT": "550 5.1.1 no\x1b[2J\x07\rfoo"})
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}"))
    [(_, _, reason)] = outcome(results).values()
    assert reason.isprintable()


async def test_an_error_in_the_program_keeps_the_mail(peer, agent, request_to, outcome, monkeypatch) -> None:
    from mta.delivery.smtp import delivery as module

    server = await peer()

    async def broken(*args: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module.Transaction, "run", broken)
    results = await agent().deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert [(status, code) for status, code, _ in outcome(results).values()] == [("deferred", "4.3.0")]


@pytest.mark.parametrize("pipelining", [True, False])
async def test_the_client_is_told_to_a_content_filter(peer, agent, request_to, outcome, pipelining) -> None:
    keywords = ("XFORWARD NAME ADDR PROTO HELO IDENT SOURCE", *(["PIPELINING"] if pipelining else []))
    server = await peer(keywords=keywords, replies={"XFORWARD PROTO": "501 5.5.4 no"})
    attributes = {
        "client_name": "unknown",
        "client_address": "192.0.2.1",
        "client_port": "1234",
        "protocol_name": "ESMTP",
        "helo_name": "a b",
        "rewrite_context": "remote",
    }
    request = request_to(f"[127.0.0.1]:{server.port}", attributes=attributes)
    results = await agent(send_xforward=True).deliver(request)
    assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert server.commands[1:4] == [
        "XFORWARD ADDR=192.0.2.1",
        "XFORWARD PROTO=ESMTP HELO=a+20b IDENT=ABCDEF0 SOURCE=REMOTE",
        "MAIL FROM:<alice@example.org>",
    ]
    await agent().deliver(request)
    assert server.verbs.count("XFORWARD") == 2


async def test_a_refusal_in_the_middle_of_the_message_counts(agent, request_to, outcome) -> None:
    gone = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 x\r\n")
        while line := await reader.readline():
            if line == b"DATA\r\n":
                writer.write(b"354 go\r\n")
                await reader.readline()
                writer.write(b"552 5.3.4 too much\r\n")
                break
            writer.write(b"250 ok\r\n")
        await writer.drain()
        # Unread data would make the kernel reset the connection and take the reply with it.
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                pass
        writer.close()
        gone.set()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    content = b"Subject: big\r\n\r\n" + b"x" * 70 * 60_000 + b"\r\n"
    results = await agent(line_length_limit=0).deliver(request_to(f"[127.0.0.1]:{port}", content=content))
    [(status, code, reason)] = outcome(results).values()
    assert (status, code) == ("bounced", "5.3.4")
    assert reason.endswith("said: 552 5.3.4 too much (in reply to end of DATA command)")
    await gone.wait()
    server.close()
    await server.wait_closed()


async def test_octets_of_an_address_go_as_they_came(peer, agent, request_to) -> None:
    server = await peer(replies={"RCPT TO:<gone": "550 5.1.1 no such user \ufffd"})
    results = await agent().deliver(
        request_to(f"[127.0.0.1]:{server.port}", "b\udcff\udcfeb@lab.example", sender="a\udcff@outside.example")
    )
    assert [str(result.status) for result in results] == ["sent"]
    assert server.commands[1].startswith("MAIL FROM:<a\udcff@outside.example>")
    assert server.commands[2].startswith("RCPT TO:<b\udcff\udcfeb@lab.example>")


# --- parameters that change little, where they are set -----------------------------------------------------------------


async def test_a_connection_to_a_named_destination_is_always_kept(peer, agent, request_to) -> None:
    server = await peer()
    nexthop = f"[127.0.0.1]:{server.port}"
    client = agent(kept_destinations=frozenset({nexthop}), cache_on_demand=False)
    for _ in range(2):
        await client.deliver(request_to(nexthop))
    assert (server.connections, len(server.contents)) == (1, 2)


async def test_keywords_can_be_discarded_by_address(peer, agent, request_to) -> None:
    server = await peer()
    client = agent(discard_keywords=frozenset({"SIZE"}))
    client.client.tools.discard = Table({"127.0.0.1": "dsn, pipelining"})
    await client.deliver(request_to(f"[127.0.0.1]:{server.port}", Recipient("bob@example.net", notify=Notify.FAILURE)))
    mail, rcpt = server.commands[1:3]
    assert "SIZE=" in mail  # the table's answer stands for the whole list
    assert "NOTIFY" not in rcpt


@pytest.mark.parametrize(("enforce", "status"), [(False, "sent"), (True, "deferred")])
async def test_a_source_address_that_is_not_ours(peer, agent, request_to, caplog, enforce: bool, status: str) -> None:
    server = await peer()
    client = agent(bind_address="192.0.2.1", bind_enforce=enforce)
    [result] = await client.deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert result.status == status
    assert "bind 192.0.2.1: Cannot assign requested address" in caplog.text
    if enforce:
        assert (result.dsn.status, result.dsn.reason) == ("4.4.0", "server configuration error")


@pytest.mark.parametrize(("wait", "dsn"), [(False, "5.4.4"), (True, "4.4.4")])
async def test_mail_exchangers_without_an_address(agent, request_to, names, wait: bool, dsn: str) -> None:
    names.mx["example.net"] = [(10, "nowhere.example.net")]
    [result] = await agent(defer_without_address=wait).deliver(request_to("example.net"))
    assert result.dsn.status == dsn


@pytest.mark.parametrize(
    ("table", "reply", "expected"),
    [
        ({"5.1.1 host 127.0.0.1[127.0.0.1] said: 550 5.1.1 gone (in reply to RCPT TO command)": "4.1.1 later"}, "550 5.1.1 gone", ("deferred", "4.1.1", "later")),
        ({"4.2.0 host 127.0.0.1[127.0.0.1] said: 450 4.2.0 full (in reply to RCPT TO command)": "5.2.0 full"}, "450 4.2.0 full", ("bounced", "5.2.0", "full")),
        ({}, "550 5.1.1 gone", ("bounced", "5.1.1", "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 gone (in reply to RCPT TO command)")),
        ({"5.1.1 host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no (in reply to RCPT TO command)": "2.0.0 yes"}, "550 5.1.1 no", ("bounced", "5.1.1", "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no (in reply to RCPT TO command)")),
    ],
)  # fmt: skip
async def test_statuses_are_filtered(peer, agent, request_to, caplog, table, reply, expected) -> None:
    server = await peer(replies={"RCPT": reply})
    client = agent()
    maps = Table(table)
    maps.title = "smtp_delivery_status_filter"
    client.client.tools.status_filter = StatusFilter(maps)
    with caplog.at_level("INFO"):
        [result] = await client.deliver(request_to(f"[127.0.0.1]:{server.port}"))
    assert (str(result.status), result.dsn.status, result.dsn.reason) == expected
    assert f"dsn={expected[1]}, status={expected[0]} ({expected[2]})" in caplog.text


@pytest.mark.parametrize(
    ("quote", "sender", "recipient"),
    [(True, '"a b"@x.example', '"odd."@y.example'), (False, "a b@x.example", "odd.@y.example")],
)
async def test_broken_servers_get_addresses_without_quotes(peer, agent, request_to, quote, sender, recipient) -> None:
    server = await peer(keywords=("DSN",))
    to = Recipient("odd.@y.example", orcpt='rfc822;"odd."@y.example')
    request = request_to(f"[127.0.0.1]:{server.port}", to, sender="a b@x.example")
    await agent(quote_envelope=quote).deliver(request)
    assert server.commands[1:3] == [f"MAIL FROM:<{sender}>", f'RCPT TO:<{recipient}> ORCPT=rfc822;"odd."@y.example']
