"""DATA and BDAT: one message stays one message, and 250 means that it is kept."""

from __future__ import annotations

import errno
import sys
import tempfile
from typing import Any

import pytest

from mta.queue import QueueError

ENVELOPE = """
    C: EHLO x
    S: 250-*
    C: MAIL FROM:<a@b.example>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
"""
STRICT = "smtpd_forbid_bare_newline = normalize\nsmtpd_forbid_bare_newline_exclusions ="
REJECT = "smtpd_forbid_bare_newline = reject\nsmtpd_forbid_bare_newline_exclusions ="
SMUGGLED = b"MAIL FROM:<evil@b.example>\r\nRCPT TO:<bob@example.com>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


async def in_data(start: Any, settings: str = "") -> tuple[Any, list[object]]:
    site = await start(settings)
    client = await site.say(ENVELOPE + "    C: DATA\n    S: 354 *")
    return client, site.queue.messages


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r\n.\r", b"\r.\r\n"])
async def test_no_smuggling(start: Any, end: bytes) -> None:
    """CVE-2023-51764, hardened: the content ends once, at <CR><LF>.<CR><LF>."""
    client, messages = await in_data(start, STRICT)
    await client.send(b"Subject: one\r\n\r\nx" + end + SMUGGLED + b"NOOP\r\n")
    assert (await client.reply()).startswith("250 2.0.0 Ok: queued")
    assert await client.reply() == "250 2.0.0 Ok"
    assert len(messages) == 1


async def test_smuggling_works_on_the_weakened_twin(start: Any) -> None:
    client, messages = await in_data(start, "smtpd_forbid_bare_newline = no")
    await client.send(b"Subject: one\r\n\r\nx\n.\r\n" + SMUGGLED)
    replies = [await client.reply() for _ in range(5)]
    assert [reply[:3] for reply in replies] == ["250", "250", "250", "354", "250"]
    assert len(messages) == 2


async def test_excluded_clients_may_send_what_they_like(start: Any) -> None:
    client, messages = await in_data(start, "smtpd_forbid_bare_newline = reject")
    await client.send(b"Subject: one\n\nx\n.\n")
    assert (await client.reply()).startswith("250")
    assert len(messages) == 1


async def test_bare_newlines_can_be_refused(start: Any) -> None:
    client, messages = await in_data(start, REJECT)
    await client.send(b"Subject: one\n\r\nx\r\n.\r\n")
    assert await client.reply() == "550 5.5.2 mx.example.com Error: bare <LF> received"
    await client.send(b"NOOP\n")
    assert await client.reply() == "550 5.5.2 mx.example.com Error: bare <LF> received"
    assert await client.closed()
    assert messages == []


async def test_content_that_is_too_large(start: Any) -> None:
    client, messages = await in_data(start, "message_size_limit = 1000")
    await client.send(b"Subject: x\r\n\r\n" + b"x" * 5_000_000 + b"\r\n.\r\n")
    assert await client.reply() == "552 5.3.4 Error: message file too big"
    await client.say("C: NOOP\nS: 250 *")
    assert messages == []


async def test_nothing_is_promised_that_is_not_kept(start: Any) -> None:
    site = await start()
    client = await site.say(ENVELOPE + "    C: DATA\n    S: 354 *")
    site.queue.failure = QueueError("the disk is on fire")
    await client.send(b"x\r\n.\r\n")
    assert await client.reply() == "451 4.3.0 Error: queue file write error"


