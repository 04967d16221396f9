"""checkpassword: a program of the administrator's that checks names and passwords (wiki AuthDatabase/CheckPassword)."""

from __future__ import annotations

from auth.protocol.wire import unescape
from auth.request import AuthRequest
from auth.results import Result

from .base import UNKNOWN, BadArguments, DatabaseError, Entry, Pairs, PassDatabase, UserDatabase, Verdict
from .system import RESULTS, Ask

_VARIABLES = (
    "user", "username", "domain", "service", "lip", "rip", "lport", "rport", "session", "master_user", "login_user",
    "orig_user", "auth_user", "local_name", "mech", "secured", "cert",
)  # fmt: skip
"""Variables that the program sees as AUTH_*."""


class _Program:
    """The command, with ``%`` variables."""

    def __init__(self, args: str, ask: Ask) -> None:
        if not args:
            raise BadArguments("checkpassword: args must name the program")
        self._command = args
        self._ask = ask

    async def run(self, request: AuthRequest, password: bytes | None, **more: str) -> tuple[Result, list[str]]:
        """The result and the reply's words. Raises DatabaseError."""
        answer = await self._ask(
            request,
            {
                "ask": "checkpassword",
                "command": request.expand(self._command),
                "user": request.user,
                "password": None if password is None else password.decode("utf-8", "surrogateescape"),
                "environment": _environment(request) | more,
            },
        )
        words = [unescape(str(word)) for word in answer["fields"]]
        return RESULTS.get(str(answer["result"]), Result.INTERNAL), words


def _environment(request: AuthRequest) -> dict[str, str]:
    given = request.parameters
    found = {"PROTO": "TCP", "SERVICE": given.service or ""}
    for names, value in (
        (("TCPLOCALIP", "LOCAL_IP"), given.lip),
        (("TCPREMOTEIP", "REMOTE_IP"), given.rip),
        (("TCPLOCALPORT",), str(given.lport or "")),
        (("TCPREMOTEPORT",), str(given.rport or "")),
        (("MASTER_USER",), request.master_user or ""),
    ):
        if value:
            found |= dict.fromkeys(names, value)
    found |= {name.upper(): request.extra.get(name) or "1" for name in request.extra}
    found |= {f"AUTH_{name.upper()}": request.variable(name) or "" for name in _VARIABLES}
    return found


class CheckpasswordPassdb(PassDatabase):
    """The program checks; asked without a password it tells what it knows of the user."""

    driver = "checkpassword"
    verifies = True

    def __init__(self, args: str, ask: Ask) -> None:
        super().__init__("PLAIN")
        self._program = _Program(args, ask)

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        result, words = await self._program.run(request, password)
        return Verdict(result, [pair for pair in _pairs(words) if pair[0] != "password"])

    async def lookup(self, request: AuthRequest) -> Entry | Verdict:
        result, words = await self._program.run(request, None, CREDENTIALS_LOOKUP="1")
        if result is not Result.OK:
            return UNKNOWN
        pairs = _pairs(words)
        password = next((value for name, value in pairs if name == "password"), None)
        return Entry(password, [pair for pair in pairs if pair[0] != "password"])


class CheckpasswordUserdb(UserDatabase):
    """What the program tells of a user without a password."""

    driver = "checkpassword"

    def __init__(self, args: str, ask: Ask) -> None:
        self._program = _Program(args, ask)

    async def lookup(self, request: AuthRequest) -> Pairs | None:
        result, words = await self._program.run(request, None)
        if result is Result.INTERNAL:
            raise DatabaseError("checkpassword: the program failed")
        if result is not Result.OK:
            return None
        pairs = _pairs(words)
        return [(name.removeprefix("userdb_"), value) for name, value in pairs if name.startswith("userdb_")]


def _pairs(words: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (word.partition("=") for word in words) if name]
