"""The queue manager's side of local(8), virtual(8) and pipe(8): reports become results, log lines and new messages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from mta.delivery.host.forwarder import Forwarder
from mta.delivery.host.report import Deliverer, Report, Step
from mta.delivery.host.split import split_transport
from mta.delivery.request import Agent, Request
from mta.delivery.result import UNAVAILABLE, Action, Dsn, Result, Status, log_result
from mta.delivery.statusfilter import StatusFilter
from mta.message import Rejected
from mta.queue.errors import QueueError
from mta.queue.message import QueuedRecipient
from mta.tables import TableError


@dataclass(slots=True)
class HostAgent:
    """One service of master.cf."""

    name: str
    """Its relay= in the log."""
    program: str
    """local, virtual or pipe"""
    deliverer: Deliverer
    find: Callable[[str], Agent]
    """Agents by transport, for mailbox_transport and its kin."""
    forwarder: Forwarder
    clock: Callable[[], float] = time.time
    status_filter: StatusFilter | None = None
    """local_delivery_status_filter and its kin."""

    @property
    def _logger(self) -> logging.Logger:
        return logging.getLogger(f"postfix.{self.program}")

    async def deliver(self, request: Request) -> list[Result]:
        """See mta.delivery.request.Agent."""
        try:
            reports = {report.position: report for report in await self.deliverer.reports(request)}
        except QueueError as error:
            return self._all_deferred(request, f"mail queue read error: {error}")
        except (OSError, EOFError) as error:
            self._logger.warning("%s: %s", self.name, str(error) or type(error).__name__)
            return self._all_deferred(request, UNAVAILABLE, site=True)
        except Exception as error:
            # Mail is never lost for a fault of the program: it waits, and the log says why.
            self._logger.exception("%s: internal error", request.message.queue_id)
            return self._all_deferred(request, f"internal error: {type(error).__name__}")
        results = []
        for recipient in request.recipients:
            report = reports.get(recipient.position) or Report(recipient.position)
            results.append(await self._result(request, recipient, report))
        return results

    def _all_deferred(self, request: Request, reason: str, *, site: bool = False) -> list[Result]:
        results = request.all_same(Status.DEFERRED, Dsn("4.3.0", reason), self.name, site_failure=site)
        for result in results:
            log_result(self._logger, request.message, result, self.clock())
        return results

    async def _result(self, request: Request, recipient: QueuedRecipient, report: Report) -> Result:
        """What all the steps come to: one that waits makes the recipient wait, else one that failed is told."""
        results = [await self._told(request, recipient, step) for step in report.steps]
        for handover in report.handovers:
            results += await self._pass_on(request, recipient, handover.target, handover.address)
        if not any(result.status is Status.DEFERRED for result in results):
            for step in await self._forward(request, recipient, report):
                results.append(await self._told(request, recipient, step))
        if not results:
            self._logger.warning("%s: nothing came of %s", request.message.queue_id, recipient.recipient.address)
            step = Step.of(recipient.recipient.address, "2.0.0", "duplicate suppressed")
            results.append(self._as_result(request, recipient, step))
        return _together(recipient, results, report.expanded)

    async def _told(self, request: Request, recipient: QueuedRecipient, step: Step) -> Result:
        """One step as a result, with its line in the log."""
        result = self._as_result(request, recipient, step)
        if self.status_filter is not None:
            result = await self.status_filter.apply(result)
        log_result(self._logger, request.message, result, self.clock())
        return result

    def _as_result(self, request: Request, recipient: QueuedRecipient, step: Step) -> Result:
        shown = replace(recipient, recipient=replace(recipient.recipient, address=step.address))
        return Result(shown, step.status, step.as_dsn(), self.name, replace(request.times, done=self.clock()))

    async def _pass_on(self, request: Request, recipient: QueuedRecipient, target: str, address: str) -> list[Result]:
        transport, nexthop = split_transport(target)
        agent = self.find(transport)
        one = replace(recipient, recipient=replace(recipient.recipient, address=address))
        return await agent.deliver(
            replace(request, recipients=[one], nexthop=nexthop or request.nexthop, times=replace(request.times))
        )

    async def _forward(self, request: Request, recipient: QueuedRecipient, report: Report) -> Sequence[Step]:
        address, steps = recipient.recipient.address, []
        for forward in report.forwards:
            try:
                queue_id = await self.forwarder.forward(request.message, request.read_content(), forward)
                steps.append(Step.of(address, "2.0.0", f"forwarded as {queue_id}", str(Action.RELAYED)))
            except Rejected as error:
                steps.append(Step.of(address, error.status, error.text))
            except (QueueError, TableError) as error:
                self._logger.warning("%s: %s", request.message.queue_id, error)
                steps.append(Step.of(address, "4.3.0", "unable to forward message"))
        return steps

    async def close(self) -> None:
        """Nothing is kept open."""


def _together(recipient: QueuedRecipient, results: Sequence[Result], expanded: str) -> Result:
    """One result for the queue, with all failures in it."""
    for status in (Status.DEFERRED, Status.BOUNCED):
        found = [_of(recipient, result) for result in results if result.status is status]
        if found:
            return replace(found[0], more=tuple(found[1:]))
    first = replace(results[0], recipient=recipient)
    if expanded:
        return replace(first, dsn=Dsn("2.0.0", "alias expanded", action=Action(expanded)))
    return first


def _of(recipient: QueuedRecipient, result: Result) -> Result:
    """A result of the recipient that the queue knows, with whom it was for in the end."""
    address = result.recipient.recipient.address
    return replace(result, recipient=recipient, final=address if address != recipient.recipient.address else "")
