"""What tables behind database servers share: several hosts, one kept connection, back-off while a host is down."""

import asyncio
import logging
import random
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from mta.tables.base import Table, TableError

log = logging.getLogger("postfix.tables")

# How long a server may take to accept a connection and log us in, in seconds.
CONNECT_TIMEOUT = 10.0
# How long a server may take for one answer, in seconds, where the table's settings do not tell.
ANSWER_TIMEOUT = 30.0
# A host that failed is left alone for this long, in seconds, doubling from failure to failure. Postfix waits 60 s.
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
# A connection idle for longer is made again, in seconds: mysql_table(5) and pgsql_table(5) close it after a minute.
IDLE_LIMIT = 60.0

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class ServerGone(Exception):
    """The connection is lost or could not be made; another host, or a new connection, may do. Says why."""


class QueryRefused(Exception):
    """The server answers, but not this question (bad query, no permission). The connection stays good."""


class Connection(ABC, Generic[Request, Answer]):
    """One open connection to a server."""

    @abstractmethod
    async def ask(self, request: Request) -> Answer:
        """One question. Raises ServerGone, QueryRefused."""

    @abstractmethod
    async def aclose(self) -> None:
        """Say good-bye, if that takes no time, and close."""


class Host:
    """One of a table's servers, and when it may be tried again (time.monotonic())."""

    def __init__(self, name: str) -> None:
        self.name = name
        # For the log: a connection URI without the user and password in it.
        self.label = re.sub(r"//.*@", "//", name.partition("?")[0])
        self.retry_at = 0.0
        self._pause = FIRST_PAUSE

    @property
    def local(self) -> bool:
        """Whether it is reached over a unix socket: such hosts are tried first."""
        return self.name.startswith(("unix:", "/", "ldapi:"))

    def failed(self) -> None:
        """Leave it alone for a while, the longer the more often it failed."""
        self.retry_at = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def works(self) -> None:
        """Forget its failures."""
        self.retry_at, self._pause = 0.0, FIRST_PAUSE


class ServerTable(Table, Generic[Request, Answer]):
    """A table whose server is asked over one connection, kept open; one question at a time."""

    def __init__(self, name: str, hosts: Sequence[str], *, answer_timeout: float = ANSWER_TIMEOUT) -> None:
        super().__init__(name)
        self.hosts = [Host(host) for host in hosts]
        self.answer_timeout = answer_timeout
        self._connection: Connection[Request, Answer] | None = None
        self._host: Host | None = None
        self._used = 0.0
        self._turn = asyncio.Lock()

    @abstractmethod
    async def connect(self, host: str) -> Connection[Request, Answer]:
        """Connect and log in. Raises ServerGone, OSError."""

    async def ask(self, request: Request) -> Answer:
        """One question to whichever host answers. Raises TableError."""
        async with self._turn:
            while True:
                kept = await self._kept()
                connection = kept or await self._connect()
                try:
                    async with asyncio.timeout(self.answer_timeout):
                        answer = await connection.ask(request)
                except QueryRefused as error:
                    raise TableError(f"{self.name}: {error}") from error
                except TimeoutError as error:
                    await self._lost(f"no answer within {self.answer_timeout:g} seconds")
                    raise TableError(f"{self.name}: the server does not answer in time") from error
                except (ServerGone, OSError, EOFError) as error:
                    await self._lost("" if kept else str(error))
                    # A kept connection that the server closed in the meantime shows only now: then once more.
                    if not kept:
                        raise TableError(f"{self.name}: {error}") from error
                except BaseException:
                    # Also on cancellation: a half-read answer must never be taken for the next one's.
                    await self._lost("")
                    raise
                else:
                    self._used = time.monotonic()
                    return answer

    async def _kept(self) -> Connection[Request, Answer] | None:
        if self._connection is not None and time.monotonic() - self._used > IDLE_LIMIT:
            await self._lost("")
        return self._connection

    async def _connect(self) -> Connection[Request, Answer]:
        """A connection to the first host that takes one; those on this machine first, else in random order."""
        now, reason = time.monotonic(), "all servers failed a moment ago"
        ready = [host for host in self.hosts if host.retry_at <= now]
        for host in sorted(ready, key=lambda host: (not host.local, random.random())):  # noqa: S311 (spreads load)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT):
                    self._connection = await self.connect(host.name)
            except (ServerGone, OSError) as error:  # OSError: TimeoutError is one
                reason = str(error) or "no answer"
                log.warning("%s: connect to server %s: %s", self.name, host.label, reason)
                host.failed()
                continue
            host.works()
            self._host, self._used = host, now
            return self._connection
        raise TableError(f"{self.name}: no server can be reached: {reason}")

    async def _lost(self, reason: str) -> None:
        """Drop the connection; with a reason, its host is left alone for a while."""
        connection, self._connection = self._connection, None
        if reason and self._host is not None:
            log.warning("%s: server %s: %s", self.name, self._host.label, reason)
            self._host.failed()
        if connection is not None:
            await connection.aclose()

    async def aclose(self) -> None:
        await self._lost("")
