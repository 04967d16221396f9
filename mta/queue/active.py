"""A message in the active queue: what is under way, and what became of each recipient so far."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mta.delivery.bounce.report import Entry as NoticeEntry
from mta.delivery.result import Result, Status
from mta.queue.changes import Outcome, Progress
from mta.queue.jobs import Job
from mta.queue.message import Notify, QueuedMessage, QueuedRecipient, Recipient, Trace
from mta.queue.reading import domain_of


@dataclass(slots=True)
class Active:
    """One message that the queue manager works on."""

    message: QueuedMessage
    since: float
    """When it became active."""
    domain: str = ""
    """Of its first recipient."""
    confirms: bool = False
    """Its sender was told of the delay, and is to be told that it is over (confirm_delay_cleared)."""
    entries: int = 0
    """Deliveries that are not finished."""
    to_deliver: list[QueuedRecipient] = field(default_factory=list)
    """Of the recipients that came with the message."""
    jobs: dict[str, Job[Any]] = field(default_factory=dict)
    """Its part in each transport."""
    refilled: float = 0.0
    """When recipients were last read."""
    held: int = 0
    """Recipients in memory that wait for their delivery or are being delivered to."""
    unwritten: set[int] = field(default_factory=set)
    """Recipients of whom the database does not know yet what became of them, by position."""
    content: bytes | None = None
    """Kept while deliveries run."""
    fault: str = ""
    """Why the message cannot be read; it is set aside then."""
    done: set[int] = field(default_factory=set)
    """Recipients that need nothing more, by position."""
    told: dict[int, Outcome] = field(default_factory=dict)
    """Finished recipients whose sender is to be notified."""
    waiting: dict[int, Outcome] = field(default_factory=dict)
    """Recipients that are to be tried again."""
    recorded: list[NoticeEntry] = field(default_factory=list)
    """How the first attempt went, where the sender wants to know (sendmail -v)."""

    @classmethod
    def of(cls, message: QueuedMessage, now: float, *, confirms: bool = False) -> Active:
        """From the queue: recipients with an outcome were finished before a crash and are only to be told."""
        first = message.recipients[0].recipient.address if message.recipients else ""
        active = cls(message, now, domain_of(first), confirms)
        active.to_deliver = active.take(message.recipients)
        return active

    def take(self, recipients: Iterable[QueuedRecipient]) -> list[QueuedRecipient]:
        """Those of them that are to be delivered."""
        for recipient in recipients:
            if recipient.outcome:
                self.told[recipient.position] = Outcome(
                    recipient.dsn, recipient.reason, recipient.outcome, recipient.record
                )
        return [recipient for recipient in recipients if not recipient.outcome]

    def note(self, results: Iterable[Result]) -> None:
        """Take down how a delivery went."""
        for result in results:
            position = result.recipient.position
            outcome = outcome_of(result)
            if "trace_flags" in self.message.attributes and self._records():
                seen = replace(outcome, record={**outcome.record, "relay": result.relay})
                self.recorded.append(NoticeEntry(_final(result.recipient.recipient, seen), seen))
            if self.message.is_probe:
                action = "deliverable" if result.status is Status.SENT else "undeliverable"
                record = {**outcome.record, "relay": result.relay}
                self.told[position] = replace(outcome, action=action, record=record)
            elif result.status is Status.DEFERRED:
                self.waiting[position] = outcome
            elif _to_be_told(result) or (self.confirms and result.recipient.recipient.notify.wants(Notify.DELAY)):
                taken = {"relay": result.relay} if result.status is Status.SENT else {}
                self.told[position] = replace(outcome, record={**outcome.record, **taken})
            else:
                self.done.add(position)

    def _records(self) -> bool:
        """Whether the sender wants to know how the first attempt goes (sendmail -v)."""
        return bool(self.message.trace & Trace.RECORD) and not self.message.attempts

    def give_up(self, recipients: Iterable[QueuedRecipient], status: str, reason: str) -> None:
        """No attempt is made: whoever waited waits for the reason that he had, or for this one."""
        for recipient in recipients:
            outcome = Outcome(recipient.dsn or status, recipient.reason or reason, "delayed", recipient.record)
            self.waiting[recipient.position] = outcome
            self.unwritten.add(recipient.position)

    def progress(self, positions: Iterable[int]) -> Progress:
        """The same for the database, of these recipients."""
        positions = list(positions)
        return Progress(
            self.message.sequence,
            done=[position for position in positions if position in self.done],
            told={position: self.told[position] for position in positions if position in self.told},
            waiting={position: self.waiting[position] for position in positions if position in self.waiting},
        )

    def notices(self, outcomes: dict[int, Outcome]) -> list[NoticeEntry]:
        """Outcomes with their recipients, in the message's order."""
        return [
            NoticeEntry(_final(recipient.recipient, outcome), outcome)
            for recipient in self.message.recipients
            if recipient.position in outcomes
            for outcome in _each(outcomes[recipient.position])
        ]

    @property
    def failed(self) -> dict[int, Outcome]:
        return {position: outcome for position, outcome in self.told.items() if outcome.action == "failed"}

    @property
    def succeeded(self) -> dict[int, Outcome]:
        return {position: outcome for position, outcome in self.told.items() if outcome.action != "failed"}


def outcome_of(result: Result) -> Outcome:
    """A delivery's result as the queue keeps it."""
    dsn = result.dsn
    record = {
        name: value
        for name, value in (
            ("mta_type", dsn.mta_type),
            ("mta_name", dsn.mta_name),
            ("diag_type", dsn.diag_type),
            ("diag_text", dsn.diag_text),
            ("final", result.final),
        )
        if value
    }
    if result.more:
        record["more"] = json.dumps([asdict(outcome_of(other)) for other in result.more])
    return Outcome(dsn.status, dsn.reason, str(result.action), record)


def _each(outcome: Outcome) -> Iterator[Outcome]:
    """An outcome, and those of the others whom the same alias led to."""
    yield outcome
    for other in json.loads(outcome.record.get("more", "[]")):
        yield Outcome(**{**other, "action": outcome.action})


def _final(recipient: Recipient, outcome: Outcome) -> Recipient:
    """Who a notice is about: whom an alias led to, with the name that was written as his original."""
    address = outcome.record.get("final")
    if not address:
        return recipient
    return replace(recipient, address=address, original=recipient.original or recipient.address)


def _to_be_told(result: Result) -> bool:
    if result.status is Status.BOUNCED:
        return True  # also with NOTIFY=NEVER: the postmaster may want to know; the sender will not be told
    return bool(result.recipient.recipient.notify & Notify.SUCCESS) and not result.dsn.delegated
