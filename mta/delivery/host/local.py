"""local(8): aliases, .forward files, mailboxes, commands and files of this host's users."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from mta.address import Extensions, Resolver, Rewriter
from mta.delivery.host import expansion, final
from mta.delivery.host.localsettings import LocalSettings
from mta.delivery.host.report import Forward, Report
from mta.delivery.host.state import MAX_LEVEL, Delivery, State, delivered_to
from mta.delivery.request import Request
from mta.queue.message import QueuedRecipient
from mta.tables import TableError

logger = logging.getLogger("postfix.local")


class Local:
    """One local service of master.cf."""

    def __init__(
        self,
        settings: LocalSettings,
        resolver: Resolver,
        rewriter: Rewriter,
        extensions: Extensions,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.resolver = resolver
        self.rewriter = rewriter
        self.extensions = extensions
        self.clock = clock

    async def reports(self, request: Request) -> list[Report]:
        """See Deliverer."""
        content = request.read_content()
        loops = delivered_to(content)
        return [await self._report(request, recipient, content, loops) for recipient in request.recipients]

    async def _report(
        self, request: Request, recipient: QueuedRecipient, content: bytes, loops: frozenset[str]
    ) -> Report:
        message = request.message
        delivery = Delivery(request, content, loops, Report(recipient.position), self.settings.duplicates)
        state = State(recipient.recipient, message.sender, message.ret, message.envid)
        try:
            await self.recipient(delivery, state)
        except TableError as error:
            logger.warning("%s", error)
            delivery.note(state, "4.3.0", "address resolver failure")
        if not delivery.deferred:
            shown = "forward" in self.settings.delivered_header
            delivery.report.forwards = [
                Forward(sender, delivered if shown else "", recipients, ret, envid)
                for (delivered, sender, ret, envid), recipients in delivery.forwards.items()
            ]
        return delivery.report

    # --- one name --------------------------------------------------------------------------------------------------

    async def recipient(self, delivery: Delivery, state: State) -> None:
        """Deliver to an address that is ours."""
        state = state.deeper()
        if state.level > MAX_LEVEL:
            logger.warning("recipient nesting limit exceeded for %s", state.address)
            delivery.note(state, "5.4.6", "recipient nesting limit exceeded")
            return
        if delivery.been_here("recipient", state.level, state.address):
            return
        if state.address.casefold() in delivery.loops:
            delivery.note(state, "5.4.6", f"mail forwarding loop for {state.address}")
            return
        local, _, domain = state.address.casefold().rpartition("@")
        user, extension = self.extensions.split_local(local)
        if "/" in extension:
            logger.warning("%s: address with illegal extension: %s", delivery.request.message.queue_id, local)
            local, extension = user, ""
        state = replace(
            state,
            delivered=state.delivered or state.address,
            local=local,
            user=user,
            extension=extension,
            domain=domain,
            unmatched="",
        )
        if not user:
            delivery.note(state, "5.1.3", f'null username in "{state.address}"')
            return
        if await expansion.alias(self, delivery, state, local):
            return
        if extension:
            onward = replace(state, unmatched=extension if "alias" in self.settings.propagate else "")
            if await expansion.alias(self, delivery, onward, user):
                return
        state = replace(state, unmatched=extension)
        if (state.owner and state.owner.casefold() != user) or state.kind == "include":
            self.indirect(delivery, state)
            return
        if (
            await final.home_is_missing(self, delivery, state)
            or await expansion.forward_file(self, delivery, state)
            or await final.mailbox(self, delivery, state)
        ):
            return
        await final.unknown(self, delivery, state)

    # --- one destination -------------------------------------------------------------------------------------------

    async def resolve(self, delivery: Delivery, state: State, address: str) -> None:
        """Deliver to an address that may be anybody's: our own go on here, others are sent on."""
        state = state.deeper()
        resolution = await self.resolver.resolve(self.rewriter.rewrite(address), state.sender)
        if resolution.error:
            delivery.note(state, "5.1.3", f"bad recipient address syntax: {resolution.recipient}")
            return
        target = resolution.recipient
        if state.unmatched:
            local, at, domain = target.rpartition("@")
            target = f"{local}{state.unmatched}{at}{domain}"
        state = state.at(target)
        if resolution.transport == self.settings.name:
            await self.recipient(delivery, state)
        else:
            self.indirect(delivery, state)

    def indirect(self, delivery: Delivery, state: State) -> None:
        """Send on, as a message of its own with a queue entry for every recipient."""
        if delivery.been_here("indirect", state.address):
            return
        if delivery.request.message.is_probe:
            delivery.note(state, "2.0.0", f"forwards to {state.address}")
            return
        key = state.delivered, state.sender, state.ret, state.envid
        delivery.forwards.setdefault(key, []).append(state.recipient)
