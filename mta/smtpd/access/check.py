"""One evaluation of one restriction list, and the ways in which it can end."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from mta.smtpd.replies import Reply
from mta.smtpd.session import Session, Transaction

if TYPE_CHECKING:
    from mta.smtpd.access.engine import Access

log = logging.getLogger("postfix.smtpd")


class Permit(enum.Enum):
    """The list ends, later restrictions of this list are not asked."""

    PERMIT = "permit"


PERMIT: Final = Permit.PERMIT
Verdict = Reply | Literal[Permit.PERMIT] | None
"""None is DUNNO."""


class Stage(enum.Enum):
    """Which list is being evaluated; the value is what its tables are checked with when a list names a bare table."""

    CLIENT = "check_client_access"
    HELO = "check_helo_access"
    SENDER = "check_sender_access"
    RELAY = "check_recipient_access"
    RECIPIENT = "check_recipient_access "
    ETRN = "check_etrn_access"
    DATA = ""
    END_OF_DATA = " "

    __hash__ = object.__hash__
    """There is one of each; what enum.Enum does instead costs a call of Python for each look at a list."""

    @property
    def bare_table(self) -> str:
        return self.value.strip()


class Title:
    """What is refused, as the reply calls it."""

    CLIENT = "Client host"
    REVERSE_CLIENT = "Unverified Client host"
    CERTIFICATE = "Client certificate"
    LOGIN = "SASL login name"
    HELO = "Helo command"
    SENDER = "Sender address"
    RECIPIENT = "Recipient address"
    ETRN = "Etrn command"
    DATA = "Data command"
    END_OF_DATA = "End-of-data"


_STATUS_OF_SENDER: Final = {f"1.{n}": f"1.{fitting}" for n, fitting in zip("12345678", "78770778", strict=True)}
_STATUS_OF_RECIPIENT: Final = {f"1.{n}": f"1.{fitting}" for n, fitting in zip("12345678", "12345632", strict=True)}


def fitting_status(status: str, title: str) -> str:
    """RFC 3463 has different details for sender and recipient; what is neither cannot use X.1.X at all.

    As in smtpd(8), which knows X.1.1 to X.1.8; others become X.1.0.
    """
    first, _, rest = status.partition(".")
    if not rest.startswith("1."):
        return status
    if title == Title.SENDER:
        return f"{first}.{_STATUS_OF_SENDER.get(rest, '1.0')}"
    if title == Title.RECIPIENT:
        return f"{first}.{_STATUS_OF_RECIPIENT.get(rest, '1.0')}"
    return f"{first}.0.0"


@dataclass(slots=True)
class Check:
    """Who is being checked, at which stage."""

    access: Access
    session: Session
    transaction: Transaction
    stage: Stage
    subject: str
    """What stands in angle brackets at the start of a refusal."""
    title: str
    helo: str | None
    sender: str | None
    recipient: str | None
    etrn_domain: str = ""
    defer_if_permit: Reply | None = None
    defer_if_reject: Reply | None = None
    warn_only: bool = False
    """Inside warn_if_reject: refusals are logged and have no effect."""
    depth: int = field(default=0)

    def reject(self, code: int, status: str, text: str) -> Verdict:
        """The refusal, after everything that may soften it: defer_if_reject, warn_if_reject, soft_bounce."""
        if self.defer_if_reject is not None and not self.warn_only and code >= 500:
            earlier, self.defer_if_reject = self.defer_if_reject, None
            return self.reject(earlier.code, earlier.status, earlier.text)
        if self.access.codes.soft_bounce and code >= 500:
            code -= 100
        if code // 100 not in (4, 5):
            log.warning("response code configuration error: %d %s", code, text)
            code, status, text = 450, "4.7.1", "Service unavailable"
        if status and status[0] != str(code)[0]:
            status = str(code)[0] + status[1:]
        reply = Reply(code, status, text)
        self.log("reject_warning" if self.warn_only else "reject", str(reply))
        return None if self.warn_only else reply

    def refuse(self, code: int, status: str, reason: str, about: tuple[str, str] | None = None) -> Verdict:
        """A refusal in the usual form: `<subject>: Title rejected: reason`.

        `about`: subject and title of a restriction that is about the same thing in every list, such as the HELO name.
        """
        subject, title = about or (self.subject, self.title)
        return self.reject(code, fitting_status(status, title), f"<{subject}>: {title} rejected: {reason}")

    def defer_later(self, status: str, text: str, code: int | None = None) -> None:
        """defer_if_permit: whatever permits later is a deferral; the first such reason is kept."""
        code = code or self.access.codes.defer
        if self.warn_only:
            self.log("reject_warning", f"{code} {status} {text}")
        elif self.defer_if_permit is None:
            self.defer_if_permit = Reply(code, status, text)

    def tempfail(self, action: str, code: int, status: str, text: str) -> Verdict:
        """What to do when DNS or a table gave no answer: unknown_address_tempfail_action and its like."""
        if action == "defer":
            return self.reject(code, status, text)
        if action == "defer_if_permit":
            self.defer_later(status, text, code)
        return None

    def log(self, what: str, text: str) -> None:
        """One line with everything that is known about the request, as smtpd(8) logs it."""
        session = self.session
        words = [f"{self.transaction.queue_id or 'NOQUEUE'}: {what}: {session.command} from {session.label}: {text};"]
        if self.sender is not None:
            words.append(f"from=<{self.sender}>")
        if self.recipient is not None:
            words.append(f"to=<{self.recipient}>")
        words.append(f"proto={session.protocol}")
        if self.helo is not None:
            words.append(f"helo=<{self.helo}>")
        if session.sasl_username:
            words.append(f"sasl_username=<{session.sasl_username}>")
        log.info("%s", " ".join(words))
