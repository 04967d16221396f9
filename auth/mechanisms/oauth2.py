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
    first_response,
    text,
)

_GS2 = re.compile(r"(n|y),(?:a=([^,]*))?,\Z")
INVALID_TOKEN = '{"status":"invalid_token"}'  # noqa: S105 - an answer, no secret
"""What OAUTHBEARER tells a client with a bad token (RFC 7628 section 3.2.2)."""

XOAUTH2_REFUSED = '{"status":"401","schemes":"bearer","scope":"mail"}'
"""What XOAUTH2 tells it, as Google's servers do."""

_BEARER = re.compile(r"bearer +(\S+)\Z", re.IGNORECASE)


def oauthbearer(environment: Environment) -> Steps:
    """OAUTHBEARER: ``n,a=user,^Aauth=Bearer token^A^A``."""
    parts = text((yield from first_response())).split("\x01")
    header = _GS2.match(parts[0])
    if not header:
        raise Refused("invalid GS2 header")
    user = (header[2] or "").replace("=2C", ",").replace("=3D", "=")
    return (yield from _finish(user, _token(parts[1:]), INVALID_TOKEN))


def xoauth2(environment: Environment) -> Steps:
    """XOAUTH2: ``user=name^Aauth=Bearer token^A^A``."""
    parts = text((yield from first_response())).split("\x01")
    user = next((part[5:] for part in parts if part.startswith("user=")), "")
    return (yield from _finish(user, _token(parts), XOAUTH2_REFUSED))


def _token(parts: list[str]) -> str:
    value = next((part[5:] for part in parts if part.startswith("auth=")), "")
    match = _BEARER.match(value)
    if not match:
        raise Refused("missing bearer token")
    return match[1]


def _finish(user: str, token: str, refusal: str) -> Steps:
    if not user:
        raise Refused("missing username")
    yield Identify(user)
    problem = yield VerifyToken(token)
    if problem is None:
        return Done()
    # RFC 7628 section 3.2.3: the client answers the error with a dummy response before the exchange fails.
    yield Challenge(refusal.encode())
    raise Refused("token refused")
