"""OAUTHBEARER (RFC 7628) and XOAUTH2 (Google): a bearer token instead of a password."""

from __future__ import annotations

import re

from .steps import (
    Challenge,
    Done,
    Environment,
    Identify,
    Refused,
    Steps,
    VerifyToken,
    as_text,
    first_response,
    text,
)

_GS2 = re.compile(r"(n|y),(?:a=([^,]*))?,\Z")
_BEARER = re.compile(r"bearer +(\S+)\Z", re.IGNORECASE)


def oauthbearer(environment: Environment) -> Steps:
    """OAUTHBEARER: ``n,a=user,^Aauth=Bearer token^A^A``."""
    parts = text((yield from first_response())).split("\x01")
    header = _GS2.match(parts[0])
    if not header:
        raise Refused("invalid GS2 header")
    user = (header[2] or "").replace("=2C", ",").replace("=3D", "=")
    return (yield from _finish(user, _token(parts[1:])))


def xoauth2(environment: Environment) -> Steps:
    """XOAUTH2: ``user=name^Aauth=Bearer token^A^A``."""
    parts = text((yield from first_response())).split("\x01")
    user = next((part[5:] for part in parts if part.startswith("user=")), "")
    return (yield from _finish(user, _token(parts)))


def _token(parts: list[str]) -> str:
    value = next((part[5:] for part in parts if part.startswith("auth=")), "")
    match = _BEARER.match(value)
    if not match:
        raise Refused("missing bearer token")
    return match[1]


def _finish(user: str, token: str) -> Steps:
    if not user:
        raise Refused("missing username")
    yield Identify(user)
    problem = yield VerifyToken(token)
    if problem is None:
        return Done()
    # RFC 7628 section 3.2.3: the client answers the error with a dummy response before the exchange fails.
    yield Challenge(as_text(problem).encode())
    raise Refused("token refused")
