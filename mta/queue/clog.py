"""Warns of a destination that takes up more and more of the active queue (qmgr(8), qmgr_clog_warn_time)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

from mta.queue.destinations import Destination
from mta.queue.settings import ManagerSettings
from mta.queue.transport import Transport

logger = logging.getLogger("postfix.qmgr")

SHARE: Final = 5
"""A fifth of the active queue is worth a warning."""
NEARLY_ALL: Final = 0.9


def warn(
    transport: Transport[Any], destination: Destination[Any], active: int, settings: ManagerSettings, now: float
) -> None:
    """`active`: messages in the active queue. At most one warning in qmgr_clog_warn_time for each destination."""
    length = destination.count + destination.busy
    if not settings.clog_warn or length <= settings.active_limit / SHARE or now < destination.next_warning:
        return
    destination.next_warning = now + settings.clog_warn
    logger.warning("mail for %s is using up %d of %d active queue entries", destination.nexthop, length, active)
    share = length / max(active, 1)
    if share < NEARLY_ALL:
        logger.warning("this may slow down other mail deliveries")
    for line in _advice(transport, destination, share, settings):
        logger.warning("%s", line)
    logger.warning("please avoid flushing the whole queue when you have")
    logger.warning("lots of deferred mail, that is bad for performance")
    logger.warning("to turn off these warnings specify: qmgr_clog_warn_time = 0")


def _advice(
    transport: Transport[Any], destination: Destination[Any], share: float, settings: ManagerSettings
) -> Iterator[str]:
    limit, name = destination.settings.concurrency_limit, transport.name
    if 0 < limit <= destination.busy + 1:
        yield f"you may need to increase the main.cf {name}_destination_concurrency_limit from {limit}"
    elif destination.window > settings.active_limit * share:
        yield f"you may need to increase the main.cf qmgr_message_active_limit from {settings.active_limit}"
    elif len(transport) > 1:
        yield f"you may need a separate master.cf transport for {destination.nexthop}"
    else:
        yield f"you may need to reduce {name} connect and helo timeouts"
        yield "so that Postfix quickly skips unavailable hosts"
        yield "you may need to increase the main.cf minimal_backoff_time and maximal_backoff_time"
        yield "so that Postfix wastes less time on undeliverable mail"
        yield f"you may need to increase the master.cf {name} process limit"
