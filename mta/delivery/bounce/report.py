"""One notification as a message: multipart/report with text, delivery status and the message it is about (RFC 3464)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mta.address import quote_822
from mta.delivery.bounce.templates import Kind, Template
from mta.queue.changes import Outcome
from mta.queue.message import QueuedMessage, Recipient

WIDTH: Final = 79
INDENT: Final = 4
_FIELD: Final = re.compile(rb"[!-9;-~]+[ \t]*:|[ \t]")
_MESSAGE_ID: Final = re.compile(rb"^Message-ID:[ \t]*([!-~]{1,900})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to one recipient."""

    recipient: Recipient
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class ReportSettings:
    """Parameters of main.cf that show in a report."""

    myhostname: str
    mail_name: str = "Postfix"
    maximal_queue_lifetime: float = 432000.0
    bounce_size_limit: int = 50000
    """Octets; of larger messages only the header is returned."""
    mime_encoding: str = "8bit"
    threaded: bool = False
    """enable_threaded_bounces: mail programs show the report beside what it is about."""


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a notification is made of."""

    kind: Kind
    template: Template
    text: Sequence[str]
    """The template's text, expanded; empty: no text (postmaster copies)."""
    to: str
    postmaster_copy: bool
    message: QueuedMessage
    entries: Sequence[Entry]
    headers_only: bool
    boundary: str
    date: str
    """Arrival-Date, as mail_date writes it."""
    retry_until: str = ""
    """Will-Retry-Until of a delay notice."""


def render(report: Report, settings: ReportSettings, content: bytes | None) -> bytes:
    """The message, CRLF, without the headers that cleanup adds. `content` is the original; None: it is lost."""
    parts = [
        _headers(report, settings, content or b""),
        _notification(report, settings),
        _status(report, settings),
        _original(report, settings, content),
    ]
    text, original = b"".join(parts[:3]), parts[3]
    return text + original + f"\r\n--{report.boundary}--\r\n".encode()


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode("utf-8", "surrogateescape")


def _headers(report: Report, settings: ReportSettings, content: bytes) -> bytes:
    subject = report.template.subject
    if report.postmaster_copy and report.template.postmaster_subject:
        subject = report.template.postmaster_subject
    return _lines(
        [
            f"From: {report.template.sender}",
            f"Subject: {subject}",
            f"To: {quote_822(report.to)}",
            *(_thread(content) if settings.threaded else ()),
            f"Auto-Submitted: {'auto-generated' if report.postmaster_copy else 'auto-replied'}",
            "MIME-Version: 1.0",
            "Content-Type: multipart/report; report-type=delivery-status;",
            f'\tboundary="{report.boundary}"',
            f"Content-Transfer-Encoding: {settings.mime_encoding}",
            "",
            "This is a MIME-encapsulated message.",
        ]
    )


def _thread(content: bytes) -> list[str]:
    """The original by its Message-ID; a folded one is not found, as in Postfix."""
    header = content.partition(b"\r\n\r\n")[0]
    match = _MESSAGE_ID.search(header)
    if match is None:
        return []
    name = match[1].decode("ascii")
    return [f"References: {name}", f"In-Reply-To: {name}"]


def _notification(report: Report, settings: ReportSettings) -> bytes:
    charset = report.template.charset
    if charset == "us-ascii" and settings.mime_encoding != "7bit":
        charset = "utf-8"
    lines = [
        "",
        f"--{report.boundary}",
        "Content-Description: Notification",
        f"Content-Type: text/plain; charset={charset}",
        *_encoding(settings),
        "",
        *report.text,
    ]
    for entry in report.entries:
        recipient = entry.recipient
        lines.append("")
        original = ""
        if recipient.original and recipient.original.casefold() != recipient.address.casefold():
            original = f" (expanded from <{recipient.original}>)"
        lines += wrapped(f"<{recipient.address}>{original}: {_reason(entry.outcome)}")
    return _lines(lines)


def _reason(outcome: Outcome) -> str:
    """Of a success also who took it (trace_append)."""
    relay = outcome.record.get("relay", "none")
    return f"delivery via {relay}: {outcome.reason}" if relay != "none" else outcome.reason


