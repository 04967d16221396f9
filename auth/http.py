"""A small HTTP client for the auth service: one request, one bounded answer, off the event loop."""

from __future__ import annotations

import asyncio
import base64
import http.client
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

THREADS = 8
"""Requests under way at once; further ones wait for their turn."""

BODY_MAX = 1 << 20
"""Octets of an answer that are read."""


class HttpError(Exception):
    """The server cannot be asked, or has not answered in HTTP; the text is for the log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server has said."""

    status: int
    body: bytes


class HttpClient:
    """Asks servers in threads; ``timeout`` is in seconds, for each wait of a request. Follows no redirection."""

    def __init__(self, timeout: float, *, context: ssl.SSLContext | None = None) -> None:
        self._timeout = timeout
        self._context = context or ssl.create_default_context()  # read now: later its files may be out of reach
        self._threads = ThreadPoolExecutor(THREADS, "http")

    async def ask(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One request; ``user:password@`` in the URL becomes an Authorization header. Raises HttpError."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._threads, self._ask, method, url, body, dict(headers))
        except (OSError, http.client.HTTPException, ValueError) as error:
            # What urlsplit and http.client say may quote the URL with its password: only the kind of error is told.
            text = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise HttpError(text) from None

    def close(self) -> None:
        """Let running requests end and start no more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, method: str, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        parts = urlsplit(url)
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.setdefault("Authorization", "Basic " + base64.b64encode(pair.encode()).decode())
        connection = self._connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(method, target, body or None, headers)
            response = connection.getresponse()
            return Answer(response.status, response.read(BODY_MAX))
        finally:
            connection.close()

    def _connection(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        if scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
        if scheme != "http":
            raise ValueError(f"unknown scheme {scheme}")
        return http.client.HTTPConnection(host, port, timeout=self._timeout)
