"""Drives one SASL mechanism step by step: answers its questions from the request, the databases and the client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from .authenticator import Authenticator
from .guard import Guard
from .mechanisms import Environment, MechanismEntry, Refused
from .mechanisms.steps import (
    ActAs,
    Anonymous,
    Authorize,
    Binding,
    Certificate,
    Challenge,
    Credentials,
    Identify,
    Initial,
    Question,
    Store,
    VerifyPassword,
    VerifyToken,
)
from .request import AuthRequest, BadUsername, describe
from .results import Result

log = logging.getLogger("dovecot.auth")

Answer = bytes | str | None
DatabaseQuestion = VerifyPassword | Credentials | Store | VerifyToken | Authorize


@dataclass(frozen=True, slots=True)
class AskClient:
    """Send ``challenge`` to the client and go on with its response."""

    challenge: bytes
    binding: str = ""


@dataclass(frozen=True, slots=True)
class AskDatabase:
    """Ask the databases (``Exchange.lookup``) and go on with the answer."""

    question: DatabaseQuestion


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an exchange ended. ``result`` is the passdbs' last word, ``data`` the mechanism's last message."""

    success: bool
    result: Result
    data: bytes = b""


Next = AskClient | AskDatabase | Outcome


class Exchange:
    """One authentication. What needs neither client nor database happens at once, inside ``advance``."""

    def __init__(
        self,
        authenticator: Authenticator,
        guard: Guard,
        request: AuthRequest,
        entry: MechanismEntry,
        environment: Environment,
        initial: bytes | None,
    ) -> None:
        self.request = request
        self.password_sum = 0
        self.password = b""
        """What the client has sent for one, for the policy server's hash; never shown."""
        self._guard = guard
        self._authenticator = authenticator
        self._initial = initial
        self._result = Result.UNKNOWN
        self._steps = entry.start(environment)
        self._nuls = entry.nuls
        self._started = self._admitted = False
        self._binding: bytes | None = None

    def __repr__(self) -> str:
        return f"Exchange({self.request!r})"

    def advance(self, answer: Answer = None) -> Next:
        """Go on with the answer to what was asked last (none at first)."""
        try:
            while True:
                question = self._steps.send(answer) if self._started else next(self._steps)
                self._started = True
                match question:
                    case Challenge(data, binding):
                        return AskClient(data, binding)
                    case VerifyPassword() | Credentials() | Store() | VerifyToken() | Authorize():
                        return AskDatabase(question)
                answer = self._at_once(question)
        except StopIteration as stop:
            return self._done(stop.value.data)
        except (Refused, BadUsername) as error:
            return self._refused(str(error))

    def respond(self, data: bytes, binding: bytes | None = None) -> Next:
        """Go on with the client's response to a challenge, and the channel binding data that came along."""
        self._binding = binding
        try:
            return self.advance(self._said(data))
        except Refused as error:
            self._steps.close()
            return self._refused(str(error))

    def _said(self, data: bytes) -> bytes:
        """What the client has said. Raises Refused for a NUL that the mechanism has no use for."""
        if b"\0" in data and not self._nuls:
            raise Refused("Unexpected NUL in auth data")
        return data

    async def lookup(self, question: DatabaseQuestion) -> Next:
        """Ask the databases, then ``advance``."""
        request, authenticator = self.request, self._authenticator
        answer: Answer = None
        if isinstance(question, VerifyPassword):
            self.password = question.password
            self.password_sum = hash((request.user, question.password)) & 0xFFFFFFFF
        if not self._admitted and not await self._guard.admit(request, self.password):
            self._steps.close()
            return Outcome(False, Result.MISMATCH)
        self._admitted = True
        match question:
            case VerifyPassword(password):
                self._result = await authenticator.verify(request, password)
            case Authorize(principal, realm):
                self._result = await authenticator.authorize(request, principal, realm)
            case Store(scheme, text):
                self._result = await authenticator.store(request, scheme, text)
            case Credentials(scheme, suffix):
                self._result, answer = await authenticator.credentials(request, scheme, suffix)
            case VerifyToken(token):
                # Without an oauth2 passdb the token is a password like others, as Dovecot has it.
                self._result = await authenticator.verify(request, token.encode("utf-8", "surrogateescape"))
                if self._result not in (Result.OK, Result.INTERNAL):
                    return self.advance(request.openid_configuration)
        if self._result is not Result.OK:
            self._steps.close()  # the databases have already told the log why
            return Outcome(False, self._result)
        return self.advance(answer)

    def _at_once(self, question: Question) -> Answer:
        request = self.request
        match question:
            case Initial():
                return None if self._initial is None else self._said(self._initial)
            case Binding():
                return self._binding
            case Identify(user):
                request.set_user(user)
                return request.original_user
            case ActAs(user):
                request.set_login_user(user)
            case Certificate():
                self._check_certificate()
            case Anonymous(trace):
                log.info("%s: anonymous login: %r", describe(request), trace[:80])
                request.user = request.settings.anonymous_username
                self._result = Result.OK
        return None

    def _check_certificate(self) -> None:
        request = self.request
        if request.user is None:
            raise Refused("username not known")
        request.set_user("")  # the certificate's name, brought into the settings' form
        if not request.parameters.valid_client_cert:
            raise Refused("no valid client certificate")

    def _done(self, data: bytes) -> Outcome:
        if self.request.failed:
            return self._refused("authentication succeeded, but no passdb made it a success")
        return Outcome(True, Result.OK, data)

    def _refused(self, reason: str) -> Outcome:
        log.info("%s: %s", describe(self.request), reason)
        return Outcome(False, self._result)


def environment_of(authenticator: Authenticator, nonce: Callable[[int], bytes]) -> Environment:
    """The mechanisms' view of this server."""
    settings = authenticator.settings
    kerberos = settings.gssapi_hostname or settings.hostname
    return Environment(
        settings.hostname,
        settings.realms,
        nonce,
        lambda: int(time.time()),
        kerberos_hostname="" if kerberos == "$ALL" else kerberos,
    )
