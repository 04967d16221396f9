"""error(8), retry and discard(8): the destinations where nothing is delivered."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Final

from mta.delivery.request import Request
from mta.delivery.result import Dsn, Result, Status, log_result

_DSN_PREFIX: Final = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s+|$)")


def split_status(text: str, default: str) -> tuple[str, str]:
    """`5.7.1 closed` -> ("5.7.1", "closed"); text without a code gets the default (error(8))."""
    match = _DSN_PREFIX.match(text)
    if match and match[1][0] == default[0]:
        return match[1], text[match.end() :] or text
    return default, text


def split_any_status(text: str) -> tuple[str, str]:
    """`4.7.1 later` -> ("4.7.1", "later"); ("", text) if it begins with no enhanced status code."""
    match = _DSN_PREFIX.match(text)
    return (match[1], text[match.end() :].strip()) if match else ("", text)


class ErrorAgent:
    """error(8): bounces with the next hop's text; as `retry` it defers."""

    def __init__(self, name: str, *, retry: bool = False, clock: Callable[[], float] = time.time) -> None:
        self._retry = retry
        self._clock = clock
        self._logger = logging.getLogger(f"postfix.{name}")

    async def deliver(self, request: Request) -> list[Result]:
        status, reason = split_status(request.nexthop, "4.0.0" if self._retry else "5.0.0")
        dsn = Dsn(status, reason)
        results = request.all_same(Status.DEFERRED if self._retry else Status.BOUNCED, dsn)
        for result in results:
            log_result(self._logger, request.message, result, self._clock())
        return results

    async def close(self) -> None:
        return


class DiscardAgent:
    """discard(8): says sent, and keeps nothing."""

    def __init__(self, name: str, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._logger = logging.getLogger(f"postfix.{name}")

    async def deliver(self, request: Request) -> list[Result]:
        dsn = Dsn("2.0.0", request.nexthop)
        results = request.all_same(Status.SENT, dsn)
        for result in results:
            log_result(self._logger, request.message, result, self._clock())
        return results

    async def close(self) -> None:
        return
