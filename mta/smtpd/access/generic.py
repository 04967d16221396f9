"""Restrictions that fit any list."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from mta.smtpd.access.check import PERMIT, Check, Verdict
from mta.smtpd.access.lists import BadRestriction
from mta.smtpd.arguments import is_digits
from mta.smtpd.replies import Reply

if TYPE_CHECKING:
    from mta.smtpd.access.engine import Access

LONGEST_SLEEP: Final = 3600
"""Seconds; the client has given up long before."""


async def permit(check: Check) -> Verdict:
    return PERMIT


async def reject(check: Check) -> Verdict:
    return check.refuse(check.access.codes.reject, "5.7.1", "Access denied")


async def defer(check: Check) -> Verdict:
    return check.refuse(check.access.codes.defer, "4.3.2", "Try again later")


async def defer_if_permit(check: Check) -> Verdict:
    check.defer_later("4.7.0", f"<{check.subject}>: {check.title} rejected: defer_if_permit requested", 450)
    return None


async def defer_if_reject(check: Check) -> Verdict:
    text = f"<{check.subject}>: {check.title} rejected: defer_if_reject requested"
    if not check.warn_only and check.defer_if_reject is None:
        check.defer_if_reject = Reply(450, "4.7.0", text)
    return None


def parse_seconds(access: Access, argument: str) -> int:
    if not is_digits(argument, 4) or int(argument) > LONGEST_SLEEP:
        raise BadRestriction(f"sleep: bad number of seconds: {argument}")
    return int(argument)


async def sleep(check: Check, seconds: int) -> Verdict:
    await asyncio.sleep(seconds)
    return None


async def reject_unauth_pipelining(check: Check) -> Verdict:
    """The client talked ahead of replies that it must wait for (RFC 2920 section 3.1)."""
    if check.session.improper_pipelining:
        return check.refuse(503, "5.5.0", "Improper use of SMTP command pipelining")
    return None


async def reject_plaintext_session(check: Check) -> Verdict:
    if check.session.tls is None:
        return check.reject(check.access.codes.plaintext, "4.7.1", "Session encryption is required")
    return None
