"""The texts of notifications: built in, or from bounce_template_file (bounce(5))."""

from __future__ import annotations

import enum
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

logger = logging.getLogger("postfix.bounce")

MAX_FILE: Final = 256 * 1024
"""Octets of a template file; real ones have a few pages."""


class Kind(enum.StrEnum):
    """Which notification; the template's class name."""

    FAILURE = "failure"
    DELAY = "delay"
    SUCCESS = "success"
    VERIFY = "verify"


@dataclass(frozen=True, slots=True)
class Template:
    """Headers and text of one kind, `$name` not yet expanded."""

    kind: Kind
    sender: str
    subject: str
    postmaster_subject: str
    text: tuple[str, ...]
    charset: str = "us-ascii"


_FROM: Final = "Mail Delivery System <MAILER-DAEMON>"
_GREETING: Final = "This is the mail system at host $myhostname."
_SIGNATURE: Final = " " * 19 + "The mail system"
_HELP: Final = (
    "For further assistance, please send mail to postmaster.",
    "",
    "If you do so, please include this problem report. You can",
    "delete your own text from the attached returned message.",
)

BUILT_IN: Final[Mapping[Kind, Template]] = {
    Kind.FAILURE: Template(
        Kind.FAILURE,
        _FROM,
        "Undelivered Mail Returned to Sender",
        "Postmaster Copy: Undelivered Mail",
        (
            _GREETING,
            "",
            "I'm sorry to have to inform you that your message could not",
            "be delivered to one or more recipients. It's attached below.",
            "",
            *_HELP,
            "",
            _SIGNATURE,
        ),
    ),
    Kind.DELAY: Template(
        Kind.DELAY,
        _FROM,
        "Delayed Mail (still being retried)",
        "Postmaster Warning: Delayed Mail",
        (
            _GREETING,
            "",
            "#" * 68,
            "# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #",
            "#" * 68,
            "",
            "Your message could not be delivered for more than $delay_warning_time_hours hour(s).",
            "It will be retried until it is $maximal_queue_lifetime_days day(s) old.",
            "",
            *_HELP,
            "",
            _SIGNATURE,
        ),
    ),
    Kind.SUCCESS: Template(
        Kind.SUCCESS,
        _FROM,
        "Successful Mail Delivery Report",
        "",
        (
            _GREETING,
            "",
            "Your message was successfully delivered to the destination(s)",
            "listed below. If the message was delivered to mailbox you will",
            "receive no further notifications. Otherwise you may still receive",
            "notifications of mail delivery errors from other systems.",
            "",
            _SIGNATURE,
        ),
    ),
    Kind.VERIFY: Template(
        Kind.VERIFY,
        _FROM,
        "Mail Delivery Status Report",
        "",
        (_GREETING, "", "Enclosed is the mail delivery report that you requested.", "", _SIGNATURE),
    ),
}

_DIVISORS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400, "weeks": 604800}
_TIMES: Final = ("delay_warning_time", "maximal_queue_lifetime")
_TIME_NAME: Final = re.compile(rf"\$\{{?({'|'.join(_TIMES)})_({'|'.join(_DIVISORS)})\}}?")
_HEADER: Final = re.compile(r"([A-Za-z-]+):[ \t]*(.*)")


def expand_times(text: str, seconds: Callable[[str], float]) -> str:
    """`$delay_warning_time_hours` and its like become numbers, rounded down (bounce(5)); `seconds` reads main.cf."""
    return _TIME_NAME.sub(lambda match: str(int(seconds(match[1]) // _DIVISORS[match[2]])), text)


def load(path: Path | None) -> dict[Kind, Template]:
    """The templates, with those of a file in place of the built-in ones; a bad one is logged and not used."""
    templates = dict(BUILT_IN)
    if path is None:
        return templates
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            text = file.read(MAX_FILE)
    except OSError as error:
        logger.warning("bounce_template_file %s: %s", path, error)
        return templates
    for name, lines in _blocks(text):
        kind = next((kind for kind in Kind if name == f"{kind}_template"), None)
        if kind is None:
            logger.warning("%s: unknown template name: %s -- ignoring this template", path, name)
            continue
        parsed = _parse(kind, lines)
        if parsed is None:
            logger.warning("%s: %s template has no text or a bad header -- ignoring this template", path, name)
            continue
        templates[kind] = parsed
    return templates


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """`name = <<EOF` ... `EOF`."""
    lines = iter(text.splitlines())
    for line in lines:
        match = re.match(r"\s*([A-Za-z_]+)\s*=\s*<<\s*([A-Za-z0-9]\S*)\s*\Z", line)
        if match is None:
            continue
        block = []
        for inner in lines:
            if inner == match[2]:
                break
            block.append(inner)
        yield match[1], block


def _parse(kind: Kind, lines: list[str]) -> Template | None:
    base = BUILT_IN[kind]
    headers: dict[str, str] = {}
    position = 0
    while position < len(lines) and (match := _HEADER.match(lines[position])):
        headers[match[1].lower()] = match[2].strip()
        position += 1
    if position < len(lines) and lines[position].strip():
        return None  # no empty line between headers and text
    text = lines[position + 1 :]
    charset = headers.get("charset", base.charset)
    if not text or (charset.lower() == "us-ascii" and not all(line.isascii() for line in text)):
        return None
    return Template(
        kind,
        headers.get("from", base.sender),
        headers.get("subject", base.subject),
        headers.get("postmaster-subject", base.postmaster_subject),
        tuple(text),
        charset,
    )
