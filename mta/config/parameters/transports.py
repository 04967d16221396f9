"""Parameters: the per-transport family, `transport_destination_concurrency_limit` and its like, for every service."""

import re
from collections.abc import Mapping
from functools import lru_cache

from mta.config.parameter import Kind, Parameter

# suffix: (type, parameter that gives the default, meaning)
_FAMILY: Mapping[str, tuple[Kind, str, str]] = {
    "delivery_slot_cost": (
        Kind.INTEGER,
        "default_delivery_slot_cost",
        "Deliveries that earn one slot for a smaller message to overtake.",
    ),
    "delivery_slot_discount": (
        Kind.INTEGER,
        "default_delivery_slot_discount",
        "Percentage of the needed slots at which overtaking is already allowed.",
    ),
    "delivery_slot_loan": (
        Kind.INTEGER,
        "default_delivery_slot_loan",
        "Slots that may be borrowed to overtake at once.",
    ),
    "destination_concurrency_failed_cohort_limit": (
        Kind.INTEGER,
        "default_destination_concurrency_failed_cohort_limit",
        "Failed rounds of parallel deliveries after which a destination counts as dead.",
    ),
    "destination_concurrency_limit": (
        Kind.INTEGER,
        "default_destination_concurrency_limit",
        "Parallel deliveries to one destination at most.",
    ),
    "destination_concurrency_negative_feedback": (
        Kind.TEXT,
        "default_destination_concurrency_negative_feedback",
        "How much one failed delivery lowers the parallelism.",
    ),
    "destination_concurrency_positive_feedback": (
        Kind.TEXT,
        "default_destination_concurrency_positive_feedback",
        "How much one successful delivery raises the parallelism.",
    ),
    "destination_rate_delay": (
        Kind.TIME,
        "default_destination_rate_delay",
        "Pause between deliveries to one destination.",
    ),
    "destination_recipient_limit": (
        Kind.INTEGER,
        "default_destination_recipient_limit",
        "Recipients of one delivery at most.",
    ),
    "extra_recipient_limit": (
        Kind.INTEGER,
        "default_extra_recipient_limit",
        "Recipients kept in memory beyond the ordinary limit for overtaking messages.",
    ),
    "initial_destination_concurrency": (
        Kind.INTEGER,
        "initial_destination_concurrency",
        "Parallel deliveries to a destination to begin with.",
    ),
    "minimum_delivery_slots": (
        Kind.INTEGER,
        "default_minimum_delivery_slots",
        "Recipients a message must have before overtaking is considered.",
    ),
    "recipient_limit": (Kind.INTEGER, "default_recipient_limit", "Recipients of one message kept in memory at most."),
    "recipient_refill_delay": (
        Kind.TIME,
        "default_recipient_refill_delay",
        "Time after which more recipients are read into memory.",
    ),
    "recipient_refill_limit": (
        Kind.INTEGER,
        "default_recipient_refill_limit",
        "Recipients read into memory at a time.",
    ),
    "time_limit": (Kind.TIME, "command_time_limit", "How long the transport's command may run."),
    "transport_rate_delay": (
        Kind.TIME,
        "default_transport_rate_delay",
        "Pause between deliveries of the whole transport.",
    ),
}
_NAME = re.compile(rf"([A-Za-z0-9._-]+?)_({'|'.join(sorted(_FAMILY, key=len, reverse=True))})")
# Which programs of master.cf make a service a transport; pipe and spawn alone have a time limit.
_DELIVERY_PROGRAMS = ("local", "error", "virtual", "smtp", "lmtp", "pipe")

# Two members of the family have a default of their own.
BUILT_IN = (
    Parameter(
        "local_destination_concurrency_limit",
        Kind.INTEGER,
        "2",
        "Parallel deliveries to one local user at most.",
        "local.8",
    ),
    Parameter(
        "local_destination_recipient_limit",
        Kind.INTEGER,
        "1",
        "Recipients of one local delivery at most.",
        "local.8",
    ),
)


@lru_cache(maxsize=4096)
def service_parameter(name: str) -> Parameter | None:
    """The declaration of a per-transport parameter, whatever its transport; None for other names."""
    match = _NAME.fullmatch(name)
    if not match:
        return None
    kind, default, meaning = _FAMILY[match[2]]
    return Parameter(name, kind, f"${default}", meaning, "qmgr.8")


def service_names(service: str, program: str) -> list[str]:
    """The parameter names that a master.cf service running a program brings into being."""
    suffixes = [suffix for suffix in _FAMILY if suffix != "time_limit"] if program in _DELIVERY_PROGRAMS else []
    if program in ("pipe", "spawn"):
        suffixes.append("time_limit")
    return [f"{service}_{suffix}" for suffix in suffixes]