def _status(report: Report, settings: ReportSettings) -> bytes:
    message = report.message
    world = "global-" if message.smtputf8 else ""
    lines = [
        "",
        f"--{report.boundary}",
        "Content-Description: Delivery report",
        f"Content-Type: message/{world}delivery-status",
        *(_encoding(settings) if message.smtputf8 else []),
        "",
        f"Reporting-MTA: dns; {settings.myhostname}",
    ]
    if message.envid:
        lines.append(f"Original-Envelope-Id: {message.envid}")
    name = re.sub(r"[ \t\r\n()<>@,;:\\\".\[\]]", "-", settings.mail_name)
    sender = quote_822(message.sender) if message.sender else "MAILER-DAEMON"
    lines += [
        f"X-{name}-Queue-ID: {message.queue_id}",
        f"X-{name}-Sender: {_address_type(sender, message)}; {sender}",
        f"Arrival-Date: {report.date}",
    ]
    for entry in report.entries:
        lines += ["", *_recipient_fields(entry, report, name)]
    return _lines(lines)


def _recipient_fields(entry: Entry, report: Report, name: str) -> list[str]:
    recipient, outcome = entry.recipient, entry.outcome
    lines = [f"Final-Recipient: {_address_type(recipient.address, report.message)}; {recipient.address}"]
    if recipient.orcpt:
        lines.append(f"Original-Recipient: {recipient.orcpt}")
    elif recipient.original:
        lines.append(f"Original-Recipient: {_address_type(recipient.original, report.message)}; {recipient.original}")
    action = "failed" if report.kind is Kind.FAILURE else outcome.action
    lines += [f"Action: {action}", f"Status: {outcome.dsn}"]
    record = outcome.record
    if record.get("mta_type") and record.get("mta_name"):
        lines += wrapped(f"Remote-MTA: {record['mta_type']}; {record['mta_name']}")
    if record.get("diag_type") and record.get("diag_text"):
        lines += wrapped(f"Diagnostic-Code: {record['diag_type']}; {record['diag_text']}")
    else:
        lines += wrapped(f"Diagnostic-Code: X-{name}; {_reason(outcome)}")
    if report.kind is Kind.DELAY:
        lines.append(f"Will-Retry-Until: {report.retry_until}")
    return lines


def _original(report: Report, settings: ReportSettings, content: bytes | None) -> bytes:
    message = report.message
    headers_only = report.headers_only
    if settings.bounce_size_limit > 0 and message.size > settings.bounce_size_limit:
        headers_only = True
    undelivered = "Undelivered " if report.kind in (Kind.FAILURE, Kind.DELAY) else ""
    if message.smtputf8:
        kind = "message/global-headers" if headers_only else "message/global"
    else:
        kind = "text/rfc822-headers" if headers_only else "message/rfc822"
    head = _lines(
        [
            "",
            f"--{report.boundary}",
            f"Content-Description: {undelivered}{'Message Headers' if headers_only else 'Message'}",
            f"Content-Type: {kind}",
            *_encoding(settings),
            "",
        ]
    )
    if content is None:
        return head + b"\t--- Undelivered message unavailable ---\r\n"
    sender = quote_822(message.sender) if message.sender else "MAILER-DAEMON"
    head += _lines([f"Return-Path: <{sender}>"])
    return head + (_header_of(content) if headers_only else content)


def _header_of(content: bytes) -> bytes:
    end = 0
    for line in content.splitlines(keepends=True):
        if not _FIELD.match(line):
            break
        end += len(line)
    return content[:end]


def _encoding(settings: ReportSettings) -> list[str]:
    return [f"Content-Transfer-Encoding: {settings.mime_encoding}"] if settings.mime_encoding != "7bit" else []


def _address_type(address: str, message: QueuedMessage) -> str:
    return "utf-8" if message.smtputf8 and not address.isascii() else "rfc822"


def wrapped(text: str) -> list[str]:
    """Break between words at 79 columns; what follows is indented by four (line_wrap of Postfix)."""
    lines: list[str] = []
    room, indent, line = WIDTH, 0, ""
    for word in re.split(r"(?<=[ \t])(?=[^ \t])", text):
        if line and len(line) + len(word.rstrip()) > room:
            lines.append(" " * indent + line.rstrip())
            room, indent, line = WIDTH - INDENT, INDENT, word
        else:
            line += word
    lines.append(" " * indent + line.rstrip())
    return lines
