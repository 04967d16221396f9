"""Commands allowed at any time, and CHECK: CAPABILITY, NOOP, LOGOUT (RFC 3501 sections 6.1 and 6.4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from imap.imap4.commands.base import ANY_STATE, Command, Flush, Reply, State

if TYPE_CHECKING:
    from imap.imap4.arguments import Arguments
    from imap.imap4.session import Session


class Capability(Command):
    """CAPABILITY."""

    name = "CAPABILITY"
    states = ANY_STATE

    def run(self, session: Session, arguments: Arguments) -> Reply:
        # As Dovecot: who asks before log-in is told again behind it. Behind STARTTLS everybody has to ask.
        session.asked_capability |= not session.started_tls
        session.tell_capability()
        if session.logged_in:
            return Reply("Capability completed.")
        return Reply("Pre-login capabilities listed, post-login capabilities have more.")


class Noop(Command):
    """NOOP: what happened to the mailbox is told with its answer."""

    name = "NOOP"
    states = ANY_STATE
    flush = Flush.ALL
    reply: ClassVar = Reply("NOOP completed.")

    def run(self, session: Session, arguments: Arguments) -> Reply:
        return self.reply


class Check(Command):
    """CHECK."""

    name = "CHECK"
    states = State.SELECTED
    flush = Flush.ALL
    reply: ClassVar = Reply("Check completed.")

    def run(self, session: Session, arguments: Arguments) -> Reply:
        return self.reply


class Logout(Command):
    """LOGOUT: BYE, OK, and the connection is closed."""

    name = "LOGOUT"
    states = ANY_STATE
    breaks_mailbox = True

    def run(self, session: Session, arguments: Arguments) -> Reply:
        session.write(b"* BYE Logging out\r\n")
        return Reply("Logout completed.", close=True)
