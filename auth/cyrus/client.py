"""SASL for a server of our own that is told to use Cyrus SASL: the exchange runs here, the passwords are asked for."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from auth.authenticator import Authenticator
from auth.client import AuthFailed, AuthSuccess
from auth.exchange import AskClient, AskDatabase, Exchange, Outcome, environment_of
from auth.guard import Guard
from auth.hashing import FairPool, Hasher, Remembered
from auth.lockout import Lockouts
from auth.mechanisms import MECHANISMS
from auth.protocol import Mechanism, Parameters
from auth.request import AuthRequest
from auth.results import Result

from .smtpd_conf import CyrusSettings

OFFERED = ("SCRAM-SHA-256", "PLAIN", "LOGIN")
"""What saslauthd and sasldb can serve, the strongest first."""


class CyrusClient:
    """Answers as ``auth.client.AuthClient`` does. Raises BadArguments at creation for databases that cannot be."""

    def __init__(self, settings: CyrusSettings, service: str, realm: str) -> None:
        self._service = service
        self._settings = settings.auth_settings(realm)
        self._pool = FairPool()
        self._authenticator = Authenticator(self._settings, Hasher(self._pool, Remembered(0, 0)))
        self._environment = environment_of(self._authenticator, secrets.token_bytes)
        self._guard = Guard(Lockouts(address=0, account=0, seconds=0), None)
        self._mechanisms = [
            Mechanism(name, frozenset(MECHANISMS[name].flags))
            for name in OFFERED
            if self._authenticator.can(MECHANISMS[name].needs)
            and (not settings.mechanisms or name in settings.mechanisms)
        ]

    async def mechanisms(self) -> list[Mechanism]:
        """The mechanisms of mech_list that can be served."""
        return self._mechanisms

    async def authenticate(
        self,
        mechanism: str,
        initial_response: bytes | None,
        challenge: Callable[[bytes], Awaitable[bytes]],
        *,
        secured: str = "",
        local: tuple[str, int] | None = None,
        remote: tuple[str, int] | None = None,
        **_: Any,
    ) -> AuthSuccess:
        """One exchange. Raises AuthFailed, and whatever ``challenge`` raises."""
        if mechanism not in {known.name for known in self._mechanisms}:
            raise AuthFailed({"reason": "Unsupported authentication mechanism."})
        parameters = Parameters(service=self._service, final_resp_ok=False)
        parameters.secured = secured
        if local:
            parameters.lip, parameters.lport = local
        if remote:
            parameters.rip, parameters.rport = remote
        request = AuthRequest(self._settings, parameters, mechanism)
        entry = MECHANISMS[mechanism]
        exchange = Exchange(self._authenticator, self._guard, request, entry, self._environment, initial_response)
        step = exchange.advance()
        while True:
            match step:
                case AskClient():
                    step = exchange.respond(await challenge(step.challenge))
                case AskDatabase(question):
                    step = await exchange.lookup(question)
                case Outcome(success=True, data=data):
                    if data:
                        await challenge(data)  # the mechanism's last word; the client's answer is empty
                    return AuthSuccess(request.user or "", {}, data)
                case Outcome(result=result):
                    raise AuthFailed({"code": "temp_fail"} if result is Result.INTERNAL else {})

    async def close(self) -> None:
        """Give up the threads."""
        self._pool.close()
        self._authenticator.close()
