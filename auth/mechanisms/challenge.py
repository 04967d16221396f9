"""CRAM-MD5 (RFC 2195) and APOP (RFC 1939): a keyed digest over the server's challenge."""

from __future__ import annotations

import hashlib
import hmac

from auth.schemes.sasl import CONTEXT_OCTETS, cram_digest

from .steps import Challenge, Credentials, Done, Environment, Identify, Initial, Refused, Steps, as_bytes, text


def cram_md5(environment: Environment) -> Steps:
    """CRAM-MD5: ``user SP hexadecimal HMAC-MD5 of the challenge``. An initial response is dropped."""
    yield Initial()
    unique = int.from_bytes(environment.nonce(8), "big")
    challenge = f"<{unique:016d}.{environment.now()}@{environment.hostname}>".encode()
    response = as_bytes((yield Challenge(challenge)))
    user, space, digest = response.rpartition(b" ")
    if not space or not user:
        raise Refused("missing digest")
    yield Identify(text(user))
    context = as_bytes((yield Credentials("CRAM-MD5")))
    if len(context) != CONTEXT_OCTETS:
        raise Refused("no credentials")
    if not hmac.compare_digest(cram_digest(context, challenge), digest):
        raise Refused("password mismatch")
    return Done()


def apop(environment: Environment) -> Steps:
    """APOP as the POP3 server hands it over: ``challenge NUL user NUL 16 octets of digest`` in the initial response."""
    initial = yield Initial()
    parts = (initial if isinstance(initial, bytes) else b"").split(b"\0", 2)
    if len(parts) != 3 or len(parts[2]) != 16:
        raise Refused("malformed APOP data")
    challenge, user, digest = parts
    if not challenge.startswith(environment.issuer.encode()):
        raise Refused("the challenge was not made on this connection")  # a digest that was seen elsewhere
    yield Identify(text(user))
    password = as_bytes((yield Credentials("PLAIN")))
    expected = hashlib.md5(challenge + password, usedforsecurity=False).digest()
    if not hmac.compare_digest(expected, digest):
        raise Refused("password mismatch")
    return Done()
