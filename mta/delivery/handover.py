"""local(8) and virtual(8) as far as they pass mail on: mailbox_transport, fallback_transport, virtual mailboxes.

A mailbox format of its own is not written here: mailboxes belong to the store, which takes mail by LMTP.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from mta.delivery.request import Agent, Request
from mta.delivery.result import Dsn, Result, Status, log_result


def split_transport(text: str) -> tuple[str, str]:
    """`lmtp:unix:/path` -> ("lmtp", "unix:/path"); the next hop may be empty (transport(5))."""
    transport, _, nexthop = text.partition(":")
    return transport, nexthop


class HandoverAgent:
    """Passes every recipient to another transport, or defers where none is configured."""

    def __init__(
        self,
        name: str,
        target: str,
        find: Callable[[str], Agent],
        parameter: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`target`: the value of `parameter`, `transport:nexthop` or empty; `find` knows agents by transport."""
        self._transport, self._nexthop = split_transport(target)
        self._find = find
        self._parameter = parameter
        self._clock = clock
        self._logger = logging.getLogger(f"postfix.{name}")

    async def deliver(self, request: Request) -> list[Result]:
        if self._transport:
            agent = self._find(self._transport)
            if agent is not self:
                return await agent.deliver(replace(request, nexthop=self._nexthop or request.nexthop))
        reason = f"mail system configuration error: no mailbox delivery here, set {self._parameter}"
        results = request.all_same(Status.DEFERRED, Dsn("4.3.5", reason))
        for result in results:
            log_result(self._logger, request.message, result, self._clock())
        return results

    async def close(self) -> None:
        return
