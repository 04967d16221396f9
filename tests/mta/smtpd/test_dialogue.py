"""Sessions as dialogues: the frame of SMTP, order of commands, limits on errors, lines and time."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from mta.smtpd.session import Peer

EHLO = (
    "250-mx.example.com|250-PIPELINING|250-SIZE 10240000|250-VRFY|250-ETRN|"
    "250-ENHANCEDSTATUSCODES|250-8BITMIME|250-DSN|250-SMTPUTF8|250 CHUNKING"
)


async def test_a_mail_from_greeting_to_farewell(start: Any) -> None:
    site = await start("smtpd_banner = $myhostname ESMTP $mail_name")
    client = await site.connect()
    await client.say(f"""
        S: 220 mx.example.com ESMTP Postfix
        C: EHLO client.example.org
        S: {EHLO}
        C: MAIL FROM:<a@example.org>
        S: 250 2.1.0 Ok
        C: RCPT TO:<alice@example.com>
        S: 250 2.1.5 Ok
        C: DATA
        S: 354 End data with <CR><LF>.<CR><LF>
        C: Subject: hello
        C:
        C: ..dots
        C: .
        S: 250 2.0.0 Ok: queued as QID1
        C: QUIT
        S: 221 2.0.0 Bye
    """)
    assert await client.closed()
    (message,) = site.queue.messages
    assert message.sender == "a@example.org"
    assert [recipient.address for recipient in message.recipients] == ["alice@example.com"]
    assert message.content.endswith(b"\r\n\r\n.dots\r\n")
    assert message.content.startswith(b"Received: from client.example.org (unknown [127.0.0.1])\r\n\tby mx.example.com")


async def test_order_of_commands(start: Any) -> None:
    site = await start()
    await site.say(f"""
        C: RCPT TO:<alice@example.com>
        S: 503 5.5.1 Error: need MAIL command
        C: DATA
        S: 503 5.5.1 Error: need RCPT command
        C: MAIL FROM:<a@example.org>
        S: 250 2.1.0 Ok
        C: DATA
        S: 554 5.5.1 Error: no valid recipients
        C: MAIL FROM:<a@example.org>
        S: 503 5.5.1 Error: nested MAIL command
        C: EHLO x
        S: {EHLO}
        C: RCPT TO:<alice@example.com>
        S: 503 5.5.1 Error: need MAIL command
        C: RSET now
        S: 501 5.5.4 Syntax: RSET
        C: RSET
        S: 250 2.0.0 Ok
        C: noop with words
        S: 250 2.0.0 Ok
        C: HELO
        S: 501 Syntax: HELO hostname
        C: FOO
        S: 500 5.5.2 Error: command not recognized
        C:
        S: 500 5.5.2 Error: bad syntax
        C: EXPN staff
        S: 500 5.5.2 Error: command not recognized
        C: quit now
        S: 221 2.0.0 Bye
    """)
    assert site.queue.messages == []


async def test_a_pipelined_group_is_answered_in_order(start: Any) -> None:
    site = await start()
    client = await site.say("C: EHLO x\nS: 250-*")
    await client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\nRCPT TO:<no@example.com>\r\nDATA\r\n")
    replies = [await client.reply() for _ in range(4)]
    assert [reply[:3] for reply in replies] == ["250", "250", "550", "354"]
    await client.send(b"Subject: x\r\n\r\nx\r\n.\r\nRSET\r\nQUIT\r\n")
    assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "221"]
    assert len(site.queue.messages) == 1


async def test_too_many_errors_end_the_session(start: Any) -> None:
    site = await start("smtpd_hard_error_limit = 3")
    client = await site.say("""
        C: FOO
        S: 500 *
        C: FOO
        S: 500 *
        C: NOOP
        S: 250 *
        C: FOO
        S: 500 *
        S: 421 4.7.0 mx.example.com Error: too many errors
    """)
    assert await client.closed()


async def test_junk_commands_become_errors(start: Any) -> None:
    site = await start("smtpd_junk_command_limit = 2\nsmtpd_hard_error_limit = 2")
    client = await site.say("\n".join(["C: NOOP", "S: 250 *"] * 5) + "\nS: 421 4.7.0 *")
    assert await client.closed()


async def test_commands_that_are_mail_headers_or_forbidden(start: Any) -> None:
    site = await start()
    for command in ("Subject: x", "GET / HTTP/1.0", "CONNECT x", "ä"):
        client = await site.say(f"C: {command}\nS: 221 2.7.0 Error: I can break rules, too. Goodbye.")
        assert await client.closed()


async def test_a_command_that_is_no_utf8(start: Any) -> None:
    client = await (await start()).say("C: EHLO x\nS: 250-*")
    await client.send(b"NOOP \xff\r\n")
    assert await client.reply() == "500 5.5.2 Error: bad UTF-8 syntax"


async def test_an_endless_command_is_cut(start: Any) -> None:
    client = await (await start()).say("C: EHLO x\nS: 250-*")
    await client.send(b"NOOP " + b"x" * 500_000 + b"\r\nNOOP\r\n")
    assert await client.reply() == "250 2.0.0 Ok"
    assert await client.reply() == "250 2.0.0 Ok"


async def test_a_silent_client_is_told_and_left(start: Any) -> None:
    client = await (await start("smtpd_timeout = 1s")).say("C: EHLO x\nS: 250-*")
    assert await client.reply() == "421 4.4.2 mx.example.com Error: timeout exceeded"
    assert await client.closed()


async def test_a_client_that_dribbles_has_no_more_time_than_one_that_is_silent(start: Any) -> None:
    site = await start("smtpd_timeout = 1s\nsmtpd_per_request_deadline = yes\nsmtpd_min_data_rate = 500")
    client = await site.say("C: EHLO x\nS: 250-*")
    reply = asyncio.create_task(client.reply())
    while not reply.done():
        await client.send(b"N")
        await asyncio.wait({reply}, timeout=0.1)
    assert reply.result() == "421 4.4.2 mx.example.com Error: timeout exceeded"


async def test_a_client_that_hangs_up_in_the_middle_leaves_no_mail(start: Any) -> None:
    site = await start()
    client = await site.say("""
        C: HELO x
        S: 250 mx.example.com
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: Subject: half
    """)
    client.writer.close()
    while site.server.connections:
        await asyncio.sleep(0)
    assert site.queue.messages == []


async def test_unexpected_failures_keep_their_reason_to_the_log(start: Any) -> None:
    site = await start()
    site.queue.failure = ZeroDivisionError("private detail")
    client = await site.say(
        "C: EHLO x\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 421 4.3.0 mx.example.com Error: internal error"
    )
    assert await client.closed()


async def test_the_service_ends_politely(start: Any) -> None:
    site = await start()
    client = await site.say("C: EHLO x\nS: 250-*")
    (connection,) = site.server.connections
    connection.close_politely()
    assert (await client.reply()).startswith("421 4.3.2 mx.example.com ")


async def test_more_is_pipelined_than_may_be(start: Any) -> None:
    site = await start("smtpd_forbid_unauth_pipelining = yes")
    client = await site.connect()
    await client.reply()
    await client.send(b"EHLO x\r\nMAIL FROM:<a@b.example>\r\n")
    assert await client.reply() == "554 5.5.0 Error: SMTP protocol synchronization"
    assert await client.closed()


class PatientPeers:
    """Finds out who calls as slowly as it takes the client to say something."""

    def __init__(self, site: Any) -> None:
        self.server, self.peers = site.server, site.server.peers

    async def identify(self, peer: Peer) -> Peer:
        (connection,) = self.server.connections
        async with asyncio.timeout(10):
            while not connection.input_waiting:
                await asyncio.sleep(0.001)
        return await self.peers.identify(peer)


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        ("smtpd_forbid_unauth_pipelining = yes", "554 5.5.0 Error: SMTP protocol synchronization"),
        (
            "smtpd_client_restrictions = reject_unauth_pipelining\nsmtpd_delay_reject = no",
            "503 5.5.0 <unknown[127.0.0.1]>: Client host rejected: Improper use of SMTP command pipelining",
        ),
        ("smtpd_forbid_unauth_pipelining = no", "220 mx.example.com ESMTP Postfix"),
    ],
)
async def test_a_client_that_does_not_wait_for_the_greeting(start: Any, settings: str, reply: str) -> None:
    site = await start(settings)
    site.server.peers = PatientPeers(site)
    client = await site.connect()
    await client.send(b"EHLO x\r\n")
    assert await client.reply() == reply


async def test_hidden_keywords(start: Any) -> None:
    site = await start("smtpd_discard_ehlo_keywords = chunking, vrfy, silent-discard, DSN")
    keywords = "PIPELINING|250-SIZE 10240000|250-ETRN|250-ENHANCEDSTATUSCODES|250-8BITMIME|250 SMTPUTF8"
    client = await site.say(f"C: EHLO x\nS: 250-mx.example.com|250-{keywords}")
    await client.say("""
        C: MAIL FROM:<a@b.example> RET=FULL
        S: 501 5.7.1 DSN support is disabled
        C: BDAT 1 LAST
        S: 521 *
    """)


async def test_footer_and_soft_bounce(start: Any) -> None:
    site = await start("soft_bounce = yes\nsmtpd_reject_footer = \\c. Call $server_name")
    await site.say("""
        C: FOO
        S: 400 4.5.2 Error: command not recognized. Call mx.example.com
        C: RCPT TO:<x@y.example>
        S: 403 4.5.1 Error: need MAIL command. Call mx.example.com
    """)


async def test_footers_by_reply(start: Any) -> None:
    site = await start(
        "smtpd_reject_footer = generic\n"
        "smtpd_reject_footer_maps = regexp:{{/^500 .* recognized/ \\c, see the manual of $$$$server_name}, {/^503/ two\\nlines}}"
    )
    await site.say("""
        C: FOO
        S: 500 5.5.2 Error: command not recognized, see the manual of mx.example.com
        C: RCPT TO:<x@y.example>
        S: 503-5.5.1 Error: need MAIL command|503-5.5.1 two|503 5.5.1 lines
        C: MAIL
        S: 501-5.5.4 Syntax: MAIL FROM:<address>|501 5.5.4 generic
    """)


async def test_ports_and_early_queue_ids_in_the_log(start: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "postfix.smtpd")
    site = await start("smtpd_client_port_logging = yes\nsmtpd_delay_open_until_valid_rcpt = no")
    client = await site.say(
        "C: EHLO x\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<no@example.com>\nS: 550 *"
    )
    port = client.writer.get_extra_info("sockname")[1]
    await client.send(b"NOOP\r\nearly\x01\r\n")
    await client.reply()
    label = f"unknown[127.0.0.1]:{port}"
    assert f"connect from {label}" in caplog.messages
    assert f"QID1: client={label}" in caplog.messages
    assert any(line.startswith(f"QID1: reject: RCPT from {label}: 550 ") for line in caplog.messages)
    assert f"improper command pipelining after NOOP from {label}: early?\\r\\n" in caplog.messages


async def test_a_command_ends_at_a_nul(start: Any) -> None:
    client = await (await start()).say("C: EHLO x\nS: 250-*")
    await client.send(b"VRFY bob\0mail\r\nNOOP\0\0\r\n\0NOOP\r\n")
    assert [await client.reply() for _ in range(3)] == [
        "252 2.0.0 bob",
        "250 2.0.0 Ok",
        "500 5.5.2 Error: bad syntax",
    ]
