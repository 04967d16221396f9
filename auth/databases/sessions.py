"""Sessions with database servers: blocking drivers in threads, sessions kept, made anew when the server has gone."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from auth.hashing import Busy, FairPool

from .base import DatabaseError

log = logging.getLogger("dovecot.auth")

CONNECT_SECONDS = 5
"""Seconds for a server to accept a connection, Dovecot's default."""

ANSWER_SECONDS = 30
"""Seconds for one answer, Dovecot's default."""

PAUSE = 1.0
"""Seconds that a server which refused a connection is left alone."""

Question = TypeVar("Question", contravariant=True)
Answer = TypeVar("Answer", covariant=True)


class Gone(Exception):
    """The session is lost, or none could be had; another may do. Says why."""


class Refused(Exception):
    """The server answers, but not this question; the session stays good. Says why."""


class Session(Protocol[Question, Answer]):
    """One session with a server; blocking, used by one thread at a time."""

    def ask(self, question: Question) -> Answer:
        """One question. Raises Gone, Refused."""

    def close(self) -> None:
        """End it; must not wait for the server."""


class Sessions(Generic[Question, Answer]):
    """Up to ``limit`` sessions with whichever of the servers can be reached."""

    def __init__(self, name: str, openers: Sequence[Callable[[], Session[Question, Answer]]], limit: int) -> None:
        self._name = name
        self._openers = list(openers)
        self._threads = FairPool(limit, "database")
        self._lock = threading.Lock()
        self._idle: list[Session[Question, Answer]] = []
        self._retry_at = [0.0] * len(self._openers)
        self._first = 0

    async def ask(self, address: str, question: Question) -> Answer:
        """Ask when the client's address has its turn. Raises DatabaseError."""
        try:
            return await self._threads.run(address, lambda: self._ask(question))
        except (Gone, Refused, Busy) as error:
            raise DatabaseError(f"{self._name}: {error}") from None

    def close(self) -> None:
        """End the idle sessions and give up the threads."""
        self._threads.close()
        with self._lock:
            idle, self._idle = self._idle, []
        for session in idle:
            session.close()

    def _ask(self, question: Question) -> Answer:
        with self._lock:
            session = self._idle.pop() if self._idle else None
        if session is not None:
            # A kept session that the server closed in the meantime shows only now: then once more.
            with contextlib.suppress(Gone):
                return self._ask_on(session, question)
        return self._ask_on(self._open(), question)

    def _ask_on(self, session: Session[Question, Answer], question: Question) -> Answer:
        keep = False
        try:
            answer = session.ask(question)
            keep = True
        except Refused:
            keep = True
            raise
        finally:
            if keep:
                with self._lock:
                    self._idle.append(session)
            else:
                session.close()
        return answer

    def _open(self) -> Session[Question, Answer]:
        """A session with the first server in turn that grants one. Raises Gone."""
        reason = "all servers failed a moment ago"
        count = len(self._openers)
        with self._lock:
            order = [(self._first + n) % count for n in range(count)]
        for n in order:
            if time.monotonic() < self._retry_at[n]:
                continue
            try:
                session = self._openers[n]()
            except Gone as error:
                reason = str(error)
                log.warning("%s: %s", self._name, reason)
                with self._lock:
                    self._retry_at[n] = time.monotonic() + PAUSE
                    self._first = (n + 1) % count
                continue
            return session
        raise Gone(reason)
