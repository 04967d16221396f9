"""smtp_delivery_status_filter and its kin: another status or text for what became of a delivery (postconf(5))."""

from __future__ import annotations

import logging
from dataclasses import replace

from mta.delivery.result import Result, Status
from mta.delivery.simple import split_any_status
from mta.tables import Maps, TableError

logger = logging.getLogger("postfix.dsn_filter")


class StatusFilter:
    """Tables that know `X.Y.Z text` by its whole; a success stays one, and so does a failure (dsn_filter(3))."""

    def __init__(self, maps: Maps) -> None:
        self._maps = maps

    async def apply(self, result: Result) -> Result:
        """The result as the tables want it; as it was where they say nothing, or what cannot be."""
        dsn = result.dsn
        try:
            value = await self._maps.lookup(f"{dsn.status} {dsn.reason}")
        except TableError as error:
            logger.warning("%s", error)
            return result
        if value is None:
            return result
        status, reason = split_any_status(value)
        if not status or (status[0] == "2") != (dsn.status[0] == "2"):
            logger.warning("%s: bad result for '%s %s': '%s'", self._maps.title, dsn.status, dsn.reason, value)
            return result
        kind = {"2": Status.SENT, "4": Status.DEFERRED}.get(status[0], Status.BOUNCED)
        site = result.site_failure if kind is Status.DEFERRED else None
        return replace(result, status=kind, dsn=replace(dsn, status=status, reason=reason), site_failure=site)