async def test_large_content_that_finds_no_room_while_it_arrives(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    client, messages = await in_data(start)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    await client.send(b"Subject: x\r\n\r\n" + b"x" * 3_000_000 + b"\r\n.\r\n")
    assert await client.reply() == "452 4.3.1 Insufficient system storage"
    await client.say("C: NOOP\nS: 250 *")
    assert messages == []


async def test_mail_that_runs_in_circles(start: Any) -> None:
    client, messages = await in_data(start, "hopcount_limit = 3")
    await client.send(b"Received: a\r\nReceived: b\r\n\r\n.\r\n")
    assert await client.reply() == "554 5.4.0 Error: too many hops"
    assert messages == []


async def test_header_checks_answer_the_client(start: Any) -> None:
    client, messages = await in_data(start, "header_checks = regexp:{{/^Subject: .*secret/ REJECT no secrets please}}")
    await client.send(b"Subject: top secret\r\n\r\nx\r\n.\r\n")
    assert await client.reply() == "550 5.7.1 no secrets please"
    assert messages == []


async def test_headers_without_measure_are_cut(start: Any) -> None:
    client, messages = await in_data(start, "header_size_limit = 20")
    await client.send(
        b"X-Short: yes\r\nX-Long: one\r\n two\r\n three four\r\nX-Blank: 1234567890\r\n ab\r\n\r\nx\r\n.\r\n"
    )
    assert (await client.reply()).startswith("250")
    assert b"X-Short: yes\r\nX-Long: one\r\n two\r\n th\r\nX-Blank: 1234567890\r\nMessage-Id:" in messages[0].content


@pytest.mark.parametrize(
    ("left_out", "code", "recipients"),
    [
        ("", "550", []),
        ("no_header_body_checks", "250", ["bob@example.com", "all@b.example"]),
        ("no_header_body_checks, no_address_mappings", "250", ["alice@example.com"]),
    ],
)
async def test_steps_of_receiving_can_be_left_out(start: Any, left_out: str, code: str, recipients: list[str]) -> None:
    client, messages = await in_data(
        start,
        f"""
        receive_override_options = {left_out}
        header_checks = static:REJECT
        virtual_alias_maps = inline:{{{{alice@example.com = bob@example.com}}}}
        always_bcc = all@b.example
        """,
    )
    await client.send(b"Subject: one\r\n\r\n.\r\n")
    assert (await client.reply())[:3] == code
    assert [recipient.address for message in messages for recipient in message.recipients] == recipients


async def test_chunks(start: Any) -> None:
    site = await start()
    client = await site.say(ENVELOPE)
    await client.send(b"BDAT 14\r\nSubject: x\r\n\r\nBDAT 4\r\n.\r\na")
    assert await client.reply() == "250 2.0.0 Ok: 14 bytes"
    assert await client.reply() == "250 2.0.0 Ok: 4 bytes"
    await client.say("""
        C: RCPT TO:<bob@example.com>
        S: 503 5.5.1 Error: RCPT after BDAT
        C: DATA
        S: 503 5.5.1 Error: DATA after BDAT
    """)
    await client.send(b"BDAT 0 LAST\r\nNOOP\r\n")
    assert await client.reply() == "250 2.0.0 Ok: queued as QID1"
    assert await client.reply() == "250 2.0.0 Ok"
    assert site.queue.messages[0].content.endswith(b"\r\n\r\n.\r\na\r\n")


async def test_small_chunks_cost_no_more_than_their_octets(start: Any) -> None:
    count = 20_000
    site = await start()
    client = await site.say(ENVELOPE)
    connection = next(iter(site.server.connections))
    await client.send(b"BDAT 1\r\nx" * count)
    for _ in range(count):
        assert await client.reply() == "250 2.0.0 Ok: 1 bytes"
    assert sys.getsizeof(connection.envelope.chunks) < 2 * count
    await client.send(b"BDAT 2 LAST\r\ny\n")
    assert await client.reply() == "250 2.0.0 Ok: queued as QID1"
    assert site.queue.messages[0].content.endswith(b"x" * count + b"y\r\n")


async def test_chunks_are_counted_together_before_they_are_kept(start: Any) -> None:
    client = await (await start("message_size_limit = 100")).say(ENVELOPE)
    await client.send(b"BDAT 60\r\n" + b"Q" * 60 + b"BDAT 41\r\n" + b"Q" * 41 + b"NOOP\r\n")
    assert await client.reply() == "250 2.0.0 Ok: 60 bytes"
    assert await client.reply() == "552 5.3.4 Chunk exceeds message size limit"
    assert await client.reply() == "250 2.0.0 Ok"


@pytest.mark.parametrize("command", ["BDAT", "BDAT x", "BDAT -1", "BDAT 3 FIRST", "BDAT 1 LAST x", "BDAT " + "9" * 100])
async def test_a_chunk_without_a_size_ends_the_session(start: Any, command: str) -> None:
    client = await (await start()).say(ENVELOPE + f"    C: {command}\n    S: 521 5.5.4 Syntax: BDAT count [LAST]")
    assert await client.closed()


async def test_chunks_that_are_refused_are_read_away(start: Any) -> None:
    client = await (await start("message_size_limit = 100")).say(ENVELOPE)
    await client.send(b"BDAT 101\r\n" + b"Q" * 101 + b"BDAT 1 LAST\r\nQNOOP\r\n")
    assert await client.reply() == "552 5.3.4 Chunk exceeds message size limit"
    assert await client.reply() == "551 5.0.0 Discarded 1 bytes after earlier error"
    assert await client.reply() == "250 2.0.0 Ok"
