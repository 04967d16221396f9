"""GETQUOTA, GETQUOTAROOT, SETQUOTA (RFC 9208), known where the imap_quota plugin is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imap.imap4.arguments import Arguments
from imap.imap4.commands.base import Command, Reply
from imap.imap4.errors import Bad, No
from imap.imap4.syntax import astring, string
from imap.store import QuotaRoot, UserStore

if TYPE_CHECKING:
    from imap.imap4.session import Session

KIB = 1024


def _store(session: Session) -> UserStore:
    """The user's store; raises Bad where quota is not part of the configuration."""
    if not session.settings.quota:
        raise Bad("Unknown command")
    assert session.store is not None
    return session.store


def _tell(session: Session, store: UserStore, root: QuotaRoot) -> None:
    """One QUOTA response: the resources that have a limit, storage in KiB."""
    limits, usage = root.limits(), store.quota_usage(root)
    resources = []
    if limits.storage:
        resources.append(f"STORAGE {-(-usage.storage // KIB)} {limits.storage // KIB}")
    if limits.messages:
        resources.append(f"MESSAGE {usage.messages} {limits.messages}")
    session.write(b"* QUOTA " + string(root.name.encode()) + f" ({' '.join(resources)})\r\n".encode())


class GetQuotaRoot(Command):
    """GETQUOTAROOT mailbox: the roots that count for it; every mailbox has the same."""

    name = "GETQUOTAROOT"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        store = _store(session)
        wire = arguments.astring()
        names = b"".join(b" " + string(root.name.encode()) for root in store.quota_roots)
        session.write(b"* QUOTAROOT " + (astring(wire) if wire else b'""') + names + b"\r\n")
        for root in store.quota_roots:
            _tell(session, store, root)
        return Reply("Getquotaroot completed.")


class GetQuota(Command):
    """GETQUOTA root."""

    name = "GETQUOTA"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        store = _store(session)
        wanted = arguments.astring().decode("utf-8", "replace")
        for root in store.quota_roots:
            if root.name == wanted:
                _tell(session, store, root)
                return Reply("Getquota completed.")
        raise No("Quota root doesn't exist.")


class SetQuota(Command):
    """SETQUOTA root (limits): for administrators only, and there are none here."""

    name = "SETQUOTA"

    def run(self, session: Session, arguments: Arguments) -> Reply:
        _store(session)
        arguments.astring()
        arguments.group()
        raise No("Quota can be changed only by admin")
