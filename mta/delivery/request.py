"""What the queue manager asks of a delivery agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from mta.delivery.result import Dsn, Result, Status, Times
from mta.queue.message import QueuedMessage, QueuedRecipient


@dataclass(slots=True)
class Request:
    """Some recipients of one message that share transport and next hop."""

    message: QueuedMessage
    recipients: Sequence[QueuedRecipient]
    read_content: Callable[[], bytes]
    """Headers and body, CRLF, not dot-stuffed. Raises MessageCorrupt or QueueError."""
    nexthop: str
    """As resolved: `example.com`, `[host]:port`, `unix:/path`, text of an error: destination ..."""
    times: Times
    more_to_come: Callable[[], bool] = lambda: False
    """Asked at the end: does more go to the same next hop, so that the connection is worth keeping?"""

    def all_same(self, status: Status, dsn: Dsn, relay: str = "none", *, site_failure: bool = False) -> list[Result]:
        """One fate for every recipient."""
        failure = dsn if site_failure else None
        return [Result(recipient, status, dsn, relay, self.times, failure) for recipient in self.recipients]


class Agent(Protocol):
    """A delivery agent. It lives as long as its process."""

    async def deliver(self, request: Request) -> list[Result]:
        """One result for each recipient of the request, in any order. Raises nothing but CancelledError."""

    async def close(self) -> None:
        """Let go of idle connections."""
