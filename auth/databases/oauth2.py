"""oauth2: bearer tokens instead of passwords, by a dovecot-oauth2.conf.ext (wiki PasswordDatabase/oauth2).

A token is either a JWT that is verified here against keys in a directory (``introspection_mode = local``), or is shown
to the server that has issued it (``tokeninfo_url``, ``introspection_url``). What either says are its fields.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jwt

from auth import variables
from auth.http import Answer, HttpClient, HttpError
from auth.request import AuthRequest, describe
from auth.results import Result
from auth.settings import template

from .base import BadArguments, DatabaseError, PassDatabase, Verdict
from .extfile import flat, yes

log = logging.getLogger("dovecot.auth")

DEFAULTS = {
    "tokeninfo_url": "",
    "grant_url": "",
    "introspection_url": "",
    "introspection_mode": "auth",
    "force_introspection": "no",
    "scope": "",
    "username_attribute": "email",
    "username_format": "%Lu",
    "active_attribute": "active",
    "active_value": "true",
    "pass_attrs": "",
    "local_validation_key_dict": "",
    "client_id": "",
    "client_secret": "",
    "issuers": "",
    "openid_configuration_url": "",
    "timeout_msecs": "0",
    "use_grant_password": "no",
    "send_auth_headers": "no",
    "tls_ca_cert_file": "",
    "tls_ca_cert_dir": "",
    "tls_cert_file": "",
    "tls_key_file": "",
    "tls_cipher_suite": "",
    "tls_allow_invalid_cert": "no",
    "max_idle_time_msecs": "60000",
    "max_parallel_connections": "10",
    "max_pipelined_requests": "1",
    "debug": "no",
    "rawlog_dir": "",
}
"""Settings of the file and their defaults (Dovecot 2.3)."""

MODES = ("auth", "get", "post", "local")
ALGORITHMS = frozenset(f"{kind}{bits}" for kind in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512))
TIMEOUT_SECONDS = 10.0
"""For a server that does not answer, unless timeout_msecs says otherwise."""

KEY_MAX = 65536
"""Octets of a key file."""

_DICT = re.compile(r"fs:posix:prefix=(/.*)\Z")
_IDENTIFIER = re.compile(r"(?!\.)[^\0]{1,200}\Z", re.DOTALL)

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*\Z")
"""RFC 6750 section 2.1: nothing that could break out of a URL or header."""

Fields = dict[str, str]


class _Refused(Exception):
    """The token is not taken: as this result; the text is for the log."""

    def __init__(self, text: str, result: Result = Result.MISMATCH) -> None:
        super().__init__(text)
        self.result = result


class OAuth2Passdb(PassDatabase):
    """Checks tokens, or with ``use_grant_password`` passwords for which the server gives one."""

    driver = "oauth2"
    can_lookup = False
    verifies = True

    def __init__(self, args: str) -> None:
        super().__init__("PLAIN")
        self.path = Path(args)
        found = self._found = flat(self.path, DEFAULTS)
        if found["introspection_mode"] not in MODES:
            raise BadArguments(f"{self.path}: Invalid value '{found['introspection_mode']}' for introspection mode")
        if bool(found["active_attribute"]) != bool(found["active_value"]):
            raise BadArguments(f"{self.path}: active_attribute and active_value must be set together")
        if found["rawlog_dir"]:
            raise BadArguments(f"{self.path}: rawlog_dir is not supported: it would keep tokens in clear text")
        self._local = found["introspection_mode"] == "local"
        self.keys = _key_directory(self.path, found) if self._local else None
        self._grants = yes(found, "use_grant_password", self.path)
        self._forced = yes(found, "force_introspection", self.path)
        if not self._local and not (found["tokeninfo_url"] or found["introspection_url"] or self._grants):
            raise BadArguments(f"{self.path}: neither tokeninfo_url nor introspection_url is set")
        if self._grants and not found["grant_url"]:
            raise BadArguments(f"{self.path}: use_grant_password without grant_url")
        self._pass_attrs = template(found["pass_attrs"])
        milliseconds = found["timeout_msecs"]
        seconds = int(milliseconds) / 1000 if milliseconds.isdigit() and len(milliseconds) < 8 else 0
        self._http = HttpClient(seconds or TIMEOUT_SECONDS, context=_tls_context(self.path, found))
        self.close = self._http.close

    async def verify(self, request: AuthRequest, password: bytes) -> Verdict:
        token = password.decode("utf-8", "surrogateescape")
        try:
            if not self._grants and not _TOKEN.match(token):
                raise _Refused("that is no token")
            fields = await self._fields(request, token)
            return Verdict(Result.OK, [*self._exported(request, fields), ("token", token)])
        except _Refused as refused:
            log.info("%s: oauth2 failed: %s", describe(request), refused)
            request.openid_configuration = self._found["openid_configuration_url"]
            return Verdict(refused.result)
        except HttpError as error:
            raise DatabaseError(f"oauth2 failed: {error}") from None

    async def _fields(self, request: AuthRequest, token: str) -> Fields:
        """What is known of the token. Raises _Refused, HttpError."""
        if self._grants:
            granted = await self._grant(request, token)
            token = granted.get("access_token", "")
            if not token:
                raise HttpError("the server grants no access_token")
            return granted if self._complete(granted) else granted | await self._asked(token)
        if self._local:
            return self._validated(token)
        return await self._asked(token)

    async def _asked(self, token: str) -> Fields:
        if self._local:
            return self._validated(token)
        found = self._found
        fields: Fields = {}
        if found["tokeninfo_url"]:
            fields = _parsed(await self._http.ask("GET", found["tokeninfo_url"] + quote(token, ""), b"", {}))
        if found["introspection_url"] and not self._complete(fields):
            self._check_active(fields)
            fields |= _parsed(await self._introspect(token))
        return fields

    def _complete(self, fields: Fields) -> bool:
        """Whether the fields tell the user's name, so that nothing more need be asked."""
        return not self._forced and self._found["username_attribute"] in fields

    async def _introspect(self, token: str) -> Answer:
        url, mode = self._found["introspection_url"], self._found["introspection_mode"]
        if mode == "auth":
            return await self._http.ask("GET", url, b"", {"Authorization": f"Bearer {token}"})
        if mode == "get":
            return await self._http.ask("GET", url + quote(token, ""), b"", {})
        return await self._http.ask("POST", url, urlencode({"token": token}).encode(), _FORM)

    async def _grant(self, request: AuthRequest, password: str) -> Fields:
        found = self._found
        form = {
            "grant_type": "password", "username": request.user or "", "password": password,
            "client_id": found["client_id"], "client_secret": found["client_secret"], "scope": found["scope"],
        }  # fmt: skip
        body = urlencode({name: value for name, value in form.items() if value}, errors="surrogateescape")
        return _parsed(await self._http.ask("POST", found["grant_url"], body.encode(), _FORM))

    # Local validation (RFC 7519)

    def _validated(self, token: str) -> Fields:
        """The claims of a JWT whose signature and times are right. Raises _Refused."""
        try:
            header = jwt.get_unverified_header(token)
            claimed = jwt.decode(token, options={"verify_signature": False})
            algorithm = str(header.get("alg", "")).upper()
            if header.get("typ") != "JWT" or algorithm not in ALGORITHMS:
                raise _Refused(f"unsupported token: typ {header.get('typ')!r:.20}, alg {algorithm!r:.20}")
            key = self._key(str(claimed.get("azp", "default")), algorithm, str(header.get("kid", "default")))
            issuers = self._found["issuers"].split()
            claims = jwt.decode(
                token, key, algorithms=[algorithm], issuer=issuers or None,
                options={"require": ["exp", "sub"], "verify_aud": False},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError) as error:
            raise _Refused(f"Local validation failed: {error}") from None
        return _flattened(claims)

    def _key(self, azp: str, algorithm: str, kid: str) -> bytes:
        """The key at ``<azp>/<alg>/<kid>`` below the key directory. Raises _Refused."""
        assert self.keys is not None
        if not all(map(_IDENTIFIER.match, (azp, kid))):
            raise _Refused("the token's azp or kid is no name of a key")
        names = [name.replace("%", "%25").replace("/", "%2f") for name in (azp, algorithm, kid)]
        try:
            with self.keys.joinpath(*names).open("rb") as file:
                data = file.read(KEY_MAX)
        except OSError:
            raise _Refused(f"{algorithm} key {kid!r:.80} of {azp!r:.80} not found") from None
        if not algorithm.startswith("HS"):
            return data
        try:
            return base64.b64decode(data.strip(), validate=True)
        except binascii.Error:
            raise _Refused(f"{algorithm} key {kid!r:.80} is not base64") from None

    # What the fields mean

    def _exported(self, request: AuthRequest, fields: Fields) -> list[tuple[str, str | None]]:
        """Check them; the extra fields of pass_attrs. Raises _Refused, HttpError."""
        found = self._found
        self._check_active(fields)
        name = fields.get(found["username_attribute"])
        if name is None:
            raise HttpError("No username returned")
        local, _, domain = name.partition("@")
        of_token = {"u": name, "user": name, "n": local, "username": local, "d": domain, "domain": domain}
        if request.expand(found["username_format"]) != variables.expand(found["username_format"], of_token.get):
            raise _Refused("the token is another user's", Result.UNKNOWN)
        scopes = fields.get("scope", fields.get("aud", "")).split()
        if found["scope"] and not set(found["scope"].split()) & set(scopes):
            raise _Refused(f"Token is not valid for scope '{found['scope']}'", Result.DISABLED)

        def variable(key: str) -> str | None:
            return fields.get(key[7:], "") if key.startswith("oauth2:") else request.variable(key)

        return [(field, variables.expand(value, variable)) for field, value in self._pass_attrs]

    def _check_active(self, fields: Fields) -> None:
        value = fields.get(self._found["active_attribute"])
        if value is not None and value != self._found["active_value"]:
            raise _Refused("Provided token is not valid")


_FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def _parsed(answer: Answer) -> Fields:
    """The fields of a server's JSON answer. Raises _Refused for a token that it does not know, HttpError."""
    if answer.status in (400, 401, 403):
        raise _Refused(f"Invalid token (status {answer.status})")
    if answer.status // 100 != 2:
        raise HttpError(f"status {answer.status}")
    try:
        content = json.loads(answer.body)
    except ValueError:
        raise HttpError("the answer is no JSON") from None
    if not isinstance(content, dict):
        raise HttpError("the answer is no JSON object")
    fields = _flattened(content)
    if "error" in fields:
        raise _Refused("the server answers with an error")
    return fields


def _flattened(content: Mapping[str, Any]) -> Fields:
    """Values as text; those of objects inside stand beside the others, the words of lists in one text."""
    fields: Fields = {}
    for name, value in content.items():
        if isinstance(value, dict):
            fields |= {inner: text for inner, text in _flattened(value).items() if inner not in content}
        elif isinstance(value, list):
            fields[name] = " ".join(item for item in value if isinstance(item, str))
        elif isinstance(value, bool):
            fields[name] = "true" if value else "false"
        elif value is not None:
            fields[name] = str(value)
    return fields


def _key_directory(path: Path, found: Mapping[str, str]) -> Path:
    match = _DICT.match(found["local_validation_key_dict"])
    if not match:
        raise BadArguments(f"{path}: local_validation_key_dict must be fs:posix:prefix=/a/directory/")
    return Path(match[1])


def _tls_context(path: Path, found: Mapping[str, str]) -> ssl.SSLContext:
    """For https:// URLs. Raises BadArguments."""
    try:
        context = ssl.create_default_context(
            cafile=found["tls_ca_cert_file"] or None, capath=found["tls_ca_cert_dir"] or None
        )
        if found["tls_cert_file"]:
            context.load_cert_chain(found["tls_cert_file"], found["tls_key_file"] or None)
    except OSError as error:
        raise BadArguments(f"{path}: tls: {error}") from None
    if yes(found, "tls_allow_invalid_cert", path):
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
