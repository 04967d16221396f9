"""GSSAPI (RFC 4752): Kerberos 5, for authentication only, without a security layer of its own (TLS is there for it)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .steps import Authorize, Challenge, Done, Environment, Identify, Refused, Steps, as_bytes, first_response, text

NO_LAYER = b"\x01\0\0\0"
"""The only security layer offered: none, so the size of its messages is 0 (RFC 4752 section 3.2)."""


class Acceptor(Protocol):
    """A security context as the mechanism uses it; its methods raise an error that ``failure`` names."""

    def step(self, token: bytes) -> tuple[bytes, bool]: ...
    def client(self) -> str: ...
    def realm(self) -> str: ...
    def wrap(self, data: bytes) -> bytes: ...
    def unwrap(self, data: bytes) -> bytes: ...
    def close(self) -> None: ...


def gssapi(accept: Callable[[str, str], Acceptor], failure: type[Exception]) -> Callable[[Environment], Steps]:
    """The mechanism over a way to make acceptors from service and host name."""

    def start(environment: Environment) -> Steps:
        acceptor: Acceptor | None = None
        try:
            token = yield from first_response()
            acceptor = accept(_service(environment.service), environment.kerberos_hostname)
            while True:
                answer, complete = acceptor.step(token)
                if complete:
                    break
                token = as_bytes((yield Challenge(answer)))
            if answer:
                yield Challenge(answer)
            chosen = acceptor.unwrap(as_bytes((yield Challenge(acceptor.wrap(NO_LAYER)))))
            if len(chosen) < len(NO_LAYER) or chosen[0] != NO_LAYER[0]:
                raise Refused("the client wants a security layer")
            principal, wanted = acceptor.client(), text(chosen[len(NO_LAYER) :])
            yield Identify(wanted or principal)
            yield Authorize(principal, acceptor.realm())
        except failure as error:
            raise Refused(str(error)) from None
        finally:
            if acceptor is not None:
                acceptor.close()
        return Done()

    return start


def _service(name: str) -> str:
    """The service's name in Kerberos (POP3 is ``pop`` there, RFC 5034 section 5)."""
    return {"pop3": "pop"}.get(name.lower(), name.lower())
