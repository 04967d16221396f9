"""Who is heard at all: lock-outs and the policy server, asked around each log-in."""

from __future__ import annotations

import asyncio
import logging

from .lockout import Lockouts
from .policy import Policy
from .request import AuthRequest, describe

log = logging.getLogger("dovecot.auth")


class Guard:
    """The lock-outs and, where one is configured, the policy server."""

    def __init__(self, lockouts: Lockouts, policy: Policy | None) -> None:
        self._lockouts = lockouts
        self._policy = policy
        self._reports: set[asyncio.Task[None]] = set()

    @property
    def confirms(self) -> bool:
        """Whether ``confirm`` has anything to ask."""
        return self._policy is not None and self._policy.settings.after

    @property
    def idle(self) -> bool:
        """Whether there are neither lock-outs nor a policy server."""
        return self._policy is None and not self._lockouts.enabled

    def locks(self, address: str) -> bool:
        """Whether the address is locked out: it learns nothing any more, so it need not wait for its turn either."""
        return self._lockouts.locked(address, "") == "address"

    async def admit(self, request: AuthRequest, password: bytes) -> bool:
        """Whether the databases are asked at all."""
        reason = self._lockouts.locked(request.parameters.rip, request.user or "")
        if reason:
            log.info("%s: locked out: too many failed log-ins (%s)", describe(request), reason)
            request.locked_out = True
            return False
        if self._policy is None or not self._policy.settings.before:
            return True
        return await self._policy.allows(request, password)

    async def confirm(self, request: AuthRequest, password: bytes) -> bool:
        """Whether a log-in that has succeeded stands."""
        return self._policy is None or await self._policy.allows(request, password)

    def succeeded(self, request: AuthRequest, password: bytes) -> None:
        """The user is let in."""
        self._lockouts.succeeded(request.parameters.rip, request.user or "")
        self._report(request, password, success=True)

    def refused(self, request: AuthRequest, password: bytes, *, internal: bool) -> None:
        """The user is not let in; ``internal``: through no fault of its own."""
        if not internal and not request.locked_out and not request.policy_refused:
            for kind in self._lockouts.failed(request.parameters.rip, request.user or ""):
                log.warning("%s: too many failed log-ins: the %s is locked", describe(request), kind)
        self._report(request, password, success=False)

    def close(self) -> None:
        """Report nothing more."""
        for task in self._reports:
            task.cancel()
        if self._policy is not None:
            self._policy.close()

    def _report(self, request: AuthRequest, password: bytes, *, success: bool) -> None:
        if self._policy is None or not self._policy.settings.report:
            return
        task = asyncio.get_running_loop().create_task(self._policy.report(request, password, success=success))
        self._reports.add(task)
        task.add_done_callback(self._reports.discard)
