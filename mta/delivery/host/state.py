"""Where local delivery is in an expansion, and what has come of a recipient so far."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from mta.delivery.host.report import Report, Step
from mta.delivery.host.rights import User
from mta.delivery.request import Request
from mta.message import headers
from mta.queue.message import Notify, Recipient

MAX_LEVEL: Final = 100
"""Expansions within expansions; deeper is a loop."""
CONFIGURATION: Final = "mail system configuration error"


@dataclass(frozen=True, slots=True)
class State:
    """Where in the expansion we are. Passed down by value: what one branch changes the others do not see."""

    recipient: Recipient
    """Its address is the present one; original, orcpt and notify are the top's unless a list took its place."""
    sender: str
    ret: str = ""
    envid: str = ""
    level: int = 0
    owner: str = ""
    """Whom an owner- alias, a .forward or an :include: file names as the one who forwards: others are then sent on."""
    delivered: str = ""
    expanding: str = ""
    """The name that is being expanded: found again in its own expansion it means the user."""
    kind: str = ""
    """What the present destination stands in: alias, forward, include."""
    unmatched: str = ""
    """Extension to be passed on to what the name expands to, with its delimiter."""
    local: str = ""
    user: str = ""
    extension: str = ""
    domain: str = ""
    rights: User | None = None
    """On whose behalf commands and files are used; None: nobody's yet, so default_privs."""

    @property
    def address(self) -> str:
        return self.recipient.address

    def at(self, address: str) -> State:
        return replace(self, recipient=replace(self.recipient, address=address))

    def deeper(self) -> State:
        return replace(self, level=self.level + 1)


@dataclass(slots=True)
class Delivery:
    """One recipient of a request on his way through the expansion, and what has come of it so far."""

    request: Request
    content: bytes
    loops: frozenset[str]
    """Addresses of the message's Delivered-To headers, folded."""
    report: Report
    limit: int
    seen: set[tuple[object, ...]] = field(default_factory=set)
    forwards: dict[tuple[str, str, str, str], list[Recipient]] = field(default_factory=dict)
    deferred: bool = False

    def been_here(self, *key: object) -> bool:
        """The duplicate filter (duplicate_filter_limit; 0 is no limit)."""
        if key in self.seen:
            return True
        if not self.limit or len(self.seen) < self.limit:
            self.seen.add(key)
        return False

    def note(self, state: State, status: str, reason: str, detail: str = "") -> None:
        """Something was delivered, or failed."""
        step = Step.of(state.address, status, reason, detail=detail)
        self.report.steps.append(step)
        self.deferred = self.deferred or status.startswith("4")

    def tell_expanded(self, word: str) -> None:
        """An alias was expanded, and the sender asked to be told of success."""
        self.report.expanded = self.report.expanded or word


class Names:
    """`$user`, `$home` and so on in forward_path, luser_relay and command_execution_directory."""

    def __init__(self, state: State, delimiters: str) -> None:
        delimiter = state.local[len(state.user) : len(state.user) + 1] or delimiters[:1]
        rights = state.rights
        self._values = {
            "user": state.user,
            "home": rights.home if rights else "",
            "shell": rights.shell if rights else "",
            "domain": state.domain,
            "local": state.local,
            "mailbox": state.local,
            "recipient": state.address,
            "extension": state.extension[1:],
            "recipient_delimiter": delimiter,
        }
        self.undefined = False
        """A name without a value was used: the whole does not count."""
        self.extension_used = False

    def lookup(self, name: str) -> str | None:
        value = self._values.get(name) or None
        if name == "extension" and value:
            self.extension_used = True
        self.undefined = self.undefined or value is None
        return value


def delivered_to(content: bytes) -> frozenset[str]:
    """The addresses of all Delivered-To headers, folded."""
    fields, _ = headers.split(content)
    found = (each.value.decode("utf-8", "surrogateescape").strip() for each in fields if each.name == b"delivered-to")
    return frozenset(address.casefold() for address in found)


def without_success(notify: Notify) -> Notify:
    """NOTIFY for those that an alias stands for: its own sender has been told of the success (RFC 3461 5.2.7.3)."""
    return Notify.NEVER if notify == Notify.SUCCESS else notify & ~Notify.SUCCESS
