"""A message as filters see it and as they leave it: recipients, sender, content, and milter_header_checks."""

from __future__ import annotations

import contextlib
from dataclasses import replace

from mta.address import AddressError, extract_address
from mta.message import Cleanup
from mta.message.checks import Findings, check_added
from mta.message.expansion import redirected
from mta.milter.edits import Edits
from mta.queue import NewMessage, Notify


def edits_of(message: NewMessage, trace: bytes, cleanup: Cleanup, context: str) -> tuple[Edits, Findings]:
    """What filters work on. They are not shown our own Received header, `trace`; what they add to the header goes
    through milter_header_checks, whose decisions about the message as a whole are the findings."""
    start, findings = message.content.find(trace), Findings()
    edits = Edits(
        message.content,
        message.sender,
        [recipient.address for recipient in message.recipients],
        start + len(trace) if start >= 0 else 0,
    )
    checks = cleanup.rules.checks
    if checks.milter_header is not None:
        edits.check = lambda text: check_added(checks, text, findings, context)
    return edits, findings


async def changed(message: NewMessage, edits: Edits, findings: Findings, cleanup: Cleanup) -> NewMessage | None:
    """The message with all changes; None where it is discarded, or nobody is left to get it. Raises Rejected."""
    if findings.rejected is not None:
        raise findings.rejected
    if findings.discard:
        return None
    gone = {internal(address).lower() for address in edits.removed}
    kept = [each for each in message.recipients if not {each.address.lower(), each.original.lower()} & gone]
    for address, parameters in edits.added:
        kept += await cleanup.further_recipients([internal(address)], _notify(parameters))
    kept += await cleanup.further_recipients(findings.bcc) if findings.bcc else []
    if findings.redirect:
        kept = redirected(kept[:1], cleanup.rules.rewrite(findings.redirect))
    if not kept:
        return None
    return replace(
        message,
        content=edits.content,
        sender=message.sender if edits.new_sender is None else internal(edits.new_sender),
        recipients=kept,
        hold=message.hold or edits.hold or findings.hold,
        filter=findings.filter or message.filter,
    )


def internal(address: str) -> str:
    """An address in internal form; what cannot be read stays as it is."""
    try:
        return extract_address(f"<{address}>", allow_empty=True)
    except AddressError:
        return address


def _notify(parameters: str) -> Notify:
    """NOTIFY= among the parameters that a filter gives a recipient; what it gets wrong is left out."""
    for word in parameters.split():
        name, _, value = word.partition("=")
        if name.upper() == "NOTIFY":
            with contextlib.suppress(ValueError):
                return Notify.parse(value)
    return Notify.DEFAULT
