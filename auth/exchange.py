"""Drives one SASL mechanism: answers its questions from the request, the databases and the client."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from .authenticator import Authenticator, Result, describe
from .mechanisms import Environment, MechanismEntry, Refused
from .mechanisms.steps import (
    ActAs,
    Anonymous,
    Certificate,
    Challenge,
    Credentials,
    Done,
    Identify,
    Initial,
    Question,
    VerifyPassword,
    VerifyToken,
)
from .request import AuthRequest, BadUsername

log = logging.getLogger("dovecot.auth")

TOKEN_REFUSED = '{"status":"401","schemes":"bearer","scope":"mail"}'  # noqa: S105 - an answer, no secret
"""What a client with a bad token is told (RFC 7628 section 3.2.2), in Dovecot's wording."""

AskClient = Callable[[bytes], Awaitable[bytes]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended. ``result`` tells the passdbs' last word, ``data`` the mechanism's last message."""

    success: bool
    result: Result
    data: bytes = b""


class Exchange:
    """One authentication from its first to its last message."""

    def __init__(self, authenticator: Authenticator, request: AuthRequest, ask_client: AskClient) -> None:
        self._authenticator = authenticator
        self._request = request
        self._ask_client = ask_client
        self._result = Result.UNKNOWN
        self.password_sum = 0

    async def run(self, entry: MechanismEntry, environment: Environment, initial: bytes | None) -> Outcome:
        """Run the mechanism to its end."""
        self._initial = initial
        steps = entry.start(environment)
        answer: bytes | str | None = None
        started = False
        try:
            while True:
                question = steps.send(answer) if started else next(steps)
                started = True
                answer = await self._answer(question)
        except StopIteration as stop:
            done: Done = stop.value
        except (Refused, BadUsername) as error:
            log.info("%s: %s", describe(self._request), error)
            return Outcome(False, self._result)
        finally:
            steps.close()
        if self._request.failed:
            log.info("%s: authentication succeeded, but no passdb made it a success", describe(self._request))
            return Outcome(False, self._result)
        return Outcome(True, Result.OK, done.data)

    async def _answer(self, question: Question) -> bytes | str | None:
        request = self._request
        match question:
            case Initial():
                return self._initial
            case Challenge(data):
                return await self._ask_client(data)
            case Identify(user):
                request.set_user(user)
                return request.original_user
            case ActAs(user):
                request.set_login_user(user)
            case VerifyPassword(password):
                self.password_sum = hash((request.user, password)) & 0xFFFFFFFF
                self._settle(await self._authenticator.verify(request, password))
            case Credentials(scheme, realm):
                result, found = await self._authenticator.credentials(request, scheme, realm)
                self._settle(result)
                return found
            case Certificate():
                self._check_certificate()
            case Anonymous(trace):
                log.info("%s: anonymous login: %r", describe(request), trace[:80])
                request.user = request.settings.anonymous_username
                self._result = Result.OK
            case VerifyToken():
                # No oauth2 passdb is configured: there is nobody who could vouch for the token.
                return TOKEN_REFUSED
        return None

    def _settle(self, result: Result) -> None:
        self._result = result
        if result is not Result.OK:
            raise Refused(result.value)

    def _check_certificate(self) -> None:
        request = self._request
        if not request.parameters.valid_client_cert:
            raise Refused("no client certificate")
        if request.user is None:
            raise Refused("username not known")
        request.password_verified = True


def environment_of(authenticator: Authenticator, nonce: Callable[[int], bytes]) -> Environment:
    """The mechanisms' view of this server."""
    settings = authenticator.settings
    return Environment(settings.hostname, settings.realms, nonce, lambda: int(time.time()))
