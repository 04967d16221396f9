"""reject_unverified_sender and reject_unverified_recipient: does the address exist (ADDRESS_VERIFICATION_README)."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mta.smtpd.access.check import Check, Title, Verdict
from mta.verify.client import VerifyClient
from mta.verify.protocol import Fate

if TYPE_CHECKING:
    from mta.config import MainConfig

log = logging.getLogger("postfix.smtpd")

REASON_LIMIT: Final = 250


@dataclass(frozen=True, slots=True)
class Replies:
    """What is answered about addresses of one kind: codes, the site's own reason, what a temporary answer means."""

    reject: int
    defer: int
    reason: str
    tempfail: str

    @classmethod
    def from_config(cls, config: MainConfig, kind: str) -> Replies:
        return cls(
            config.int(f"unverified_{kind}_reject_code"),
            config.int(f"unverified_{kind}_defer_code"),
            config.str(f"unverified_{kind}_reject_reason"),
            config.str(f"unverified_{kind}_tempfail_action"),
        )


class Verifier:
    """Asks the verify service, and asks again while a probe is under way."""

    def __init__(self, config: MainConfig) -> None:
        self.service = config.str("address_verify_service_name")
        self._client = VerifyClient(Path(config.str("queue_directory"), "private", self.service))
        self._delay = config.seconds("address_verify_poll_delay")
        stressed = config.with_overrides({"stress": "yes"})
        self._counts = {"": config.int("address_verify_poll_count"), "yes": stressed.int("address_verify_poll_count")}
        self.sender, self.recipient = (Replies.from_config(config, kind) for kind in ("sender", "recipient"))

    async def ask(self, address: str, stress: str) -> tuple[Fate, str]:
        """What is known of an address, after address_verify_poll_count questions at most. Raises OSError."""
        for remaining in reversed(range(self._counts[stress])):
            fate, reason = await self._client.ask(address)
            if fate is not Fate.UNKNOWN or not remaining:
                break
            await asyncio.sleep(self._delay)
        return fate, reason

    def close(self) -> None:
        """Let go of the connection to the service."""
        self._client.close()


async def reject_unverified_sender(check: Check) -> Verdict:
    if not check.sender:
        return None
    return await _reject(check, check.sender, check.access.verifier.sender, Title.SENDER, "1.7")


async def reject_unverified_recipient(check: Check) -> Verdict:
    if not check.recipient:
        return None
    return await _reject(check, check.recipient, check.access.verifier.recipient, Title.RECIPIENT, "1.1")


async def _reject(check: Check, address: str, replies: Replies, title: str, status: str) -> Verdict:
    verifier = check.access.verifier
    try:
        fate, reason = await verifier.ask(address, check.session.stress)
    except OSError as error:
        log.warning("%s service failure: %s", verifier.service, error)
        text = f"<{address}>: {title} rejected: address verification problem"
        return check.tempfail(replies.tempfail, 450, f"4.{status}", text)
    if fate is Fate.DELIVERABLE:
        return None
    code = replies.reject if fate is Fate.UNDELIVERABLE else replies.defer
    text = f"{replies.reason or reason:.{REASON_LIMIT}}"
    if code >= 500:
        return check.reject(code, f"5.{status}", f"<{address}>: {title} rejected: undeliverable address: {text}")
    if code >= 400:
        text = f"<{address}>: {title} rejected: unverified address: {text}"
        return check.tempfail(replies.tempfail, code, f"4.{status}", text)
    return None
