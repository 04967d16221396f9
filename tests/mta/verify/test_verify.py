"""Verification from RCPT to the next server and back: smtpd, the service, the queue and the delivery agents."""

from __future__ import annotations

import asyncio
import email
import io
import os

import pytest

from mta.queue import Queue
from mta.sendmail import command, options
from mta.smtpd.access.verified import Verifier
from mta.verify.protocol import Fate
from tests.mta.verify.conftest import Stack


async def test_a_recipient_is_asked_for_and_nothing_is_delivered(stack: Stack) -> None:
    assert await stack.rcpt("yes@b.example") == "250 2.1.5 Ok"
    assert stack.heard[1:] == ["MAIL FROM:<double-bounce@front.example>", "RCPT TO:<yes@b.example>", "QUIT"]
    asked = len(stack.heard)
    assert await stack.rcpt("yes@b.example") == "250 2.1.5 Ok"
    assert len(stack.heard) == asked  # it is known


async def test_what_the_next_server_refuses_is_refused(stack: Stack) -> None:
    refusal = "host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user (in reply to RCPT TO command)"
    assert await stack.rcpt("no@b.example") == (
        f"450 4.1.1 <no@b.example>: Recipient address rejected: unverified address: {refusal}"
    )
    stack.server.access.verifier.close()
    stack.server.access.verifier = Verifier(
        stack.config.with_overrides(
            {"unverified_recipient_reject_code": "550", "unverified_recipient_reject_reason": "not here"}
        )
    )
    assert await stack.rcpt("no@b.example") == (
        "550 5.1.1 <no@b.example>: Recipient address rejected: undeliverable address: not here"
    )


async def test_temporary_refusals_aliases_and_their_members(stack: Stack) -> None:
    for address in ("late@b.example", "alias@b.example", "pair@b.example", "x@elsewhere.example"):
        await stack.known(address)
    late = "host 127.0.0.1[127.0.0.1] said: 450 4.2.1 come again (in reply to RCPT TO command)"
    assert await stack.known("late@b.example") == (Fate.DEFERRED, late)
    assert await stack.known("alias@b.example") == await stack.known("yes@b.example")
    assert await stack.known("pair@b.example") == (Fate.DELIVERABLE, "aliased to multiple recipients")
    assert not any("no@" in line or line == "DATA" for line in stack.heard)


async def test_the_sender_is_asked_for_too(stack: Stack) -> None:
    stack.server.access = type(stack.server.access)(
        stack.config.with_overrides(
            {
                "smtpd_recipient_restrictions": "reject_unverified_sender, permit",
                "unverified_sender_reject_code": "550",
            }
        ),
        stack.server.access.resolver,
        stack.server.access.dns,
    )
    assert await stack.rcpt("x@b.example", sender="") == "250 2.1.5 Ok"
    assert await stack.rcpt("x@b.example", sender="yes@b.example") == "250 2.1.5 Ok"
    assert (await stack.rcpt("x@b.example", sender="no@b.example")).startswith(
        "550 5.1.7 <no@b.example>: Sender address rejected: undeliverable address: host "
    )


async def test_without_the_service_mail_is_put_off(stack: Stack) -> None:
    stack.server.access.verifier = Verifier(stack.config.with_overrides({"address_verify_service_name": "none"}))
    problem = "450 4.1.1 <yes@b.example>: Recipient address rejected: address verification problem"
    assert await stack.rcpt("yes@b.example") == problem


async def test_sendmail_v_mails_a_report_of_the_first_attempt(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "-v",
        "-C",
        str(stack.config.confdir),
        "-f",
        "me@b.example",
        "late@b.example",
        "user@elsewhere.example",
    ]
    mail = io.BytesIO(b"Subject: x\n\nbody\n")
    assert await asyncio.to_thread(command.run, options.parse(arguments), mail) == os.EX_OK
    assert capsys.readouterr().out == "Mail Delivery Status Report will be mailed to <me@b.example>.\n"
    with Queue.from_config(stack.config) as queue:
        async with asyncio.timeout(10):
            while not (found := [each for each in queue.messages() if each.sender == ""]):
                await asyncio.sleep(0.01)
        report = email.message_from_bytes(queue.content(found[0])).as_string()
        assert [each.sender for each in queue.messages()] == ["me@b.example", ""]  # what waits is still there
    assert "Subject: Mail Delivery Status Report" in report
    assert report.count("Action: delayed") == 2


async def test_sendmail_bv_mails_a_report(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["-bv", "-C", str(stack.config.confdir), "-f", "me@b.example", "yes@b.example", "alias@b.example"]
    assert await asyncio.to_thread(command.run, options.parse(arguments), io.BytesIO()) == os.EX_OK
    assert capsys.readouterr().out == "Mail Delivery Status Report will be mailed to <me@b.example>.\n"
    with Queue.from_config(stack.config) as queue:
        async with asyncio.timeout(10):
            while not (found := [each for each in queue.messages() if each.sender == ""]):
                await asyncio.sleep(0.01)
        report = email.message_from_bytes(queue.content(found[0]))
    assert report["Subject"] == "Mail Delivery Status Report"
    text = report.as_string()
    assert "Action: undeliverable" in text  # -bv takes the ordinary route, where nobody answers
    assert "<yes@b.example> (expanded from <alias@b.example>): connect to" in text
    assert stack.heard == []
