"""How a delivery attempt ended for one recipient, and the line that tells it in the log."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field, replace
from typing import Final

from mta.address import quote_822
from mta.queue.message import QueuedMessage, QueuedRecipient

UNAVAILABLE: Final = "mail transport unavailable"
"""Reason of a site failure that is one of the whole transport: nobody is there to deliver."""


class Status(enum.StrEnum):
    """The word behind `status=`."""

    SENT = "sent"
    DEFERRED = "deferred"
    BOUNCED = "bounced"


class Action(enum.StrEnum):
    """RFC 3464 section 2.3.3."""

    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    DELAYED = "delayed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Dsn:
    """Status and reason of a failure or success, with what a delivery status notification wants to know."""

    status: str
    """Enhanced status code, `5.1.1` (RFC 3463)."""
    reason: str
    """For people and the log; one line."""
    mta_type: str = ""
    mta_name: str = ""
    """Remote-MTA: `dns`, name; empty when the failure is our own."""
    diag_type: str = ""
    diag_text: str = ""
    """Diagnostic-Code: `smtp`, the reply as received."""
    action: Action | None = None
    """None: what the status says (delivered, failed or delayed)."""
    delegated: bool = False
    """The next server understands DSN: telling the sender of success is now its business (RFC 3461 section 5.2.2)."""

    @property
    def soft(self) -> bool:
        return self.status.startswith("4")

    def with_status(self, status: str) -> Dsn:
        return replace(self, status=status)

    def with_reason(self, reason: str) -> Dsn:
        return replace(self, reason=reason)


@dataclass(slots=True)
class Times:
    """When a delivery passed its stages; seconds since the epoch, 0 for not reached (postconf(5) delay_logging)."""

    arrival: float
    active: float = 0.0
    handoff: float = 0.0
    connected: float = 0.0
    done: float = 0.0
    reuse: int = 0
    """How many deliveries the connection had carried before."""

    def text(self, now: float) -> str:
        """`delay=0.1, delays=0.02/0/0.03/0.05`: before the queue manager, in it, connecting, transmitting."""
        end = self.done or now
        before = (self.active or end) - self.arrival
        inside = connect = transmit = 0.0
        if self.active:
            inside = (self.handoff or end) - self.active
            if self.handoff:
                connect = self.connected - self.handoff if self.connected else 0.0
                transmit = end - (self.connected or self.handoff)
        figures = "/".join(_figure(value) for value in (before, inside, connect, transmit))
        return f"delay={_figure(end - self.arrival)}, delays={figures}"


SIGNIFICANT_DIGITS = 2
MAX_DECIMALS = 2
"""delay_logging_resolution_limit"""
SHORTEST = 0.005
"""What is shorter rounds to nothing."""


def _figure(seconds: float) -> str:
    """Two significant digits, but no finer than a hundredth; whole seconds from ten on."""
    if seconds < SHORTEST:
        return "0"
    if seconds >= 10 ** (SIGNIFICANT_DIGITS - 1):
        return str(round(seconds))
    decimals = 1 if seconds >= 1 else MAX_DECIMALS
    # 0.1 and more have two significant digits at two decimals; below, the limit of resolution holds.
    return f"{seconds:.{decimals}f}".rstrip("0").rstrip(".") or "0"


@dataclass(slots=True)
class Result:
    """One recipient's."""

    recipient: QueuedRecipient
    status: Status
    dsn: Dsn
    relay: str = "none"
    times: Times = field(default_factory=lambda: Times(0.0))
    site_failure: Dsn | None = None
    """Set if the destination as a whole did not work: it counts against its concurrency, and may be declared dead."""
    final: str = ""
    """The recipient that an alias led to, if that is who failed."""
    more: tuple[Result, ...] = ()
    """Others whom the same alias led to, and who failed too."""

    @property
    def action(self) -> Action:
        if self.dsn.action is not None:
            return self.dsn.action
        return {Status.DEFERRED: Action.DELAYED, Status.BOUNCED: Action.FAILED}.get(self.status, Action.DELIVERED)


def log_result(logger: logging.Logger, message: QueuedMessage, result: Result, now: float) -> None:
    """The line that every Postfix administrator greps for."""
    recipient = result.recipient.recipient
    original = ""
    if recipient.original and recipient.original.casefold() != recipient.address.casefold():
        original = f", orig_to=<{quote_822(recipient.original)}>"
    use = f", conn_use={result.times.reuse + 1}" if result.times.reuse else ""
    status: str = result.status
    if message.is_probe:
        status = "deliverable" if result.status is Status.SENT else "undeliverable"
    logger.info(
        "%s: to=<%s>%s, relay=%s%s, %s, dsn=%s, status=%s (%s)",
        message.queue_id,
        quote_822(recipient.address),
        original,
        result.relay,
        use,
        result.times.text(now),
        result.dsn.status,
        status,
        result.dsn.reason,
    )
