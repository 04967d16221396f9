"""The queue manager's parameters (qmgr(8)), by transport where main.cf has them by transport."""

from __future__ import annotations

import logging
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mta.config import MainConfig


logger = logging.getLogger("postfix.qmgr")

_NUMBER: Final = r"\d+(?:\.\d*)?|\.\d+"
_FEEDBACK: Final = re.compile(rf"\s*({_NUMBER})\s*(?:/\s*({_NUMBER}|concurrency|sqrt_concurrency))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Feedback:
    """`1`, `1/concurrency` or `0.5/sqrt_concurrency` (default_destination_concurrency_*_feedback)."""

    factor: float = 1.0
    divisor: str = ""

    @classmethod
    def of(cls, parameter: str, text: str) -> Feedback:
        """As configured; what cannot be used is warned of and counts as 1 (qmgr_feedback_init)."""
        try:
            return cls.parse(text)
        except ValueError:
            logger.warning("%s: ignoring malformed or unreasonable feedback: %s", parameter, text)
            return cls()

    @classmethod
    def parse(cls, text: str) -> Feedback:
        """Raises ValueError."""
        match = _FEEDBACK.fullmatch(text)
        if match is None:
            raise ValueError(f"bad feedback: {text!r}")
        factor, divisor = float(match[1]), match[2] or ""
        if divisor[:1].isdigit() or divisor[:1] == ".":
            if float(divisor) == 0:
                raise ValueError(f"bad feedback: {text!r}")
            factor, divisor = factor / float(divisor), ""
        if factor > 1:
            raise ValueError(f"unreasonable feedback: {text!r}")
        return cls(factor, divisor)

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
    """Seconds between deliveries to one destination; then only one goes there at a time."""
    transport_rate_delay: float = 0.0
    """Seconds between deliveries of the whole transport; then only one is under way."""
    slot_cost: int = 5
    """Deliveries of a large message that pay for one of a smaller message that overtakes it; less than 2: none does."""
    slot_loan: int = 3
    """Slots that may be spent before they are earned."""
    slot_discount: int = 50
    """Percentage of the slots that may be missing."""
    min_slots: int = 3
    """Slots that a message must be able to earn before any may overtake it."""
    refill_limit: int = 100
    """Recipients for which there must be room before more of a message are read, while others of it wait."""
    refill_delay: float = 5.0
    """Seconds after which they are read also if there is less room."""
    debug: bool = False
    """Log every change of a concurrency (destination_concurrency_feedback_debug)."""

    def __post_init__(self) -> None:
        # A frozen dataclass is completed in this way.
        limit = 1 if self.rate_delay else self.concurrency_limit
        object.__setattr__(self, "concurrency_limit", limit)
        object.__setattr__(self, "initial_concurrency", max(1, min(self.initial_concurrency, limit or 1 << 30)))

    @classmethod
    def from_config(cls, config: MainConfig, transport: str, maxproc: int) -> TransportSettings:
        def name_of(parameter: str, default: str = "") -> str:
            own = f"{transport}_{parameter}"
            return own if config.raw(own) is not None else default or f"default_{parameter}"

        def number(parameter: str, default: str = "") -> int:
            return int(config.str(name_of(parameter, default)))

        def feedback(parameter: str) -> Feedback:
            return Feedback.of(name := name_of(parameter), config.str(name))

        return cls(
            concurrency_limit=number("destination_concurrency_limit"),
            initial_concurrency=number("initial_destination_concurrency", "initial_destination_concurrency"),
            recipient_limit=number("destination_recipient_limit"),
            process_limit=maxproc,
            positive=feedback("destination_concurrency_positive_feedback"),
            negative=feedback("destination_concurrency_negative_feedback"),
            failed_cohort_limit=number("destination_concurrency_failed_cohort_limit"),
            rate_delay=config.seconds(name_of("destination_rate_delay")),
            transport_rate_delay=config.seconds(name_of("transport_rate_delay")),
            slot_cost=number("delivery_slot_cost"),
            slot_loan=number("delivery_slot_loan"),
            slot_discount=number("delivery_slot_discount"),
            min_slots=number("minimum_delivery_slots"),
            refill_limit=number("recipient_refill_limit"),
            refill_delay=config.seconds(name_of("recipient_refill_delay")),
            debug=config.bool("destination_concurrency_feedback_debug"),
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
    confirm_delay_cleared: bool = False
    """Whoever was warned of a delay is told when it is over."""
    active_limit: int = 20000
    """Messages in memory."""
    recipient_limit: int = 20000
    """Recipients in memory; those of large messages are read by and by."""
    recipient_minimum: int = 10
    """Recipients of one message in memory, if need be beyond that limit."""
    defer_transports: frozenset[str] = frozenset()
    transport_retry: float = 60.0
    """Seconds until a transport is tried again that nobody serves (transport_retry_time)."""
    clog_warn: float = 300.0
    """Seconds between warnings of a destination that fills the active queue; 0 for none."""
    filter_nexthop: str = ""
    """default_filter_nexthop: where filtered mail goes if the filter has no next hop; empty: to its domain."""

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
            confirm_delay_cleared=config.bool("confirm_delay_cleared"),
            active_limit=config.int("qmgr_message_active_limit"),
            recipient_limit=config.int("qmgr_message_recipient_limit"),
            recipient_minimum=config.int("qmgr_message_recipient_minimum"),
            defer_transports=frozenset(config.list("defer_transports")),
            transport_retry=config.seconds("transport_retry_time"),
            clog_warn=config.seconds("qmgr_clog_warn_time") if config.bool("helpful_warnings") else 0.0,
            filter_nexthop=config.str("default_filter_nexthop"),
        )

    def backoff(self, age: float) -> float:
        """Seconds until the next attempt for a message of this age: as old as it is, within the two limits."""
        return min(max(age, self.minimal_backoff), self.maximal_backoff)

    def lifetime(self, sender: str) -> float:
        """Seconds after which an undelivered message returns; bounces have a limit of their own."""
        return self.maximal_lifetime if sender else self.bounce_lifetime
