"""OTP (RFC 2444): the password before the last one of a chain, which then becomes the last."""

from __future__ import annotations

from auth.schemes import otp
from auth.schemes.errors import SchemeError

from .steps import (
    Challenge,
    Credentials,
    Done,
    Environment,
    Identify,
    Refused,
    Steps,
    Store,
    as_bytes,
    first_response,
    text,
)

_READERS = {"hex": otp.from_hex, "word": otp.from_words}


def one_time_password(environment: Environment) -> Steps:
    """OTP. The authorization identity is not looked at, as in Dovecot. While one exchange of a user is under way there
    is no other: two clients could use the same password (RFC 2444 section 7)."""
    parts = (yield from first_response()).split(b"\0")
    if len(parts) != 2:
        raise Refused("invalid input")
    yield Identify(text(parts[1]))
    name = text(parts[1])
    held = environment.one_time_users
    if name in held:
        raise Refused("another exchange of the user is under way")
    held.add(name)
    try:
        chain = otp.parse(text(as_bytes((yield Credentials("OTP")))))
        if chain.sequence <= 1:
            raise Refused("the chain is used up")
        challenge = f"otp-{chain.algorithm} {chain.sequence - 1} {chain.seed} ext"
        response = text(as_bytes((yield Challenge(challenge.encode()))))
        yield Store("OTP", _next(chain, response).text())
    except SchemeError as error:
        raise Refused(str(error)) from None
    finally:
        held.discard(name)
    return Done()


def _next(chain: otp.Chain, response: str) -> otp.Chain:
    """The chain after a right response: one step on, or the new one the client begins. Raises Refused, SchemeError."""
    kind, colon, rest = response.partition(":")
    begins = kind.startswith("init-")
    reader = _READERS.get(kind.removeprefix("init-"))
    if reader is None or not colon:
        raise Refused("unsupported response type")
    current, *new = rest.split(":")
    password = reader(current)
    if len(new) != (2 if begins else 0):
        raise Refused("invalid response")
    if not chain.takes(password):
        raise Refused("wrong one-time password")
    if begins:
        return otp.parse_new(new[0], reader(new[1]))
    return otp.Chain(chain.algorithm, chain.sequence - 1, chain.seed, password)
