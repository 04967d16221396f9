"""TLS sessions of a client, kept in memory by server and resumed (RFC 5077, RFC 8446 section 2.2).

    sessions = Sessions(seconds=3600)
    context = sessions.offering(context, key)    # in place of the context, for one connection
    ... handshake, something read ...
    sessions.remember(key, ssl_object)

They hold secrets, so they are written nowhere: a new process begins anew.
"""

from __future__ import annotations

import ssl
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

SESSIONS_MAX: Final = 1000
"""A session with a certificate chain is some kilobytes; whoever was not met for longest is forgotten."""


class Sessions:
    """One for each kind of client: what was agreed with a server holds for all who would agree on the same."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`seconds`: how long a session may be resumed."""
        self._seconds = seconds
        self._clock = clock
        self._sessions: OrderedDict[Hashable, tuple[float, ssl.SSLContext, ssl.SSLSession]] = OrderedDict()

    def offering(self, context: ssl.SSLContext, key: Hashable) -> ssl.SSLContext:
        """A context for one connection, which offers the server to resume; the context itself if there is nothing."""
        since, same, session = self._sessions.get(key) or (0.0, None, None)
        if session is None or same is not context or self._clock() - since >= self._seconds:
            return context
        offering = _Offering(ssl.PROTOCOL_TLS_CLIENT)
        offering.context, offering.session = context, session
        return offering

    def remember(self, key: Hashable, connection: ssl.SSLObject) -> None:
        """What the server let us have so far; in TLS 1.3 tickets come with its first words after the handshake."""
        context, session = connection.context, connection.session
        if session is None or (connection.version() == "TLSv1.3" and not session.has_ticket):
            return
        if connection.session_reused and key in self._sessions and connection.version() != "TLSv1.3":
            return  # it is as old as it was
        self._sessions[key] = (self._clock(), context, session)
        self._sessions.move_to_end(key)
        while len(self._sessions) > SESSIONS_MAX:
            self._sessions.popitem(last=False)


class _Offering(ssl.SSLContext):
    """Event loops ask a context for a connection and have no word for a session."""

    context: ssl.SSLContext
    session: ssl.SSLSession

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        return self.context.wrap_bio(incoming, outgoing, server_side, server_hostname, self.session)
