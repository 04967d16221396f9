"""header_checks, mime_header_checks, nested_header_checks and body_checks: header_checks(5)'s actions on content."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from mta.message import mime
from mta.message.headers import Field
from mta.message.submission import Rejected
from mta.tables import TableError

log = logging.getLogger("postfix.cleanup")

Lookup = Callable[[str], Awaitable[str | None]]

MILTER_HEADER: Final = "milter-header"
_STATUS: Final = re.compile(r"([45]\.\d{1,3}\.\d{1,3})(?:\s+(.*))?$", re.DOTALL)
_HEADER_NAME: Final = re.compile(r"[!-9;-~]+\s*:")


@dataclass(slots=True)
class Findings:
    """What the checks decided about a message as a whole; the last FILTER and REDIRECT count."""

    hold: bool = False
    discard: bool = False
    filter: str = ""
    redirect: str = ""
    bcc: list[str] = field(default_factory=list)
    rejected: Rejected | None = None
    passed: bool = False
    """Nothing that follows is inspected."""


@dataclass(frozen=True, slots=True)
class Checks:
    """The configured tables; None where a list is empty. `body_limit`: octets of each part that body_checks sees."""

    header: Lookup | None = None
    mime_header: Lookup | None = None
    nested_header: Lookup | None = None
    body: Lookup | None = None
    milter_header: Lookup | None = None
    body_limit: int = 51200

    @property
    def look_inside(self) -> bool:
        """Whether the body has to be taken apart at all."""
        return self.mime_header is not None or self.nested_header is not None or self.body is not None


async def check_fields(checks: Checks, fields: list[Field], findings: Findings, context: str) -> list[Field]:
    """The primary header through header_checks, its MIME fields through mime_header_checks."""
    kept: list[Field] = []
    for each in fields:
        lookup = checks.mime_header if each.name in mime.MIME_FIELDS and checks.mime_header else checks.header
        if lookup is None or findings.passed:
            kept.append(each)
            continue
        kept += [_as_field(text) for text in await _apply(lookup, each.text, "header", findings, context)]
    return kept


async def check_added(checks: Checks, text: str, findings: Findings, context: str) -> list[str]:
    """A header field that a filter adds, through milter_header_checks: the fields that stand in its place."""
    assert checks.milter_header is not None
    return await _apply(checks.milter_header, text, MILTER_HEADER, findings, context)


async def check_body(checks: Checks, fields: list[Field], rest: bytes, findings: Findings, context: str) -> bytes:
    """What follows the primary header, part by part: headers of parts, of attached messages, and body lines."""
    output: list[bytes] = []
    seen = 0
    for piece in mime.walk(fields, rest):
        lookup: Lookup | None
        match piece.kind:
            case mime.Kind.EMPTY_LINE:
                output.append(piece.octets)
                continue
            case mime.Kind.BOUNDARY:
                seen = 0
                lookup, kind = checks.body, "body"
            case mime.Kind.MIME_HEADER:
                lookup, kind = checks.mime_header, "header"
            case mime.Kind.NESTED_HEADER:
                lookup, kind = checks.nested_header, "header"
            case _:
                lookup, kind = (checks.body if seen < checks.body_limit else None), "body"
                seen += len(piece.octets)
        if lookup is None or findings.passed:
            output.append(piece.octets)
            continue
        text = piece.octets.removesuffix(b"\r\n").replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape")
        for result in await _apply(lookup, text, kind, findings, context):
            output.append(result.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n")
    return b"".join(output)


def _as_field(text: str) -> Field:
    octets = text.replace("\n", "\r\n").encode("utf-8", "surrogateescape") + b"\r\n"
    return Field(octets.partition(b":")[0].strip().lower(), octets)


async def _apply(lookup: Lookup, text: str, kind: str, findings: Findings, context: str) -> list[str]:
    """The lines that stand in place of `text`. Raises Rejected only for a table that cannot answer."""
    try:
        result = await lookup(text)
    except TableError as error:
        log.warning("%s check lookup problem: %s", kind, error)
        raise Rejected(451, "4.3.0", "Error: queue file write error") from None
    if result is None:
        return [text]
    action, _, argument = result.strip().partition(" ")
    argument = argument.strip()
    return _obey(action.upper(), argument, text, kind, findings, context)


def _obey(action: str, argument: str, text: str, kind: str, findings: Findings, context: str) -> list[str]:
    """header_checks(5), section ACTIONS."""
    match action:
        case "DUNNO" | "OK":
            return [text]
        case "PASS":
            findings.passed = True
            _tell("pass", kind, text, context, argument)
        case "INFO" | "WARN":
            _tell("info" if action == "INFO" else "warning", kind, text, context, argument)
        case "REJECT":
            findings.rejected = findings.rejected or _rejection(argument)
            _tell("reject", kind, text, context, str(findings.rejected.text))
        case "DISCARD":
            findings.discard = True
            _tell("discard", kind, text, context, argument)
        case "HOLD":
            findings.hold = True
            _tell("hold", kind, text, context, argument)
        case "IGNORE" | "STRIP":
            if action == "STRIP":
                _tell("strip", kind, text, context, argument)
            return []
        case "REPLACE" if argument and (kind == "body" or _HEADER_NAME.match(argument)):
            _tell("replace", kind, text, context, argument)
            return [argument]
        case "PREPEND" if argument and (kind == "body" or _HEADER_NAME.match(argument)):
            _tell("prepend", kind, text, context, argument)
            return [argument, text]
        case "FILTER" if ":" in argument:
            findings.filter = argument
            _tell("filter", kind, text, context, argument)
        case "REDIRECT" if "@" in argument:
            findings.redirect = argument
            _tell("redirect", kind, text, context, argument)
        case "BCC" if "@" in argument:
            findings.bcc.append(argument)
            _tell("bcc", kind, text, context, argument)
        case _:
            log.warning("%s: unknown or incomplete action in %s check: %s %s", context, kind, action, argument)
    return [text]


def _rejection(argument: str) -> Rejected:
    match = _STATUS.match(argument)
    status, text = (match[1], match[2] or "") if match else ("5.7.1", argument)
    return Rejected(550 if status[0] == "5" else 451, status, text or "message content rejected")


def _tell(what: str, kind: str, text: str, context: str, detail: str) -> None:
    queue_id, _, sender = context.partition(" ")
    if kind == MILTER_HEADER:
        what, kind = f"{kind}-{what}", "header"
    line = re.sub(r"[^ -~]", "?", text.replace("\n", " "))
    log.info("%s: %s: %s %.200s from %s%s", queue_id, what, kind, line, sender, f": {detail}" if detail else "")
