"""A message as it is handed to a mailbox, a file or a command (mail_copy(3))."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Final

from mta.address import quote_822

MAILER_DAEMON: Final = "MAILER-DAEMON"
_FROM: Final = re.compile(rb"(?m)^From ")
_DOT: Final = re.compile(rb"(?m)^\.")


@dataclass(frozen=True, slots=True)
class Form:
    """What is put before and around the message; the letters are those of pipe(8) flags."""

    flags: frozenset[str] = frozenset()
    """F From line, R Return-Path, O X-Original-To, D Delivered-To, > quoted From, . doubled dots, B blank line."""
    eol: bytes = b"\n"


MBOX: Final = Form(frozenset("FROD>B"))
MAILDIR: Final = Form(frozenset("ROD"))
COMMAND: Final = Form(frozenset("FROD"))


def without_delivered(form: Form) -> Form:
    """The same without Delivered-To (prepend_delivered_header)."""
    return Form(form.flags - {"D"}, form.eol)


def copied(content: bytes, form: Form, *, sender: str, original: str, delivered: str, now: float) -> bytes:
    """The octets to write. `content`: CRLF, not dot-stuffed; addresses in internal form."""
    flags, eol = form.flags, form.eol
    head = []
    if "F" in flags:
        head.append(f"From {quote_822(sender) if sender else MAILER_DAEMON}  {time.asctime(time.localtime(now))}")
    if "R" in flags:
        head.append(f"Return-Path: <{quote_822(sender) if sender else ''}>")
    if "O" in flags and original:
        head.append(f"X-Original-To: {quote_822(original)}")
    if "D" in flags:
        head.append(f"Delivered-To: {quote_822(delivered)}")
    body = content.replace(b"\r\n", b"\n")
    if body and not body.endswith(b"\n"):
        body += b"\n"
    if ">" in flags:
        body = _FROM.sub(b">From ", body)
    if "." in flags:
        body = _DOT.sub(b"..", body)
    if "B" in flags:
        body += b"\n"
    prefix = "".join(f"{line}\n" for line in head).encode("utf-8", "surrogateescape")
    octets = prefix + body
    return octets if eol == b"\n" else octets.replace(b"\n", eol)
