"""virtual(8): mailboxes of users who are no users of the system."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mta.address import AddressSearch
from mta.delivery.host import mailbox, maildir
from mta.delivery.host.copy import MAILDIR, MBOX, copied
from mta.delivery.host.localsettings import locking, size_limit
from mta.delivery.host.mailbox import Locking, Target, Verdict
from mta.delivery.host.report import Report, Step
from mta.delivery.host.rights import CannotBecome, ChildFailed, Rights, act_as
from mta.delivery.host.state import CONFIGURATION, delivered_to
from mta.delivery.request import Request
from mta.queue.message import QueuedRecipient
from mta.tables import Maps, TableError, maps_of

if TYPE_CHECKING:
    from mta.config import MainConfig

logger = logging.getLogger("postfix.virtual")

_NUMBER: Final = re.compile(r"[0-9]{1,10}\Z")


class Misconfigured(Exception):
    """A table says what cannot be; the text is for the log."""


@dataclass(frozen=True, slots=True)
class VirtualSettings:
    """The parameters and tables of virtual(8)."""

    base: str
    mailboxes: Maps
    uids: Maps
    gids: Maps
    minimum_uid: int
    size_limit: int
    locking: Locking
    strict_ownership: bool

    @classmethod
    def from_config(cls, config: MainConfig) -> VirtualSettings:
        """Raises ConfigErrors."""
        return cls(
            config.str("virtual_mailbox_base"),
            maps_of(config, "virtual_mailbox_maps"),
            maps_of(config, "virtual_uid_maps"),
            maps_of(config, "virtual_gid_maps"),
            config.int("virtual_minimum_uid"),
            size_limit(config, "virtual_mailbox_limit"),
            locking(config, "virtual_mailbox_lock"),
            config.bool("strict_mailbox_ownership"),
        )


class Virtual:
    """A virtual service of master.cf."""

    def __init__(
        self, settings: VirtualSettings, search: AddressSearch, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._search = search
        self._clock = clock

    async def reports(self, request: Request) -> list[Report]:
        """See Deliverer."""
        content = request.read_content()
        loops = delivered_to(content)
        reports = []
        for recipient in request.recipients:
            status, reason = await self._deliver(request, recipient, content, loops)
            step = Step.of(recipient.recipient.address, status, reason)
            reports.append(Report(recipient.position, [step]))
        return reports

    async def _deliver(
        self, request: Request, recipient: QueuedRecipient, content: bytes, loops: frozenset[str]
    ) -> Verdict:
        address = recipient.recipient.address
        if address.casefold() in loops:
            return "5.4.6", f"mail forwarding loop for {address}"
        user = address.casefold()
        try:
            path = await self._find(self._settings.mailboxes, user)
            if path is None:
                return "5.1.1", f'unknown user: "{user}"'
            path = self._path(user, path)
            rights = await self._rights(user)
        except (Misconfigured, TableError) as error:
            logger.warning("%s", error)
            return "4.3.5", CONFIGURATION
        try:
            return await self._store(request, recipient, content, path, rights)
        except CannotBecome as error:
            logger.warning("%s", error)
            return "4.3.5", str(error)
        except (ChildFailed, OSError) as error:
            return "4.3.0", f"delivery failed: {error}"

    async def _find(self, maps: Maps, user: str) -> str | None:
        found = await self._search.find(maps, user)
        return found.value if found else None

    def _path(self, user: str, found: str) -> str:
        if ".." in found.split("/") or "\0" in found:
            raise Misconfigured(f"recipient {user}: bad mailbox path {found} in virtual_mailbox_maps")
        return f"{self._settings.base}/{found}"

    async def _rights(self, user: str) -> Rights:
        settings = self._settings
        uid = await self._number(settings.uids, user, "uid", settings.minimum_uid)
        return Rights(uid, await self._number(settings.gids, user, "gid", 1))

    async def _number(self, maps: Maps, user: str, kind: str, least: int) -> int:
        value = await self._find(maps, user)
        if value is None:
            raise Misconfigured(f"recipient {user}: not found in virtual_{kind}_maps")
        if not _NUMBER.match(value) or not least <= int(value) < 1 << 32:
            raise Misconfigured(f"recipient {user}: bad {kind} {value} in virtual_{kind}_maps")
        return int(value)

    async def _store(
        self, request: Request, recipient: QueuedRecipient, content: bytes, path: str, rights: Rights
    ) -> Verdict:
        settings, is_maildir = self._settings, path.endswith("/")
        kind = "maildir" if is_maildir else "mailbox"
        if request.message.is_probe:
            return "2.0.0", f"delivers to {kind}"
        octets = copied(
            content,
            MAILDIR if is_maildir else MBOX,
            sender=request.message.sender,
            original=recipient.recipient.original,
            delivered=recipient.recipient.address,
            now=self._clock(),
        )
        # The mailbox's place is the administrator's choice: where it cannot be used, mail waits and does not bounce.
        wrong = ("5.3.5", CONFIGURATION)
        target = Target(path, rights, owned=settings.strict_ownership, otherwise="4.2.0", not_regular=wrong)

        def work() -> list[Verdict | None]:
            if is_maildir:
                return [maildir.deliver(path, octets, "4.2.0")]
            return [mailbox.append(target, octets, settings.locking)]

        verdict = (await act_as(rights, work, file_limit=settings.size_limit))[0]
        if verdict is None:
            return "2.0.0", f"delivered to {kind}"
        status, reason = verdict
        if is_maildir or verdict == list(wrong):
            return status, reason
        return status, f"cannot update mailbox {path} for user {recipient.recipient.address.casefold()}. {reason}"
