"""A message with its envelope: as it enters the queue (NewMessage) and as it stands there (QueuedMessage)."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NULL_SENDER: Final = ""
FORCED_EXPIRE: Final = "forced_expire"
"""The attribute that postsuper(1) -e sets."""


class Notify(enum.IntFlag):
    """NOTIFY of RFC 3461 section 4.1; DEFAULT is "the client did not say", which notifies of failure and delay."""

    DEFAULT = 0
    NEVER = 1
    SUCCESS = 2
    FAILURE = 4
    DELAY = 8

    @classmethod
    def parse(cls, value: str) -> Notify:
        """`SUCCESS,DELAY` (any case) as flags; ValueError for anything that RFC 3461 does not allow."""
        flags = cls.DEFAULT
        for word in value.upper().split(","):
            if word not in _NOTIFY_WORDS or _NOTIFY_WORDS[word] in flags:
                raise ValueError("bad NOTIFY parameter")
            flags |= _NOTIFY_WORDS[word]
        if cls.NEVER in flags and flags != cls.NEVER:
            raise ValueError("NOTIFY=NEVER stands alone")
        return flags

    def wants(self, flag: Notify) -> bool:
        """Whether a notice of failure or delay is wanted; whoever did not say gets them (RFC 3461 section 4.1)."""
        return not self or bool(self & flag)

    def wire(self) -> str:
        """The parameter's value, empty for DEFAULT."""
        return ",".join(word for word, flag in _NOTIFY_WORDS.items() if flag in self)


class Trace(enum.IntFlag):
    """What is to be reported of every delivery (the attribute trace_flags; DEL_REQ_FLAG_ of Postfix)."""

    MTA_VERIFY = 1 << 8
    """A probe of verify(8): nothing is delivered, the outcome goes to its cache."""
    USER_VERIFY = 1 << 9
    """sendmail -bv: nothing is delivered, the sender gets a report."""
    RECORD = 1 << 10
    """sendmail -v: the sender gets a report of what was delivered."""


NO_TRACE: Final = Trace(0)
PROBES: Final = Trace.MTA_VERIFY | Trace.USER_VERIFY


def trace_of(attributes: Mapping[str, str]) -> Trace:
    """The attribute trace_flags; what is no number counts as none."""
    value = attributes.get("trace_flags", "")
    if not value:
        return NO_TRACE
    return Trace(int(value) & sum(Trace)) if value.isascii() and value.isdigit() and len(value) < 6 else NO_TRACE


_NOTIFY_WORDS: Final = {
    "NEVER": Notify.NEVER,
    "SUCCESS": Notify.SUCCESS,
    "FAILURE": Notify.FAILURE,
    "DELAY": Notify.DELAY,
}


@dataclass(frozen=True, slots=True)
class Recipient:
    """One envelope recipient, after address rewriting and alias expansion."""

    address: str
    """`local@domain`, unquoted form as Postfix keeps it in the queue file; never with angle brackets."""
    original: str = ""
    """The address that the client named (X-Original-To); empty means the same as `address`."""
    orcpt: str = ""
    """ORCPT as given, `rfc822;user@example`, xtext already decoded; empty: the queue fills in `rfc822;` + original."""
    notify: Notify = Notify.DEFAULT

    def completed(self) -> Recipient:
        """The same recipient with the defaults of `original` and `orcpt` filled in (RFC 3461 section 5.2.1)."""
        original = self.original or self.address
        return Recipient(self.address, original, self.orcpt or f"rfc822;{original}", self.notify)


@dataclass(slots=True)
class NewMessage:
    """What acceptance hands to the queue.

    `content` is headers and body as they go on the wire: CRLF line ends, *not* dot-stuffed, the last line ended.
    Nothing in the queue changes it.
    """

    sender: str
    """Envelope sender, `local@domain`; empty for the null reverse-path."""
    recipients: list[Recipient]
    content: bytes
    queue_id: str = ""
    """As told by `Queue.new_id()`; empty: the queue chooses one."""
    ret: str = ""
    """RET of RFC 3461: "", "FULL" or "HDRS"."""
    envid: str = ""
    """ENVID of RFC 3461, xtext decoded."""
    body: str = ""
    """BODY of RFC 6152: "", "7BIT" or "8BITMIME"."""
    smtputf8: bool = False
    """SMTPUTF8 was asked for (RFC 6531)."""
    hold: bool = False
    """Goes to the hold queue (access(5) HOLD)."""
    filter: str = ""
    """`transport:nexthop` that overrides the resolver (content_filter, access(5) FILTER)."""
    expanded: list[Recipient] = field(default_factory=list)
    """Aliases that were expanded although NOTIFY=SUCCESS was asked for them: the sender is told so ("expanded"), and
    the `recipients` that they became must not ask for SUCCESS again (RFC 3461 section 5.2.7.3)."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Postfix's named attributes: client_name, client_address, client_port, helo_name, protocol_name, sasl_method,
    sasl_username, sasl_sender, rewrite_context ("local" or "remote"), log_ident ..."""


@dataclass(frozen=True, slots=True)
class QueuedRecipient:
    """One recipient that still waits for delivery."""

    position: int
    """Its place in the message's recipient list, counted from 0; the key for state changes."""
    recipient: Recipient
    outcome: str = ""
    """Empty while it waits; else the action (failed, delivered, relayed ...) that its sender is still to be told."""
    dsn: str = ""
    """Enhanced status code of the last attempt; empty before the first."""
    reason: str = ""
    """Why the last attempt deferred it, as mailq shows it."""
    record: Mapping[str, str] = field(default_factory=dict)
    """More of the last attempt, for a notice: mta_type, mta_name, diag_type, diag_text."""


class QueueName(enum.StrEnum):
    """Where a message stands; Postfix's directory names. `active` is never stored: only the queue manager knows."""

    INCOMING = "incoming"
    DEFERRED = "deferred"
    HOLD = "hold"


@dataclass(slots=True)
class QueuedMessage:
    """A message in the queue, without its content (`Queue.content` reads that)."""

    sequence: int
    """Order of arrival in this database; never used twice."""
    queue_id: str
    queue: QueueName
    sender: str
    arrival: float
    """Seconds since the epoch."""
    size: int
    """Octets of the content, with CRLF."""
    next_attempt: float
    warned: bool
    """The delay_warning_time notice was sent."""
    ret: str
    envid: str
    body: str
    smtputf8: bool
    filter: str
    attributes: Mapping[str, str]
    recipients: list[QueuedRecipient]
    """Those that still wait or whose outcome is to be told, in order."""
    recipient_count: int
    """How many the message had when it arrived."""
    attempts: int = 0
    checksum: int = 0
    """CRC-32 of the content."""
    fault: str = ""
    """Why it cannot be used: its rows are damaged."""
    unread: int = 0
    """Recipients, at most, that are not among `recipients` yet (Queue.read_recipients)."""
    read_to: int = -1
    """Position of the last that was read so."""

    @property
    def trace(self) -> Trace:
        """What is to be reported of this message's deliveries."""
        return trace_of(self.attributes)

    @property
    def forced_expire(self) -> bool:
        """It is to be returned without another attempt (postsuper -e)."""
        return self.attributes.get(FORCED_EXPIRE) == "1"

    @property
    def is_probe(self) -> bool:
        """Whether the message is only to find out about its recipients: it must not be delivered."""
        return "trace_flags" in self.attributes and bool(self.trace & PROBES)
