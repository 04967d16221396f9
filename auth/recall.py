"""Log-ins answered from memory: the replies to requests that have succeeded lately.

A reply is remembered only if the same request would bring it again: the databases' answers stand in the cache
(auth_cache_size) or in files that have not changed, and nothing in it depends on where the client comes from.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from .cache import Kept
from .penalty import Penalties
from .protocol.wire import text_of
from .request import AuthRequest

REPLY_OCTETS = 300
"""A longer reply is not remembered."""

ENTRY_OCTETS = REPLY_OCTETS + 200
"""What one takes in memory at most, about, to turn auth_cache_size into a number of them."""

PASSING = frozenset(b"lip rip lport rport real_lip real_rip real_lport real_rport local_name session client_id".split())
"""Parameters of AUTH that tell one log-in of a user from the next."""


@dataclass(frozen=True, slots=True)
class _Reply:
    reply: bytes
    until: float
    answers: tuple[Kept, ...]
    """Those of the databases that it rests on: they take part in its success."""


class Recall:
    """Replies by a keyed digest of the request; passwords are not kept. ``stamp`` tells by a new value that the
    databases have changed; times are in seconds."""

    def __init__(
        self,
        octets: int,
        ttl: float,
        stamp: Callable[[], object],
        penalties: Penalties,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = octets // ENTRY_OCTETS
        self._ttl = ttl
        self.stamp = stamp
        self._stamped: object = None
        self._penalties = penalties
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, _Reply] = OrderedDict()

    @property
    def enabled(self) -> bool:
        """Whether anything is kept."""
        return self._limit > 0

    def reply(self, request: bytes) -> bytes | None:
        """What follows OK and the number in the reply to a request, of which ``request`` is what follows AUTH and the
        number. None: it has to be looked into. A client that has to wait for its turn (penalties) gets None, too."""
        digest, address = self._digest(request)
        kept = self._kept.get(digest)
        if kept is None or self._clock() >= kept.until or self._changed() or self._penalties.counts(address):
            return None
        for answer in kept.answers:
            answer.succeeded = True
        return kept.reply

    def keep(self, request: bytes, reply: bytes, found: AuthRequest, stamp: object) -> None:
        """Remember a reply of success. ``found`` is the request once more, as it came to that; ``stamp`` that of the
        time before the databases were asked."""
        now = self._clock()
        until = min(found.known_until, now + self._ttl)
        if not self.enabled or until <= now or len(reply) > REPLY_OCTETS:
            return
        digest, _ = self._digest(request)
        if not digest:
            return
        self._changed()
        if stamp != self._stamped:
            return
        self._kept.pop(digest, None)
        while len(self._kept) >= self._limit:
            self._kept.popitem(last=False)
        self._kept[digest] = _Reply(reply, until, tuple(found.kept))

    def _changed(self) -> bool:
        """Whether the databases have changed since the last look: then nothing that is known holds any more."""
        stamp = self.stamp()
        if stamp == self._stamped:
            return False
        self._stamped = stamp
        self._kept.clear()
        return True

    def _digest(self, request: bytes) -> tuple[bytes, str]:
        """What stands for all that a reply depends on, and the client's address; b"" for requests of other forms."""
        words = request.split(b"\t")
        if words[0] != b"PLAIN" or not words[-1].startswith(b"resp=") or b"\x01" in request:
            return b"", ""
        address = b""
        kept = []
        for word in words:
            name, _, value = word.partition(b"=")
            if name not in PASSING:
                kept.append(word)
            elif name == b"rip":
                address = value
        return hashlib.blake2b(b"\t".join(kept), digest_size=32, key=self._secret).digest(), text_of(address)
