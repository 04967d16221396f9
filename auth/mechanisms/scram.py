"""SCRAM-SHA-1 and SCRAM-SHA-256 (RFC 5802, RFC 7677), and with channel binding their -PLUS forms."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

from auth.schemes.sasl import ScramKeys, parse_scram

from .steps import (
    ActAs,
    Binding,
    Challenge,
    Credentials,
    Done,
    Environment,
    Identify,
    Refused,
    Steps,
    as_bytes,
    first_response,
    text,
)

BINDINGS = ("tls-exporter", "tls-unique")
"""Kinds of channel binding (RFC 9266, RFC 5929) that a front-end may have data of."""

_NAME_ESCAPE = re.compile("=(2C|3D)?")
NONCE_OCTETS = 18
"""Random octets of the server's part of the nonce."""


def scram(name: str, algorithm: str, *, plus: bool = False) -> Callable[[Environment], Steps]:
    """The mechanism ``name`` over the hash ``algorithm``; ``plus``: bound to the TLS session it runs in."""

    def start(environment: Environment) -> Steps:
        message = yield from first_response()
        header, authzid, user, rest = _client_first(text(message))
        kind = _binding_kind(header, plus=plus, offered=environment.binds)
        yield Identify(user)
        if authzid is not None:
            yield ActAs(authzid)
        if not rest or not rest[0].startswith("r="):
            raise Refused("invalid client nonce")
        client_nonce = rest[0][2:]
        bare = text(message)[len(header) :]
        stored = as_bytes((yield Credentials(name)))
        if not stored:
            raise Refused("no credentials")
        keys = parse_scram(stored.decode(), algorithm)
        nonce = client_nonce + base64.b64encode(environment.nonce(NONCE_OCTETS)).decode()
        server_first = f"r={nonce},s={base64.b64encode(keys.salt).decode()},i={keys.rounds}"
        response = as_bytes((yield Challenge(server_first.encode("utf-8", "surrogateescape"), kind)))
        bound = header.encode("utf-8", "surrogateescape")
        if kind:
            data = yield Binding()
            if not data:
                raise Refused(f"no {kind} channel binding data")
            bound += as_bytes(data)
        without_proof, proof = _client_final(text(response), bound, nonce)
        signed = f"{bare},{server_first},{without_proof}".encode("utf-8", "surrogateescape")
        _check_proof(keys, algorithm, signed, proof)
        signature = hmac.digest(keys.server_key, signed, algorithm)
        return Done(b"v=" + base64.b64encode(signature))

    return start


def _client_first(message: str) -> tuple[str, str | None, str, list[str]]:
    """GS2 header, authorization identity (None: none), user, and the fields behind it (RFC 5802 section 7)."""
    fields = message.split(",")
    if len(fields) < 4:
        raise Refused("invalid initial client message")
    flag, authzid = fields[0], fields[1]
    if flag not in ("n", "y") and not flag.startswith("p="):
        raise Refused("invalid GS2 header")
    if authzid and not authzid.startswith("a="):
        raise Refused("invalid authzid field")
    if fields[2].startswith("m="):
        raise Refused("mandatory extensions not supported")
    if not fields[2].startswith("n="):
        raise Refused("invalid username field")
    acts_as = _name(authzid[2:]) if authzid else None
    return f"{flag},{authzid},", acts_as, _name(fields[2][2:]), fields[3:]


def _name(escaped: str) -> str:
    """A saslname: ``=2C`` is a comma, ``=3D`` an equals sign, any other ``=`` an error."""

    def replace(match: re.Match[str]) -> str:
        if match[1] is None:
            raise Refused("username contains forbidden '='")
        return "," if match[1] == "2C" else "="

    return _NAME_ESCAPE.sub(replace, escaped)


def _binding_kind(header: str, *, plus: bool, offered: bool) -> str:
    """The kind of channel binding that the GS2 header names, "" for none. Raises Refused where it does not fit."""
    flag = header.partition(",")[0]
    if not plus:
        if flag.startswith("p="):
            raise Refused("channel binding not supported")
        if flag == "y" and offered:
            raise Refused("the client was offered channel binding and has not heard of it: downgrade")
        return ""
    if flag.removeprefix("p=") not in BINDINGS:
        raise Refused(f"no channel binding known here: {flag[:40]!r}")
    return flag.removeprefix("p=")


def _client_final(message: str, bound: bytes, nonce: str) -> tuple[str, bytes]:
    """The message without its proof, and the proof."""
    fields = message.split(",")
    if len(fields) < 3:
        raise Refused("invalid final client message")
    binding = base64.b64encode(bound).decode()
    if not hmac.compare_digest(fields[0].encode("utf-8", "surrogateescape"), f"c={binding}".encode()):
        raise Refused("invalid channel binding data")
    given = fields[1].encode("utf-8", "surrogateescape")
    if not hmac.compare_digest(given, f"r={nonce}".encode("utf-8", "surrogateescape")):
        raise Refused("wrong nonce")
    if not fields[-1].startswith("p="):
        raise Refused("invalid client proof")
    try:
        proof = base64.b64decode(fields[-1][2:].encode("utf-8", "surrogateescape"), validate=True)
    except binascii.Error:
        raise Refused("invalid base64 encoding of the client proof") from None
    return ",".join(fields[:-1]), proof


def _check_proof(keys: ScramKeys, algorithm: str, signed: bytes, proof: bytes) -> None:
    signature = hmac.digest(keys.stored_key, signed, algorithm)
    if len(proof) != len(signature):
        raise Refused("invalid client proof")
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    if not hmac.compare_digest(hashlib.new(algorithm, client_key).digest(), keys.stored_key):
        raise Refused("password mismatch")
