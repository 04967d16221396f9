"""OAUTHBEARER (RFC 7628) and XOAUTH2 (Google): a bearer token instead of a password."""

from __future__ import annotations

import json
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

_GS2 = re.compile(r"[ny](?:,(?:a=(?P<authzid>[^,]*))?)?(?:,|\Z)")
_ESCAPES = re.compile("=(2C|3D)?")

XOAUTH2_REFUSED = {"status": "401", "schemes": "bearer", "scope": "mail"}
"""What XOAUTH2 tells a client with a bad token, as Google's servers do."""

INVALID_TOKEN = {"status": "invalid_token"}
"""What OAUTHBEARER tells it (RFC 7628 section 3.2.2)."""

_BEARER = re.compile(r"bearer (?P<token>.+)\Z", re.IGNORECASE | re.DOTALL)


def oauthbearer(environment: Environment) -> Steps:
    """OAUTHBEARER: ``n,a=user,^Aauth=Bearer token^A^A``."""
    header, *fields = text((yield from first_response())).split("\x01")
    match = _GS2.match(header)
    if not match:
        raise Refused("invalid GS2 header")
    name = match["authzid"]
    return (yield from _finish(None if name is None else _unescaped(name), fields, INVALID_TOKEN))


def xoauth2(environment: Environment) -> Steps:
    """XOAUTH2: ``user=name^Aauth=Bearer token^A^A``; of several names the last one counts."""
    fields = text((yield from first_response())).split("\x01")
    names = [field[5:] for field in fields if field.startswith("user=")]
    return (yield from _finish(names[-1] if names else None, fields, XOAUTH2_REFUSED))


def _unescaped(name: str) -> str:
    """A saslname (RFC 5801 section 4). Raises Refused."""

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            raise Refused("username contains forbidden '='")
        return "," if match[1] == "2C" else "="

    return _ESCAPES.sub(replace, name)


def _finish(user: str | None, fields: list[str], refusal: dict[str, str]) -> Steps:
    given = next((field[5:] for field in fields if field.startswith("auth=")), None)
    bearer = _BEARER.match(given or "")
    if given is not None and not bearer:
        raise Refused("no bearer token")
    if user is None:
        raise Refused("missing username")
    yield Identify(user)
    if not bearer:
        raise Refused("missing token")
    provider = yield VerifyToken(bearer["token"])
    if provider is None:
        return Done()
    told = refusal | ({"openid-configuration": as_text(provider)} if provider else {})
    # RFC 7628 section 3.2.3: the client answers the error with a dummy response before the exchange fails.
    yield Challenge(json.dumps(told, separators=(",", ":")).encode())
    raise Refused("token refused")
