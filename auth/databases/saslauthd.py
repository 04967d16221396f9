"""saslauthd as a passdb: a running saslauthd, ours or Cyrus SASL's, checks the password. args: its socket."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from auth.cyrus import mux
from auth.request import AuthRequest
from auth.results import Result

from .base import BadArguments, DatabaseError, PassDatabase, Verdict

Run = Callable[[str, Callable[[], bool]], Awaitable[bool]]
"""Runs a blocking call in a thread when the client's address has its turn."""


class SaslauthdPassdb(PassDatabase):
    """It checks passwords; nothing can be looked up."""

    driver = "saslauthd"
    can_lookup = False
    verifies = True

    def __init__(self, args: str, run: Run) -> None:
        super().__init__("PLAIN")
        if not args.startswith("/"):
            raise BadArguments("saslauthd: args must be the path of its socket, such as /run/saslauthd/mux")
        self._path = args
        self._run = run

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        # libsasl2 sends what follows the last @ as the realm (lib/checkpw.c).
        user = request.user or ""
        login, at, realm = user.rpartition("@")
        login, realm = (login, realm) if at else (user, "")
        parts = [part.encode("utf-8", "surrogateescape") for part in (login, request.parameters.service or "", realm)]
        question = mux.Request(parts[0], password, parts[1], parts[2])
        try:
            good = await self._run(request.parameters.rip, lambda: mux.ask(self._path, question))
        except mux.MuxUnavailable as error:
            raise DatabaseError(f"saslauthd: {error}") from None
        except mux.MuxError:
            good = False  # longer than saslauthd takes
        return Verdict(Result.OK if good else Result.MISMATCH)
