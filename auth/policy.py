"""The policy server that may slow down or refuse log-ins (Dovecot's ``auth_policy_*``, doc/wiki Authentication/Policy).

Before the password is looked at (and again after it was right) the service asks ``URL?command=allow``; the answer's
``status`` is 0 to go on, N for N seconds of waiting first, -1 to refuse. ``?command=report`` is told what came of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import variables
from .dovecotconf import DovecotConfig
from .http import HttpClient, HttpError
from .request import AuthRequest, describe

log = logging.getLogger("dovecot.auth")

USER_AGENT = "hardmail/auth-policy-client"
TARPIT_MAX = 300
"""Seconds a policy server may hold a log-in back."""


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """Settings of the policy client; ``timeout`` in seconds, ``truncate`` in bits."""

    url: str
    api_header: str
    timeout: float
    hash_name: str
    nonce: str
    truncate: int
    attributes: tuple[tuple[str, str], ...]
    before: bool
    after: bool
    report: bool
    reject_on_fail: bool
    log_only: bool

    @classmethod
    def of(cls, config: DovecotConfig) -> PolicySettings:
        """Read them from dovecot.conf."""
        pairs = (word.partition("=") for word in config.list("auth_policy_request_attributes"))
        return cls(
            url=config.str("auth_policy_server_url"),
            api_header=config.str("auth_policy_server_api_header"),
            timeout=config.int("auth_policy_server_timeout_msecs") / 1000,
            hash_name=config.str("auth_policy_hash_mech"),
            nonce=config.str("auth_policy_hash_nonce"),
            truncate=config.int("auth_policy_hash_truncate"),
            attributes=tuple((name, value) for name, _, value in pairs),
            before=config.bool("auth_policy_check_before_auth"),
            after=config.bool("auth_policy_check_after_auth"),
            report=config.bool("auth_policy_report_after_auth"),
            reject_on_fail=config.bool("auth_policy_reject_on_fail"),
            log_only=config.bool("auth_policy_log_only"),
        )

    def __repr__(self) -> str:
        return f"PolicySettings(url={self.url!r})"


class Policy:
    """The client of one policy server."""

    def __init__(self, settings: PolicySettings) -> None:
        self.settings = settings
        self._http = HttpClient(settings.timeout)

    def close(self) -> None:
        """Give up the threads."""
        self._http.close()

    async def allows(self, request: AuthRequest, password: bytes) -> bool:
        """Ask, and wait if the server says so; a refusal's reason goes into the request."""
        status, message = await self._ask(request, password)
        if status < 0:
            why = f": {message}" if message else ""
            log.info("%s: Authentication failure due to policy server refusal%s", describe(request, "policy"), why)
            action = "drop connection"
        else:
            action = f"tarpit {status} second(s)" if status else "continue"
        ignored = self.settings.log_only and status != 0
        if status:
            form = "Policy check action '%s' ignored" if ignored else "Policy check action is %s"
            log.info("%s: " + form, describe(request, "policy"), action)
        if ignored or status == 0:
            return True
        if status < 0:
            request.policy_refused = True
            if message:
                request.extra.add("reason", message)
            return False
        await asyncio.sleep(min(status, TARPIT_MAX))
        return True

    async def report(self, request: AuthRequest, password: bytes, *, success: bool) -> None:
        """Tell how the log-in has ended."""
        said = {"success": success, "policy_reject": request.policy_refused}
        try:
            await self._post("report", request, password, said)
        except HttpError as error:
            log.error("%s: Policy server HTTP error: %s", describe(request, "policy"), error)

    async def _ask(self, request: AuthRequest, password: bytes) -> tuple[int, str]:
        failure = -1 if self.settings.reject_on_fail else 0
        try:
            body = await self._post("allow", request, password, {})
            answer = json.loads(body)
            status, message = answer["status"], answer.get("msg", "")
        except HttpError as error:
            log.error("%s: Policy server HTTP error: %s", describe(request, "policy"), error)
        except (ValueError, TypeError, AttributeError):
            log.error("%s: Policy server response was malformed", describe(request, "policy"))
        except KeyError:
            log.error("%s: Policy server response is missing status field", describe(request, "policy"))
        else:
            if isinstance(status, int) and isinstance(message, str) and message.isprintable():
                return status, message
            log.error("%s: Policy server response was malformed", describe(request, "policy"))
        return failure, ""

    async def _post(self, command: str, request: AuthRequest, password: bytes, said: Mapping[str, Any]) -> bytes:
        url = self.settings.url
        url += f"command={command}" if url.endswith("&") else f"?command={command}"
        headers = {"Content-Type": "application/json", "User-Agent": USER_AGENT}
        name, colon, value = self.settings.api_header.partition(":")
        if name:
            headers |= {name: value.strip()} if colon else {"X-API-Key": name}
        content = {**self._attributes(request, password), **said, "tls": request.parameters.secured == "tls"}
        answer = await self._http.ask("POST", url, json.dumps(content, separators=(",", ":")).encode(), headers)
        if answer.status // 10 != 20:
            raise HttpError(f"status {answer.status}")
        return answer.body

    def _attributes(self, request: AuthRequest, password: bytes) -> dict[str, Any]:
        """``auth_policy_request_attributes``: sorted, ``a/b`` nested."""
        login = request.login_user or request.user or ""
        known = {"requested_username": login, "hashed_password": self._hashed(login, password)}
        found: dict[str, Any] = {}
        for name, value in sorted(self.settings.attributes):
            *above, last = name.split("/")
            inside = found
            for step in above:
                if not isinstance(inside.get(step), dict):
                    inside[step] = {}
                inside = inside[step]
            inside[last] = variables.expand(value, lambda key: known.get(key, request.variable(key)))
        return found

    def _hashed(self, login: str, password: bytes) -> str:
        """A few bits of a hash: enough to see the same wrong password again, too few to learn the password."""
        text = self.settings.nonce.encode() + login.encode("utf-8", "surrogateescape") + b"\0" + password
        digest = hashlib.new(self.settings.hash_name, text, usedforsecurity=False).digest()
        bits = self.settings.truncate
        if not 0 < bits < len(digest) * 8:
            return digest.hex()
        size = (bits + 7) // 8
        return (int.from_bytes(digest[:size]) >> (size * 8 - bits)).to_bytes(size).hex()
