"""What came of a recipient on this host: deliveries and failures, mail to be forwarded, mail for another transport."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mta.delivery.request import Request
from mta.delivery.result import Action, Dsn, Status
from mta.queue.message import Notify, Recipient


@dataclass(frozen=True, slots=True)
class Step:
    """One delivery that was tried: a line of the log. An alias may lead to many."""

    address: str
    """The recipient that it was for in the end."""
    status: Status
    dsn: str
    reason: str
    action: str = ""
    """What a delivery status notification calls it; empty: what the status says."""
    detail: str = ""
    """What a command said: Diagnostic-Code of type x-unix."""

    @classmethod
    def of(cls, address: str, dsn: str, reason: str, action: str = "", detail: str = "") -> Step:
        """The status follows from the code."""
        status = {"2": Status.SENT, "4": Status.DEFERRED}.get(dsn[0], Status.BOUNCED)
        return cls(address, status, dsn, reason, action, detail)

    def as_dsn(self) -> Dsn:
        action = Action(self.action) if self.action else None
        return Dsn(
            self.dsn, self.reason, diag_type="x-unix" if self.detail else "", diag_text=self.detail, action=action
        )


@dataclass(frozen=True, slots=True)
class Forward:
    """A new message with the same content: what an alias or a .forward file names beyond this agent."""

    sender: str
    delivered: str
    """For its Delivered-To header; empty: none."""
    recipients: Sequence[Recipient]
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Handover:
    """The rest is another transport's: `transport:nexthop` of mailbox_transport and its kin."""

    target: str
    address: str


@dataclass(slots=True)
class Report:
    """Everything that came of one recipient of a request."""

    position: int
    steps: list[Step] = field(default_factory=list)
    forwards: list[Forward] = field(default_factory=list)
    handovers: list[Handover] = field(default_factory=list)
    expanded: str = ""
    """`expanded` or `delivered`: an alias was expanded, and its sender wants to know (RFC 3461 section 5.2.7)."""


class Deliverer(Protocol):
    """local(8), virtual(8) or pipe(8), in this process or behind a socket."""

    async def reports(self, request: Request) -> list[Report]:
        """One report for each recipient. Raises OSError, ConnectionError, EOFError where it is behind a socket."""


def to_wire(report: Report) -> dict[str, Any]:
    """For JSON."""
    return dataclasses.asdict(report)


def from_wire(told: Mapping[str, Any]) -> Report:
    """The reverse of `to_wire`."""
    return Report(
        told["position"],
        [Step(**{**step, "status": Status(step["status"])}) for step in told["steps"]],
        [Forward(**{**forward, "recipients": _recipients(forward["recipients"])}) for forward in told["forwards"]],
        [Handover(**handover) for handover in told["handovers"]],
        told["expanded"],
    )


def _recipients(told: Sequence[Mapping[str, Any]]) -> list[Recipient]:
    return [Recipient(**{**recipient, "notify": Notify(recipient["notify"])}) for recipient in told]
