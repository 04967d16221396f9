"""Notifications read as bounce(8) words them, and mail programs can take them apart (RFC 3464)."""

from __future__ import annotations

import email
import email.policy
from dataclasses import replace
from pathlib import Path

import pytest

from mta.delivery.bounce import templates
from mta.delivery.bounce.report import Entry, Report, ReportSettings, render, wrapped
from mta.delivery.bounce.templates import BUILT_IN, Kind
from mta.queue.changes import Outcome
from mta.queue.message import QueuedMessage, QueueName, Recipient

SETTINGS = ReportSettings("mx.example.org")
ORIGINAL = b"Received: x\r\nFrom: alice@example.org\r\nSubject: hi\r\n there\r\n\r\nbody\r\n"


def message(**more: object) -> QueuedMessage:
    values = {
        "sequence": 1,
        "queue_id": "4F1C2A40001",
        "queue": QueueName.INCOMING,
        "sender": "alice@example.org",
        "arrival": 0.0,
        "size": len(ORIGINAL),
        "next_attempt": 0.0,
        "warned": False,
        "ret": "",
        "envid": "",
        "body": "",
        "smtputf8": False,
        "filter": "",
        "attributes": {},
        "recipients": [],
        "recipient_count": 1,
    }
    return QueuedMessage(**(values | more))


FAILED = Entry(
    Recipient("gone@example.net", "root@example.org", "rfc822;root@example.org"),
    Outcome(
        "5.1.1",
        "host mx.example.net[192.0.2.1] said: 550 5.1.1 no such user here (in reply to RCPT TO command)",
        "failed",
        {"mta_type": "dns", "mta_name": "mx.example.net", "diag_type": "smtp", "diag_text": "550 5.1.1 no such user"},
    ),
)


def report(
    kind: Kind = Kind.FAILURE,
    *entries: Entry,
    headers_only: bool = False,
    original=ORIGINAL,
    settings: ReportSettings = SETTINGS,
    **more,
) -> bytes:
    template = BUILT_IN[kind]
    text = [line.replace("$myhostname", "mx.example.org") for line in template.text]
    made = Report(
        kind,
        template,
        text,
        "alice@example.org",
        False,
        message(**more),
        entries or (FAILED,),
        headers_only,
        "4F1C2A40001.0/mx.example.org",
        "Sun, 22 Nov 2026 10:00:00 +0000 (UTC)",
        "Fri, 27 Nov 2026 10:00:00 +0000 (UTC)",
    )
    return render(made, settings, original)


WANTED = b"""\
From: Mail Delivery System <MAILER-DAEMON>
Subject: Undelivered Mail Returned to Sender
To: alice@example.org
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
	boundary="4F1C2A40001.0/mx.example.org"
Content-Transfer-Encoding: 8bit

This is a MIME-encapsulated message.

--4F1C2A40001.0/mx.example.org
Content-Description: Notification
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit

This is the mail system at host mx.example.org.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients. It's attached below.

For further assistance, please send mail to postmaster.

If you do so, please include this problem report. You can
delete your own text from the attached returned message.

                   The mail system

<gone@example.net> (expanded from <root@example.org>): host
    mx.example.net[192.0.2.1] said: 550 5.1.1 no such user here (in reply to
    RCPT TO command)

--4F1C2A40001.0/mx.example.org
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
X-Postfix-Queue-ID: 4F1C2A40001
X-Postfix-Sender: rfc822; alice@example.org
Arrival-Date: Sun, 22 Nov 2026 10:00:00 +0000 (UTC)

Final-Recipient: rfc822; gone@example.net
Original-Recipient: rfc822;root@example.org
Action: failed
Status: 5.1.1
Remote-MTA: dns; mx.example.net
Diagnostic-Code: smtp; 550 5.1.1 no such user

--4F1C2A40001.0/mx.example.org
Content-Description: Undelivered Message
Content-Type: message/rfc822
Content-Transfer-Encoding: 8bit

Return-Path: <alice@example.org>
Received: x
From: alice@example.org
Subject: hi
 there

body

--4F1C2A40001.0/mx.example.org--
"""


def test_a_failure_word_for_word() -> None:
    assert report() == WANTED.replace(b"\n", b"\r\n")


