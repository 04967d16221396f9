"""Log-ins that a server refused for good (smtp_sasl_auth_cache_name): not tried again with the same password."""

from __future__ import annotations

import hashlib
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from mta.delivery.result import Dsn
from mta.delivery.smtp.sasl import Credentials

REFUSALS_MAX: Final = 1000
"""Whatever was refused longest ago is forgotten."""


class Refusals:
    """By server, user name and password; of these only a keyed hash is kept, in memory."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.time) -> None:
        """`seconds`: how long a refusal counts (smtp_sasl_auth_cache_time)."""
        self._seconds = seconds
        self._clock = clock
        self._secret = os.urandom(32)
        self._refusals: OrderedDict[bytes, tuple[float, Dsn]] = OrderedDict()

    def find(self, host: str, credentials: Credentials) -> Dsn | None:
        """What the server said to this password, as it is to be told now; None if it may be tried."""
        since, dsn = self._refusals.get(self._key(host, credentials)) or (0.0, None)
        if dsn is None or not 0 <= self._clock() - since < self._seconds:
            return None
        reason = f"SASL [CACHED] authentication failed; server {host} said: {dsn.diag_text}"
        return dsn.with_reason(reason)

    def note(self, host: str, credentials: Credentials, dsn: Dsn) -> None:
        """The server has answered 535."""
        key = self._key(host, credentials)
        self._refusals[key] = (self._clock(), dsn)
        self._refusals.move_to_end(key)
        while len(self._refusals) > REFUSALS_MAX:
            self._refusals.popitem(last=False)

    def _key(self, host: str, credentials: Credentials) -> bytes:
        text = "\0".join((host, credentials.username, credentials.password)).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._secret).digest()
