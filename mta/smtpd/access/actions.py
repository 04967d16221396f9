"""access(5) results: what a table or a policy server answers, carried out."""

from __future__ import annotations

import logging
import re
from typing import Final

from mta.smtpd.access.check import PERMIT, Check, Stage, Verdict
from mta.smtpd.replies import Reply

log = logging.getLogger("postfix.smtpd")

_STATUS: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")
_CODE: Final = re.compile(r"([45]\d\d)\s+(.*)$", re.DOTALL)
_HEADER: Final = re.compile(r"[!-9;-~]+\s*:")
CLASS_DEPTH: Final = 100
"""Restrictions that lead to restrictions: deeper is a loop."""


def split_status(text: str, default: str) -> tuple[str, str]:
    """An enhanced status code at the start of a text, or the default, and the rest."""
    match = _STATUS.match(text)
    return (match[1], text[match.end() :]) if match else (default, text)


async def obey(check: Check, value: str, source: str) -> Verdict:
    """The verdict of a table entry; `source` names the table in warnings."""
    value = value.strip()
    word, _, argument = value.partition(" ")
    action, argument = word.upper(), argument.strip()
    codes = check.access.codes
    if match := _CODE.match(value):
        code = int(match[1])
        status, text = split_status(match[2], f"{code // 100}.7.1")
        return check.refuse(code, status, text or "Access denied")
    match action:
        case "REJECT":
            status, text = split_status(argument, "5.7.1")
            return check.refuse(codes.access_map_reject, status, text or "Access denied")
        case "DEFER":
            status, text = split_status(argument, "4.7.1")
            return check.refuse(codes.access_map_defer, status, text or "Access denied")
        case "DEFER_IF_PERMIT" | "DEFER_IF_REJECT":
            return _defer(check, action, argument)
        case "OK":
            return PERMIT
        case "DUNNO" | "":
            return None
        case _ if word.isascii() and word.isdigit() and not argument:
            return PERMIT
    if action in _SIDE_ACTIONS:
        return _note(check, action, argument)
    return await _restrictions(check, value, source)


def _defer(check: Check, action: str, argument: str) -> Verdict:
    status, text = split_status(argument, "4.7.1")
    reason = f"<{check.subject}>: {check.title} rejected: {text or 'Service unavailable'}"
    if action == "DEFER_IF_PERMIT":
        check.defer_later(status, reason, check.access.codes.access_map_defer)
    elif check.defer_if_reject is None and not check.warn_only:
        check.defer_if_reject = Reply(check.access.codes.access_map_defer, status, reason)
    return None


_SIDE_ACTIONS: Final = frozenset({"HOLD", "DISCARD", "FILTER", "REDIRECT", "BCC", "PREPEND", "WARN", "INFO"})


def _note(check: Check, action: str, argument: str) -> Verdict:
    """Actions that accept or refuse nothing, but change what becomes of the message."""
    actions = check.transaction.actions
    text = f"<{check.subject}>: {check.title} {argument or 'triggers ' + action + ' action'}"
    if check.warn_only and action not in ("WARN", "INFO"):
        check.log(f"{action.lower()}_warning", text)
        return None
    match action:
        case "WARN":
            check.log("warn", text)
        case "INFO":
            check.log("info", text)
        case "HOLD":
            actions.hold = True
        case "DISCARD":
            actions.discard = True
        case "FILTER" if ":" in argument:
            actions.filter = argument
        case "REDIRECT" if "@" in argument:
            actions.redirect = argument
        case "BCC" if "@" in argument:
            actions.bcc[:] = [argument]
        case "PREPEND" if _HEADER.match(argument) and check.stage is not Stage.END_OF_DATA:
            actions.prepend.append(argument)
        case _:
            log.warning("access table: %s action without a usable argument: %s", action, argument)
            return None
    if action not in ("WARN", "INFO"):
        check.log(action.lower(), text)
    return None


async def _restrictions(check: Check, value: str, source: str) -> Verdict:
    """The entry is a list of restrictions or the name of a class."""
    from mta.smtpd.access.lists import BadRestriction

    access = check.access
    if check.depth >= CLASS_DEPTH:
        log.warning("%s: unreasonable restriction nesting: %s", source, value)
        return check.reject(451, "4.3.5", "Server configuration error")
    try:
        steps = access.steps_of(value, check.stage)
    except BadRestriction as problem:
        log.warning("%s: %s", source, problem)
        return check.reject(451, "4.3.5", "Server configuration error")
    check.depth += 1
    try:
        return await access.run(steps, check)
    finally:
        check.depth -= 1
