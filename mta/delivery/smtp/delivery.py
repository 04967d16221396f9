"""One delivery: the next hop's hosts in turn, until every recipient has a result."""

from __future__ import annotations

import asyncio
import errno
import functools
import os
import socket
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mta.delivery.request import Request
from mta.delivery.result import Dsn, Result, Status, Times
from mta.delivery.smtp import hosts, nexthop, sasl
from mta.delivery.smtp.checks import checked
from mta.delivery.smtp.client import Client
from mta.delivery.smtp.content import prepended
from mta.delivery.smtp.hosts import SMTP_PORT, HostAddress, HostFailure
from mta.delivery.smtp.nexthop import Destination, NexthopError
from mta.delivery.smtp.protocol import ClientProtocol
from mta.delivery.smtp.replyfilter import FilteredProtocol
from mta.delivery.smtp.session import HandshakeFailure, Login, MessageFailure, Peer, Session, SiteFailure
from mta.delivery.smtp.tlspolicy import Level, PolicyError, TlsPolicy
from mta.delivery.smtp.transaction import Letter, Transaction
from mta.queue.message import QueuedRecipient


class CannotBind(Exception):
    """The local address that is asked for is none of this host's (smtp_bind_address_enforce)."""


class Delivery:
    """The state of one request: who is left, and why the last server did not take them."""

    def __init__(self, client: Client, request: Request) -> None:
        self._client = client
        self._request = request
        self._settings = client.settings
        self._tools = client.tools
        self._left: list[QueuedRecipient] = list(request.recipients)
        self._why: Dsn | None = None
        self._final_server = False
        self._content: bytes | None = None
        self.results: list[Result] = []

    # --- results ---------------------------------------------------------------------------------------------------

    def _settle(
        self, recipients: Sequence[QueuedRecipient], dsn: Dsn, session: Session | None, *, site: bool = False
    ) -> None:
        """Final results."""
        request = self._request
        if dsn.status.startswith("2"):
            status = Status.SENT
        elif dsn.soft:
            status = Status.DEFERRED
        else:
            status = Status.BOUNCED
            if self._settings.soft_bounce:
                status, dsn = Status.DEFERRED, dsn.with_status(f"4{dsn.status[1:]}")
        relay = session.peer.full_name if session is not None else "none"
        failure = dsn if site and status is Status.DEFERRED else None
        now = self._tools.clock()
        seen = request.times
        times = Times(seen.arrival, seen.active, seen.handoff, seen.connected or now, now, seen.reuse)
        for recipient in recipients:
            self.results.append(Result(recipient, status, dsn, relay, times, failure))
        gone = {recipient.position for recipient in recipients}
        self._left = [recipient for recipient in self._left if recipient.position not in gone]

    def fail_rest(self, dsn: Dsn, session: Session | None = None, *, site: bool = False) -> None:
        """The same failure for all who are left."""
        self._settle(list(self._left), dsn, session, site=site)

    def _fail(self, recipients: Sequence[QueuedRecipient], dsn: Dsn, session: Session, *, site: bool) -> None:
        """A failure at one server: a soft one is kept for the next server, if there is one."""
        soft = dsn.soft or self._settings.soft_bounce
        if soft and not self._final_server:
            self._why = dsn
            self._client.logger.info("%s: %s", self._request.message.queue_id, dsn.reason)
            return
        self._settle(recipients, dsn, session, site=site)

    # --- destinations and hosts ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Try every server until nobody is left."""
        try:
            destinations = self._destinations()
        except NexthopError as error:
            self._client.logger.warning("%s", error)
            self.fail_rest(Dsn("4.3.5", f"bad next hop: {error}"))
            return
        for number, destination in enumerate(destinations):
            final = number == len(destinations) - 1
            await self._try_destination(destination, final)
            if not self._left or (self._why is not None and self._why.status.endswith(".4.6")):
                break
        if self._left:
            self._give_up(destinations)

    def _destinations(self) -> list[Destination]:
        text = self._request.nexthop
        if self._settings.lmtp:
            return [nexthop.parse_lmtp(text)]
        found = nexthop.parse_list(text, self._settings.default_port)
        if self._settings.fallback_relay:
            found += nexthop.parse_list(self._settings.fallback_relay, self._settings.default_port)
        return found

    def _give_up(self, destinations: Sequence[Destination]) -> None:
        why = self._why or Dsn("4.3.0", "server unavailable or unable to receive mail")
        if not why.soft:
            # A mistake in our own configuration must not bounce the mail of everybody.
            ours = (
                self._settings.relayhost and destinations[0].text in self._settings.relayhost.replace(",", " ").split()
            )
            if ours or self._settings.fallback_relay:
                parameter = "relayhost" if ours else "smtp_fallback_relay"
                self._client.logger.warning("%s configuration problem", parameter)
                why = why.with_status("4.3.5")
        self.fail_rest(why, site=True)

    async def _try_destination(self, destination: Destination, final: bool) -> None:
        settings = self._settings
        if destination.path:
            await self._try_server(destination, HostAddress(settings.myhostname, destination.path), final=True)
            return
        try:
            mine = self._tools.own_addresses if destination.port == SMTP_PORT else ()
            found = await hosts.find(destination, settings, self._tools.lookups, mine)
        except HostFailure as failure:
            self._why = failure.dsn
            return
        sessions = 0
        for number, host in enumerate(found[: settings.mx_address_limit or None], 1):
            last = number == len(found) or number == settings.mx_address_limit
            reached = await self._try_server(
                destination, host, final=final and (last or sessions + 1 == settings.mx_session_limit)
            )
            sessions += reached
            if not self._left or (settings.mx_session_limit and sessions >= settings.mx_session_limit):
                return

    async def _try_server(self, destination: Destination, host: HostAddress, *, final: bool) -> bool:
        """Deliver to one server whom it will take; True if it came to a mail transaction."""
        self._final_server = final
        try:
            policy = await self._tls_policy(destination, host)
            login = await self._login(destination, host)
        except (PolicyError, sasl.CredentialError) as error:
            self._client.logger.warning("%s: %s", destination.text, error)
            self._why = Dsn("4.7.5", f"client configuration problem for {destination.text}")
            return False
        key = (destination.text, host.address, policy, login.credentials)
        session = self._client.pool.take(key)
        if session is None:
            session = await self._connect(destination, host, policy, login)
        else:
            session.deliveries += 1
        if session is None:
            return False
        try:
            await self._transfer(session)
        finally:
            self._release(key, session)
        return True

    # --- connecting ------------------------------------------------------------------------------------------------

    async def _tls_policy(self, destination: Destination, host: HostAddress) -> TlsPolicy:
        policy = await self._tools.tls.find(destination.text, host.host)
        if destination.path and policy.level is Level.MAY:
            # A unix-domain socket cannot be listened to: opportunistic encryption would only cost (smtp_connect.c).
            return replace(policy, level=Level.NONE)
        return policy

    async def _login(self, destination: Destination, host: HostAddress) -> Login:
        tools = self._tools
        if not tools.sasl.enabled or tools.passwords is None:
            return Login(tools.sasl, None)
        sender = self._request.message.sender
        keys = []
        if tools.sasl.sender_dependent and sender:
            keys = [sender, f"@{sender.rpartition('@')[2]}"]
        keys += [host.host, destination.text]
        return Login(tools.sasl, await sasl.find_credentials(tools.passwords, keys), tools.refusals)

    async def _connect(
        self, destination: Destination, host: HostAddress, policy: TlsPolicy, login: Login
    ) -> Session | None:
        """A session that is ready for mail, or None with the reason noted or the recipients settled."""
        for level_policy in (policy, replace(policy, level=Level.NONE)):
            session = await self._open(destination, host)
            if session is None:
                return None
            try:
                await session.start(self._tools.tls, level_policy, login, destination.text)
            except HandshakeFailure as failure:
                session.protocol.abort()
                if level_policy is policy and self._may_go_in_plain_text(login):
                    continue
                self._fail(self._left, failure.dsn, session, site=False)
                return None
            except SiteFailure as failure:
                self._fail(self._left, failure.dsn, session, site=True)
                await session.quit()
                return None
            except PolicyError as error:
                self._client.logger.warning("%s", error)
                self._fail(self._left, Dsn("4.7.5", "client TLS configuration problem"), session, site=True)
                await session.quit()
                return None
            except BaseException:
                session.protocol.abort()
                raise
            session.opened = self._tools.clock()
            return session
        return None

    def _may_go_in_plain_text(self, login: Login) -> bool:
        """After a failed handshake: whoever spoils it must not get a password, and once may be an accident.

        As smtp(8) does (PLAINTEXT_FALLBACK_OK_AFTER_STARTTLS_FAILURE): only mail that has waited for
        minimal_backoff_time, so that it was tried with TLS before.
        """
        if login.settings.enabled and login.credentials is not None:
            return False
        times = self._request.times
        return (times.active or self._tools.clock()) - times.arrival >= self._settings.minimal_backoff

    async def _open(self, destination: Destination, host: HostAddress) -> Session | None:
        peer = Peer(host.host, host.address, destination.port)
        loop = asyncio.get_running_loop()
        maps = self._tools.reply_filter
        made = ClientProtocol if maps is None else functools.partial(FilteredProtocol, maps, peer.full_name)
        try:
            async with asyncio.timeout(self._settings.timeouts.connect or None):
                if destination.path:
                    path = Path(self._settings.queue_directory, destination.path)
                    _, protocol = await loop.create_unix_connection(made, str(path))
                else:
                    local = self._local_address(host)
                    _, protocol = await loop.create_connection(
                        made, host.address, destination.port, local_addr=(local, 0) if local else None
                    )
        except CannotBind:
            self._why = Dsn("4.4.0", "server configuration error")
            return None
        except (OSError, TimeoutError) as error:
            self._why = Dsn("4.4.1", f"connect to {peer.full_name}: {_system_text(error)}")
            if not destination.path:
                self._client.logger.info("%s", self._why.reason)
            return None
        discarded = await self._tools.discard.lookup(host.address) if self._tools.discard is not None else None
        loop_detect = destination.port == SMTP_PORT and not self._settings.lmtp
        domain = self._settings.myhostname if destination.path else destination.host
        session = Session(protocol, peer, self._settings, domain, loop_detect, destination.text.lower())
        if discarded is not None:
            session.discarded = frozenset(word.upper() for word in discarded.replace(",", " ").split())
        return session

    def _local_address(self, host: HostAddress) -> str:
        """The address to come from; empty where the system is to choose. Raises CannotBind."""
        local = self._settings.bind_address6 if host.ipv6 else self._settings.bind_address
        if not local:
            return ""
        try:
            with socket.socket(socket.AF_INET6 if host.ipv6 else socket.AF_INET) as probe:
                probe.bind((local, 0))
        except OSError as error:
            self._client.logger.warning("bind %s: %s", local, error.strerror)
            if self._settings.bind_enforce:
                raise CannotBind from None
            return ""
        return local

    # --- the transaction -------------------------------------------------------------------------------------------

    async def _letter(self, recipients: Sequence[QueuedRecipient]) -> Letter:
        message = self._request.message
        content = self._content
        if content is None:
            content = self._content = self._request.read_content()
        sender, addresses = message.sender, [recipient.recipient.address for recipient in recipients]
        generic = self._tools.generic
        if generic is not None:
            content = await generic.content(content)
            sender = await generic.address(sender) if sender else sender
            addresses = [await generic.address(address) for address in addresses]
        if self._tools.checks is not None:
            content = await checked(self._tools.checks, content, message.queue_id)
        if self._settings.flags:
            content = prepended(self._settings.flags, sender, recipients) + content
        return Letter(message, sender, recipients, addresses, content)

    async def _transfer(self, session: Session) -> None:
        times = self._request.times
        times.connected, times.reuse = self._tools.clock(), session.deliveries
        recipients = list(self._left)
        letter = await self._letter(recipients)
        transaction = Transaction(session, letter)
        failure: SiteFailure | MessageFailure | None = None
        try:
            await transaction.run()
        except (SiteFailure, MessageFailure) as error:
            failure = error
        except BaseException:
            session.poisoned = True
            raise
        fates = transaction.fates
        for number, dsn in fates.failed.items():
            self._fail([recipients[number]], dsn, session, site=False)
        for number, dsn in fates.sent.items():
            self._settle([recipients[number]], dsn, session)
        if failure is not None:
            rest = [r for n, r in enumerate(recipients) if n not in fates.failed and n not in fates.sent]
            self._fail(rest, failure.dsn, session, site=isinstance(failure, SiteFailure))

    def _release(self, key: object, session: Session) -> None:
        settings = self._settings
        age = self._tools.clock() - session.opened
        wanted = settings.cache_on_demand and self._request.more_to_come()
        keep = (
            (wanted or session.destination in settings.kept_destinations)
            and not session.poisoned
            and session.protocol.usable
            and age < settings.reuse_time_limit
            and (not settings.reuse_count_limit or session.deliveries + 1 < settings.reuse_count_limit)
        )
        if keep:
            self._client.pool.put(key, session)
        elif session.protocol.usable:
            self._client.pool.dismiss(session)
        else:
            session.protocol.abort()


def _system_text(error: Exception) -> str:
    """What strerror(3) says, as Postfix does; asyncio's own words are about itself."""
    if isinstance(error, TimeoutError):
        return os.strerror(errno.ETIMEDOUT)
    number = getattr(error, "errno", None)
    return os.strerror(number) if isinstance(number, int) and number > 0 else str(error)
