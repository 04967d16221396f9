"""DIGEST-MD5 (RFC 2831), authentication only: no integrity or privacy layer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from .steps import ActAs, Challenge, Credentials, Done, Environment, Identify, Initial, Refused, Steps, as_bytes, text

NONCE_OCTETS = 16
SECRET_OCTETS = 16
"""Octets of MD5(user:realm:password)."""

MAX_CNONCE = 256
"""Characters of a client nonce; real ones have some forty."""

_PAIR = re.compile(r'[ \t]*([A-Za-z0-9-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^,"]*?))[ \t]*(?:,|\Z)', re.DOTALL)
_FIRST_USE = re.compile(r"0*1(?![0-9])")
"""The count of a nonce used for the first time; that it has eight digits (RFC 2831) is not insisted on."""

_URI = re.compile(r"[^/]*/.*\Z", re.DOTALL)


def digest_md5(environment: Environment) -> Steps:
    """DIGEST-MD5; an initial response (subsequent authentication) is not supported and dropped, as Dovecot does."""
    yield Initial()
    nonce = base64.b64encode(environment.nonce(NONCE_OCTETS)).decode()
    realms = environment.realms or ("",)
    named = [f'realm="{realm}"' for realm in realms]
    challenge = ",".join([*named, f'nonce="{nonce}"', 'qop="auth"', 'charset="utf-8"', 'algorithm="md5-sess"'])
    given = _parse(text(as_bytes((yield Challenge(challenge.encode())))))
    _check(given, nonce)
    user, realm = given["username"], given.get("realm", "")
    yield Identify(f"{user}@{realm}" if realm and "@" not in user else user)
    if given.get("authzid"):
        yield ActAs(given["authzid"])
    # A domain in the name is no realm: the secret is that of the whole name in the given realm.
    secret = as_bytes((yield Credentials("DIGEST-MD5", f"@{realm}" if "@" in user else "")))
    if len(secret) != SECRET_OCTETS:
        raise Refused("no credentials")
    if not hmac.compare_digest(_response(given, nonce, secret, "AUTHENTICATE"), given["response"].encode()):
        raise Refused("password mismatch")
    return Done(b"rspauth=" + _response(given, nonce, secret, ""))


def _parse(message: str) -> dict[str, str]:
    """The directives; names in lower case, each at most once where the RFC says so."""
    found: dict[str, str] = {}
    position = 0
    message = message.rstrip(", \t\r\n")
    while position < len(message):
        match = _PAIR.match(message, position)
        if not match:
            raise Refused("invalid input")
        name = match[1].lower()
        value = re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL) if match[2] is not None else match[3]
        if name in found:
            raise Refused(f"duplicate {name}")
        found[name] = value
        position = match.end()
    return found


def _check(given: dict[str, str], nonce: str) -> None:
    """Refuse what RFC 2831 section 2.1.2 and the challenge do not allow."""
    for name in ("username", "nonce", "cnonce", "response", "nc"):
        if not given.get(name):
            raise Refused(f"{name} is missing")
    if not hmac.compare_digest(given["nonce"].encode("utf-8", "surrogateescape"), nonce.encode()):
        raise Refused("invalid nonce")
    if not _FIRST_USE.match(given["nc"]):
        raise Refused("re-auth not supported")
    if not re.fullmatch(r"[0-9a-f]{32}", given["response"]):
        raise Refused("invalid response")
    if len(given["cnonce"]) > MAX_CNONCE:
        raise Refused("cnonce is too long")
    if given.get("qop", "auth") != "auth":
        raise Refused("unexpected qop")
    if not _URI.match(given.get("digest-uri", "")):
        raise Refused("invalid digest-uri")
    if given.get("charset", "utf-8").lower() != "utf-8":
        raise Refused("unsupported charset")
    if given.get("algorithm", "md5-sess").lower() != "md5-sess":
        raise Refused("unsupported algorithm")


def _response(given: dict[str, str], nonce: str, secret: bytes, method: str) -> bytes:
    """The response value, RFC 2831 section 2.1.2.1 (``method`` empty: the server's rspauth)."""

    def md5(data: bytes) -> bytes:
        return hashlib.md5(data, usedforsecurity=False).digest()

    def octets(value: str) -> bytes:
        return value.encode("utf-8", "surrogateescape")

    a1 = secret + octets(f":{nonce}:{given['cnonce']}")
    if given.get("authzid"):
        a1 += octets(f":{given['authzid']}")
    a2 = md5(octets(f"{method}:{given.get('digest-uri', '')}")).hex()
    key = md5(a1).hex()
    return md5(octets(f"{key}:{nonce}:{given['nc']}:{given['cnonce']}:{given.get('qop', 'auth')}:{a2}")).hex().encode()
