"""The queue manager's parameters (qmgr(8)), by transport where main.cf has them by transport."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mta.config import MainConfig


@dataclass(frozen=True, slots=True)
class Feedback:
    """`1`, `1/concurrency` or `0.5/sqrt_concurrency` (default_destination_concurrency_*_feedback)."""

    factor: float = 1.0
    divisor: str = ""

    @classmethod
    def parse(cls, text: str) -> Feedback:
        """Raises ValueError."""
        match = re.match(r"\s*(\d+(?:\.\d+)?|\.\d+)\s*(?:/\s*(\d+|concurrency|sqrt_concurrency))?\s*\Z", text)
        if match is None:
            raise ValueError(f"bad feedback: {text!r}")
        if match[2] and match[2].isdigit():
            if int(match[2]) == 0:
                raise ValueError(f"bad feedback: {text!r}")
            return cls(float(match[1]) / int(match[2]))
        return cls(float(match[1]), match[2] or "")

    def amount(self, window: int) -> float:
        """How much one success or failure counts at this concurrency."""
        if self.divisor == "concurrency":
            return self.factor / max(window, 1)
        if self.divisor == "sqrt_concurrency":
            return self.factor / math.sqrt(max(window, 1))
        return self.factor


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """How much at once to one transport and to each of its destinations."""

    concurrency_limit: int = 20
    """Deliveries to one destination at once."""
    initial_concurrency: int = 5
    recipient_limit: int = 50
    """Recipients of one message in one delivery; 1 makes each recipient a destination of its own."""
    process_limit: int = 100
    """Deliveries of the whole transport at once (maxproc of master.cf); 0 is no limit."""
    positive: Feedback = field(default_factory=Feedback)
    negative: Feedback = field(default_factory=Feedback)
    failed_cohort_limit: int = 1
    rate_delay: float = 0.0
    """Seconds between deliveries to one destination."""

    @classmethod
    def from_config(cls, config: MainConfig, transport: str, maxproc: int) -> TransportSettings:
        def by_transport(parameter: str) -> str:
            own = config.raw(f"{transport}_{parameter}")
            name = f"{transport}_{parameter}" if own is not None else f"default_{parameter}"
            return config.str(name)

        initial = config.raw(f"{transport}_initial_destination_concurrency")
        return cls(
            concurrency_limit=int(by_transport("destination_concurrency_limit")),
            initial_concurrency=(
                config.int(f"{transport}_initial_destination_concurrency")
                if initial is not None
                else config.int("initial_destination_concurrency")
            ),
            recipient_limit=int(by_transport("destination_recipient_limit")),
            process_limit=maxproc,
            positive=Feedback.parse(by_transport("destination_concurrency_positive_feedback")),
            negative=Feedback.parse(by_transport("destination_concurrency_negative_feedback")),
            failed_cohort_limit=int(by_transport("destination_concurrency_failed_cohort_limit")),
            rate_delay=config.seconds(
                f"{transport}_destination_rate_delay"
                if config.raw(f"{transport}_destination_rate_delay") is not None
                else "default_destination_rate_delay"
            ),
        )


@dataclass(frozen=True, slots=True)
class ManagerSettings:
    """qmgr(8) as a whole; times in seconds."""

    myhostname: str = "localhost"
    double_bounce: str = "double-bounce"
    """Local part of the address from which postmaster notices come (double_bounce_sender)."""
    queue_run_delay: float = 300.0
    minimal_backoff: float = 300.0
    maximal_backoff: float = 4000.0
    maximal_lifetime: float = 432000.0
    bounce_lifetime: float = 432000.0
    delay_warning: float = 0.0
    """0: no warnings."""
    active_limit: int = 20000
    """Messages in memory."""
    defer_transports: frozenset[str] = frozenset()

    @classmethod
    def from_config(cls, config: MainConfig) -> ManagerSettings:
        return cls(
            myhostname=config.str("myhostname"),
            double_bounce=config.str("double_bounce_sender"),
            queue_run_delay=config.seconds("queue_run_delay"),
            minimal_backoff=config.seconds("minimal_backoff_time"),
            maximal_backoff=config.seconds("maximal_backoff_time"),
            maximal_lifetime=config.seconds("maximal_queue_lifetime"),
            bounce_lifetime=config.seconds("bounce_queue_lifetime"),
            delay_warning=config.seconds("delay_warning_time"),
            active_limit=config.int("qmgr_message_active_limit"),
            defer_transports=frozenset(config.list("defer_transports")),
        )

    def backoff(self, age: float) -> float:
        """Seconds until the next attempt for a message of this age: as old as it is, within the two limits."""
        return min(max(age, self.minimal_backoff), self.maximal_backoff)

    def lifetime(self, sender: str) -> float:
        """Seconds after which an undelivered message returns; bounces have a limit of their own."""
        return self.maximal_lifetime if sender else self.bounce_lifetime
