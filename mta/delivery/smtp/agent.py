"""smtp(8) and lmtp(8) as delivery agents."""

from __future__ import annotations

import asyncio
import logging

from mta.delivery.request import Request
from mta.delivery.result import Dsn, Result, log_result
from mta.delivery.smtp.client import Client, Tools
from mta.delivery.smtp.delivery import Delivery
from mta.delivery.smtp.pool import Pool
from mta.delivery.smtp.settings import ClientSettings
from mta.queue.errors import QueueError
from mta.tables import TableError


class SmtpAgent:
    """A service of master.cf whose command is smtp or lmtp."""

    def __init__(self, settings: ClientSettings, tools: Tools) -> None:
        logger = logging.getLogger(f"postfix.{settings.prefix}")
        self.client = Client(settings, tools, Pool(settings.cache_time_limit), logger)

    async def deliver(self, request: Request) -> list[Result]:
        """See mta.delivery.request.Agent."""
        delivery, logger = Delivery(self.client, request), self.client.logger
        try:
            await delivery.run()
        except asyncio.CancelledError:
            raise
        except QueueError as error:
            delivery.fail_rest(Dsn("4.3.0", f"mail queue read error: {error}"))
        except TableError as error:
            logger.warning("%s: %s", request.message.queue_id, error)
            delivery.fail_rest(Dsn("4.3.0", "temporary lookup failure"))
        except Exception as error:
            # Mail is never lost for a fault of the program: it waits, and the log says why.
            logger.exception("%s: internal error", request.message.queue_id)
            delivery.fail_rest(Dsn("4.3.0", f"internal error: {type(error).__name__}"))
        return [await self._told(request, result) for result in delivery.results]

    async def _told(self, request: Request, result: Result) -> Result:
        """The result as it is to be, with its line in the log."""
        if self.client.tools.status_filter is not None:
            result = await self.client.tools.status_filter.apply(result)
        log_result(self.client.logger, request.message, result, result.times.done)
        return result

    async def close(self) -> None:
        await self.client.pool.close()
