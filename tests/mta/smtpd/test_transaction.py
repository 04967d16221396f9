"""MAIL, RCPT, VRFY and ETRN: addresses, parameters, and what becomes of them in the queue."""

from __future__ import annotations

from typing import Any

import pytest

from mta.queue import Notify, QueueFull

MAIL_CASES = [
    ("MAIL", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    ("MAIL FROM:", "501 5.5.4 Syntax: MAIL FROM:<address>"),
    ("MAIL FROM :<a@b.example>", "501 5.5.4 *"),
    ("MAIL TO:<a@b.example>", "501 5.5.4 *"),
    ("MAIL FROM:<a@b.example", "501 5.1.7 Bad sender address syntax"),
    ("MAIL FROM:<a b@b.example>", "501 5.1.7 *"),
    ("MAIL FROM:<a@127.0.0.2>", "501 5.1.7 *"),
    ("MAIL FROM:<a@>", "501 5.1.7 *"),
    ("MAIL FROM:<a@b..example>", "501 5.1.7 *"),
    ("MAIL FROM:<a@-b.example>", "501 5.1.7 *"),
    ("MAIL FROM:<a@ä.example>", "501 5.1.7 *"),
    ("MAIL FROM:<a@b.example> JUNK", "555 5.5.4 Unsupported option: JUNK"),
    ("MAIL FROM:A Name <a@b.example>", "555 5.5.4 Unsupported option: Name"),
    ("MAIL FROM:<a@b.example> SIZE=10240001", "552 5.3.4 Message size exceeds fixed limit"),
    ("MAIL FROM:<a@b.example> SIZE=", "501 5.5.4 Bad message size syntax"),
    ("MAIL FROM:<a@b.example> SIZE=-1", "501 5.5.4 Bad message size syntax"),
    ("MAIL FROM:<a@b.example> SIZE=٣", "501 5.5.4 Bad message size syntax"),
    ("MAIL FROM:<a@b.example> SIZE=" + "9" * 1000, "552 5.3.4 Message size exceeds file system imposed limit"),
    ("MAIL FROM:<a@b.example> BODY=BINARYMIME", "555 5.5.4 *"),
    ("MAIL FROM:<a@b.example> RET=X", "501 5.5.4 Bad RET parameter syntax"),
    ("MAIL FROM:<a@b.example> RET=FULL RET=FULL", "501 5.5.4 Bad RET parameter syntax"),
    ("MAIL FROM:<a@b.example> ENVID=a+0A", "501 5.5.4 Bad ENVID parameter syntax"),
    ("MAIL FROM:<>", "250 2.1.0 Ok"),
    ("mail from:<a@b.example>", "250 2.1.0 Ok"),
    ("MAIL FROM: <a@b.example>", "250 2.1.0 Ok"),
    ("MAIL FROM:a@b.example", "250 2.1.0 Ok"),
    ("MAIL FROM:<a@b.example>>", "250 2.1.0 Ok"),
    ("MAIL FROM:<@relay.example:a@b.example>", "250 2.1.0 Ok"),
    ('MAIL FROM:<"a b"@b.example>', "250 2.1.0 Ok"),
    ("MAIL FROM:<a@[127.0.0.2]>", "250 2.1.0 Ok"),
    ("MAIL FROM:<a>", "250 2.1.0 Ok"),
    ("MAIL FROM:<a@ä.example> SMTPUTF8", "250 2.1.0 Ok"),
    ("MAIL FROM:<a@b.example> AUTH=<>", "250 2.1.0 Ok"),
    ("MAIL FROM:<a@b.example> AUTH=a+zz", "250 2.1.0 Ok"),
    ("MAIL FROM:<a@b.example> AUTH=a AUTH=b", "503 5.5.4 Error: multiple AUTH= options"),
    ("MAIL FROM:<a@b.example> size=00010240000 body=8bitmime ret=hdrs envid=a+2Bb", "250 2.1.0 Ok"),
]


@pytest.mark.parametrize(("command", "reply"), MAIL_CASES)
async def test_mail(start: Any, command: str, reply: str) -> None:
    await (await start()).say(f"C: EHLO x\nS: 250-*\nC: {command}\nS: {reply}")


RCPT_CASES = [
    ("RCPT TO:", "501 5.5.4 Syntax: RCPT TO:<address>"),
    ("RCPT TO:<>", "501 5.1.3 Bad recipient address syntax"),
    ("RCPT TO:<alice@example.com,bob@example.com>", "501 5.1.3 *"),
    ("RCPT TO:<alice@example.com> NOTIFY=NEVER,SUCCESS", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
    ("RCPT TO:<alice@example.com> NOTIFY=", "501 5.5.4 Error: Bad NOTIFY parameter syntax"),
    ("RCPT TO:<alice@example.com> ORCPT=rfc822", "501 5.5.4 Error: Bad ORCPT parameter syntax"),
    ("RCPT TO:<alice@example.com> ORCPT=rfc822;a+zz", "501 5.5.4 Error: Bad ORCPT parameter syntax"),
    ("RCPT TO:<alice@example.com> FOO", "555 5.5.4 Unsupported option: FOO"),
    ("RCPT TO:<nobody@example.com>", "550 5.1.1 <nobody@example.com>: Recipient address rejected: User unknown in*"),
    ("RCPT TO:<ALICE@Example.Com>", "250 2.1.5 Ok"),
    ("RCPT TO:<alice>", "250 2.1.5 Ok"),
    ("RCPT TO:<Postmaster>", "250 2.1.5 Ok"),
    ("RCPT TO:<alice@[127.0.0.1]>", "250 2.1.5 Ok"),
    ("RCPT TO:<x@far.example>", "250 2.1.5 Ok"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "reply"), RCPT_CASES)
async def test_rcpt(start: Any, command: str, reply: str) -> None:
    await (await start()).say(f"C: EHLO x\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: {command}\nS: {reply}")


async def test_parameters_reach_the_queue(start: Any) -> None:
    site = await start()
    await site.say("""
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example> BODY=8BITMIME RET=HDRS ENVID=QQ+2B1
        S: 250 *
        C: RCPT TO:<alice@example.com> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;old+2Bx@y.example
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
    """)
    (message,) = site.queue.messages
    assert (message.body, message.ret, message.envid) == ("8BITMIME", "HDRS", "QQ+1")
    (recipient,) = message.recipients
    assert recipient.orcpt == "rfc822;old+x@y.example"
    assert recipient.notify == Notify.SUCCESS | Notify.DELAY


async def test_recipient_limit(start: Any) -> None:
    site = await start("smtpd_recipient_limit = 1\nsmtpd_recipient_overshoot_limit = 1\nsmtpd_hard_error_limit = 1")
    client = await site.say("""
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: RCPT TO:<bob@example.com>
        S: 452 4.5.3 Error: too many recipients
        C: RCPT TO:<bob@example.com>
        S: 452 4.5.3 Error: too many recipients
        S: 421 4.7.0 mx.example.com Error: too many errors
    """)
    assert await client.closed()


async def test_a_full_disk_is_told_before_the_content(start: Any) -> None:
    site = await start()
    site.queue.failure = QueueFull("nothing left")
    await site.say("C: EHLO x\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 452 4.3.1 Insufficient system storage")


async def test_the_recipient_as_it_was_written_is_kept(start: Any) -> None:
    """smtpd(8) makes an ORCPT of it: two ways of writing an address are two recipients."""
    site = await start()
    await site.say("""
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: RCPT TO:alice@example.com
        S: 250 *
        C: RCPT TO:<"alice"@example.com>
        S: 250 *
        C: RCPT TO:<@far.example:alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
    """)
    assert [recipient.orcpt for recipient in site.queue.messages[0].recipients] == [
        "rfc822;alice@example.com",
        'rfc822;"alice"@example.com',
        "rfc822;@far.example:alice@example.com",
    ]


async def test_strict_smtputf8(start: Any) -> None:
    await (await start("strict_smtputf8 = yes")).say("""
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<grün@b.example>
        S: 553 5.6.7 Must declare SMTPUTF8 to send unicode address
        C: VRFY ålice
        S: 553 5.6.7 Must declare SMTPUTF8 to send unicode address
        C: MAIL FROM:<grün@b.example> SMTPUTF8
        S: 250 *
    """)


async def test_strict_envelopes(start: Any) -> None:
    await (await start("strict_rfc821_envelopes = yes")).say("""
        C: EHLO x
        S: 250-*
        C: MAIL FROM:a@b.example
        S: 501 5.1.7 *
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:alice@example.com
        S: 501 5.1.3 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
    """)


async def test_vrfy(start: Any) -> None:
    site = await start()
    await site.say("""
        C: VRFY
        S: 501 5.5.4 Syntax: VRFY address [SMTPUTF8]
        C: VRFY alice
        S: 252 2.0.0 alice
        C: VRFY nobody
        S: 550 5.1.1 <nobody>: Recipient address rejected: User unknown in local recipient table
        C: VRFY a b
        S: 501 5.1.3 *
    """)
    hardened = await start("disable_vrfy_command = yes")
    await hardened.say("C: VRFY alice\nS: 502 5.5.1 VRFY command is disabled")


async def test_etrn(start: Any) -> None:
    await (await start("relay_domains = relay.example\nsmtpd_helo_required = yes")).say("""
        C: ETRN relay.example
        S: 503 Error: send HELO/EHLO first
        C: EHLO x
        S: 250-*
        C: ETRN
        S: 500 Syntax: ETRN domain
        C: ETRN a..b
        S: 501 Error: invalid parameter syntax
        C: ETRN other.example
        S: 459 <other.example>: service unavailable
        C: ETRN @relay.example
        S: 458 Unable to queue messages
    """)