def test_a_mail_program_understands_it() -> None:
    parsed = email.message_from_bytes(report(envid="QQ1"), policy=email.policy.default)
    assert parsed.get_content_type() == "multipart/report"
    text, status, original = parsed.iter_parts()
    assert [part.get_content_type() for part in (text, status, original)] == [
        "text/plain",
        "message/delivery-status",
        "message/rfc822",
    ]
    per_message, per_recipient = status.get_payload()
    assert per_message["Original-Envelope-Id"] == "QQ1"
    assert per_recipient["Final-Recipient"] == "rfc822; gone@example.net"
    assert original.get_payload()[0]["Subject"] == "hi there"


def test_only_the_header_goes_back_when_asked_or_too_large() -> None:
    for rendered in (report(headers_only=True), report(size=60_000)):
        assert b"Content-Type: text/rfc822-headers\r\n" in rendered
        assert b"Content-Description: Undelivered Message Headers\r\n" in rendered
        assert b"Subject: hi\r\n there\r\n" in rendered
        assert b"\r\nbody\r\n" not in rendered


def test_smtputf8_types() -> None:
    rendered = report(smtputf8=True, sender="älice@example.org")
    assert b"message/global-delivery-status" in rendered
    assert "X-Postfix-Sender: utf-8; älice@example.org".encode() in rendered
    assert b"Content-Type: message/global\r\n" in rendered


def test_a_lost_original_is_said_to_be_lost() -> None:
    assert b"\t--- Undelivered message unavailable ---\r\n" in report(original=None)


def test_our_own_failures_have_a_diagnostic_of_ours() -> None:
    entry = Entry(Recipient("a@x").completed(), Outcome("5.4.6", "mail for x loops back to myself", "failed"))
    rendered = report(Kind.FAILURE, entry)
    assert b"Diagnostic-Code: X-Postfix; mail for x loops back to myself\r\n" in rendered
    assert b"Remote-MTA" not in rendered
    assert b"<a@x>: mail for x loops back to myself\r\n" in rendered


def test_wrapping_keeps_every_word() -> None:
    text = " ".join(f"word{n}" for n in range(100))
    lines = wrapped(text)
    assert " ".join(line.strip() for line in lines) == text
    assert all(len(line) <= 79 for line in lines)
    assert all(line.startswith("    ") for line in lines[1:])
    assert wrapped("x" * 200) == ["x" * 200]


def test_delay_times_are_put_into_the_text() -> None:
    seconds = {"delay_warning_time": 4 * 3600.0, "maximal_queue_lifetime": 5 * 86400.0}
    text = templates.expand_times("$delay_warning_time_hours ${maximal_queue_lifetime_days}", seconds.__getitem__)
    assert text == "4 5"


def test_templates_from_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "bounce.cf"
    path.write_text(
        "failure_template = <<EOF\nCharset: us-ascii\nSubject: Sorry\n\nIt did not work.\nEOF\n"
        "delay_template = <<EOF\nno header\nno gap\nEOF\n"
        "other_template = <<EOF\nSubject: x\n\nx\nEOF\n"
    )
    loaded = templates.load(path)
    assert loaded[Kind.FAILURE].subject == "Sorry"
    assert loaded[Kind.FAILURE].text == ("It did not work.",)
    assert loaded[Kind.DELAY] == BUILT_IN[Kind.DELAY]
    assert "unknown template name: other_template" in caplog.text
    assert templates.load(tmp_path / "missing") == dict(BUILT_IN)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"Message-ID: <orig@x.example>\r\nReferences: <a@b>\r\n", "<orig@x.example>"),
        (b"Subject: x\r\nmessage-id:<orig@x.example> \r\n", "<orig@x.example>"),
        (b"Message-ID:\r\n <folded@x.example>\r\n", ""),
        (b"Message-ID: <a b>\r\n", ""),
        (b"Subject: x\r\n\r\nMessage-ID: <body@x.example>\r\n", ""),
    ],
)
def test_a_report_may_refer_to_the_original(header: bytes, found: str) -> None:
    for threaded in (True, False):
        settings = replace(SETTINGS, threaded=threaded)
        text = (
            report(original=header + b"\r\nbody\r\n", settings=settings)
            .partition(b"\r\n\r\n")[0]
            .decode()
            .split("\r\n")
        )
        wanted = [f"References: {found}", f"In-Reply-To: {found}"] if found and threaded else []
        assert [line for line in text if line.startswith(("References", "In-Reply-To"))] == wanted
        if wanted:
            assert text[text.index(wanted[0]) - 1].startswith("To: ")
