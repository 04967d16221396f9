"""What all sessions of one smtpd process share: parameters, tables, policy, limits, queue."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mta.address import (
    NameAddressList,
    Resolver,
    StringList,
    domain_list,
    name_address_list,
    quote_821,
    string_list,
)
from mta.clock import clock_of
from mta.config import MainConfig
from mta.dns import Resolver as Dns
from mta.message import Cleanup
from mta.message.received import Trace, received_header
from mta.message.service import cleanup_rules
from mta.message.settings import receive_overrides
from mta.milter import Filters
from mta.milter.macros import site_values
from mta.queue import NewMessage, control
from mta.smtpd import greeting, parameters
from mta.smtpd.access.engine import Access
from mta.smtpd.addresses import Addresses
from mta.smtpd.authentication import Sasl
from mta.smtpd.dotreader import Newlines
from mta.smtpd.footer import Footer
from mta.smtpd.greetpause import GreetPause
from mta.smtpd.limits import Limits
from mta.smtpd.peers import Peers
from mta.smtpd.proxyfilter import ProxyFilter
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session, Transaction
from mta.smtpd.spool import WHOLE_AT_ONCE, Spool
from mta.smtpd.starttls import TlsService
from mta.smtpd.timekeeper import Timekeeper
from mta.smtpd.wrapper import Wrapper
from mta.tables import Maps, TableError, maps_of

if TYPE_CHECKING:
    from mta.authres import Authenticator
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

SPACE_CHECK_SECONDS = 0.5
"""Between two looks at the free space: far more than queue_minfree fits in between, and put() finds a full disk too."""


class MailQueue(Protocol):
    """What smtpd needs of mta.queue.Queue."""

    def new_id(self) -> str: ...
    def check_space(self, size: int = 0) -> None: ...
    async def put(self, message: NewMessage) -> str: ...


@dataclass
class Server:
    """One smtpd: the parameters that its commands read, by their names in postconf(5) or near them."""

    config: MainConfig
    queue: MailQueue
    cleanup: Cleanup
    authenticator: Authenticator | None
    access: Access
    addresses: Addresses
    wrapper: Wrapper
    peers: Peers
    limits: Limits
    tls: TlsService
    sasl: Sasl
    queue_directory: Path
    client_port_logging: bool
    open_early: bool
    """smtpd_delay_open_until_valid_rcpt = no: a message has its queue id from MAIL on."""
    hostname: str
    mail_name: str
    banner: Reply
    line_limit: int
    timeout: float
    per_request_deadline: bool
    """smtpd_timeout is for a whole command or the whole content, prolonged by least_data_rate, not for one read."""
    least_data_rate: int
    """smtpd_min_data_rate, octets a second."""
    starttls_timeout: float
    error_sleep: float
    soft_error_limit: int
    hard_error_limit: int
    junk_command_limit: int
    message_size_limit: int
    recipient_limit: int
    recipient_overshoot_limit: int
    helo_required: bool
    strict_envelopes: bool
    smtputf8: bool
    strict_smtputf8: bool
    disable_vrfy: bool
    forbid_pipelining: bool
    newlines: Newlines
    bare_newline_code: int
    bare_newline_exclusions: NameAddressList | None
    event_limit_exceptions: NameAddressList | None
    xclient_hosts: NameAddressList
    xforward_hosts: NameAddressList
    upstream_proxy: bool
    upstream_proxy_timeout: float
    noop_commands: StringList
    forbidden_commands: StringList
    keywords_discarded: frozenset[str]
    keyword_maps: Maps
    command_maps: Maps
    footer: Footer
    authenticated_header: bool
    soft_bounce: bool
    proxy_filter: ProxyFilter | None
    milters: Filters
    milter_maps: Maps
    milter_macros: dict[str, str]
    greet_pause: GreetPause
    probe_sender_changes: bool = False
    """address_verify_sender_ttl is set."""
    screened_ports: frozenset[int] = frozenset()
    """Ports of listeners that run postscreen."""
    keep_injected_plaintext: bool = False
    """The weakened twin of no-starttls-injection: plaintext sent ahead of a handshake is obeyed after it."""
    whole: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WHOLE_AT_ONCE))
    """Held while a large content is in memory as a whole."""
    stress: str = ""
    """`yes` for what serves clients while all sessions are taken."""
    clock: Callable[[], float] = time.time
    connections: set[Connection] = field(default_factory=set)
    talking: set[object] = field(default_factory=set)
    """Connections that were heard of lately; the queue's, see there."""
    timekeeper: Timekeeper = field(default_factory=Timekeeper)
    _space_checked: float = -1.0

    @classmethod
    def from_config(
        cls, config: MainConfig, queue: MailQueue, limits: Limits | None = None, dns: Dns | None = None
    ) -> Server:
        """Reads every parameter and opens every table and key; raises ConfigErrors with all mistakes found."""
        resolver, dns, clock = Resolver(config), dns or Dns.of(config), clock_of(config)
        tls = TlsService.from_config(config)
        number, yes, text, seconds = config.int, config.bool, config.str, config.seconds
        hostname = text("myhostname")
        starttls_timeout = seconds("smtpd_starttls_timeout")
        filtered = "no_milters" not in receive_overrides(config)
        return cls(
            config=config,
            queue=queue,
            authenticator=_authenticator(config, dns),
            cleanup=Cleanup(cleanup_rules(config), clock),
            clock=clock,
            access=Access(config, resolver, dns),
            addresses=Addresses(resolver),
            wrapper=Wrapper.from_config(config),
            peers=Peers(dns, yes("smtpd_peername_lookup")),
            limits=limits or Limits.local(config),
            tls=tls,
            sasl=Sasl.from_config(config, tls.auth_only),
            queue_directory=Path(text("queue_directory")),
            client_port_logging=yes("smtpd_client_port_logging"),
            open_early=not yes("smtpd_delay_open_until_valid_rcpt"),
            hostname=hostname,
            mail_name=text("mail_name"),
            banner=Reply(220, "", text("smtpd_banner")),
            line_limit=number("line_length_limit"),
            timeout=seconds("smtpd_timeout"),
            per_request_deadline=yes("smtpd_per_request_deadline"),
            least_data_rate=max(number("smtpd_min_data_rate"), 1),
            starttls_timeout=starttls_timeout,
            error_sleep=seconds("smtpd_error_sleep_time"),
            soft_error_limit=number("smtpd_soft_error_limit"),
            hard_error_limit=number("smtpd_hard_error_limit"),
            junk_command_limit=number("smtpd_junk_command_limit"),
            message_size_limit=number("message_size_limit"),
            recipient_limit=number("smtpd_recipient_limit"),
            recipient_overshoot_limit=number("smtpd_recipient_overshoot_limit"),
            helo_required=yes("smtpd_helo_required"),
            strict_envelopes=yes("strict_rfc821_envelopes"),
            smtputf8=yes("smtputf8_enable"),
            strict_smtputf8=yes("strict_smtputf8"),
            disable_vrfy=yes("disable_vrfy_command"),
            forbid_pipelining=yes("smtpd_forbid_unauth_pipelining"),
            newlines=parameters.newlines(config),
            bare_newline_code=number("smtpd_forbid_bare_newline_reject_code"),
            bare_newline_exclusions=parameters.clients(config, "smtpd_forbid_bare_newline_exclusions"),
            event_limit_exceptions=parameters.clients(config, "smtpd_client_event_limit_exceptions"),
            xclient_hosts=name_address_list(config, "smtpd_authorized_xclient_hosts"),
            xforward_hosts=name_address_list(config, "smtpd_authorized_xforward_hosts"),
            upstream_proxy=parameters.upstream_proxy(config),
            upstream_proxy_timeout=seconds("smtpd_upstream_proxy_timeout"),
            noop_commands=string_list(config, "smtpd_noop_commands"),
            forbidden_commands=string_list(config, "smtpd_forbidden_commands"),
            keywords_discarded=parameters.keywords(config.list("smtpd_discard_ehlo_keywords")),
            keyword_maps=maps_of(config, "smtpd_discard_ehlo_keyword_address_maps"),
            command_maps=maps_of(config, "smtpd_command_filter"),
            footer=Footer.from_config(config),
            authenticated_header=yes("smtpd_sasl_authenticated_header"),
            soft_bounce=yes("soft_bounce"),
            proxy_filter=ProxyFilter.from_config(config),
            milters=Filters.from_config(config, "smtpd_milters") if filtered else Filters.of(config, "", ()),
            milter_maps=maps_of(config, "smtpd_milter_maps") if filtered else Maps("", ()),
            milter_macros=site_values(config),
            greet_pause=GreetPause.from_config(config),
            probe_sender_changes=seconds("address_verify_sender_ttl") > 0,
            keep_injected_plaintext=config.raw("hardmail_starttls_injection") == "yes",
        )

    def under_stress(self) -> Server:
        """The same server for clients that come while all sessions are taken (STRESS_README)."""
        config = self.config.with_overrides({"stress": "yes"})
        return replace(
            self,
            config=config,
            stress="yes",
            timeout=config.seconds("smtpd_timeout"),
            per_request_deadline=config.bool("smtpd_per_request_deadline"),
            starttls_timeout=config.seconds("smtpd_starttls_timeout"),
            hard_error_limit=config.int("smtpd_hard_error_limit"),
            junk_command_limit=config.int("smtpd_junk_command_limit"),
        )

    async def close(self) -> None:
        """Let go of the connections to other services."""
        self.access.close()
        if self.sasl.client is not None:
            await self.sasl.client.close()

    def check_space(self, size: int) -> None:
        """Raises QueueFull or QueueError; the file system is asked at most once in SPACE_CHECK_SECONDS."""
        now = time.monotonic()
        if now - self._space_checked >= SPACE_CHECK_SECONDS:
            self.queue.check_space(size)
            self._space_checked = now

    def spool(self) -> Spool:
        """A place for content that arrives."""
        return Spool(self.queue_directory)

    # Sessions.

    def new_session(self, loop: asyncio.AbstractEventLoop, peer: Any, local: Any) -> Session:
        """A session for a connection; addresses as the event loop gives them."""
        here = parameters.numeric(local[0]), local[1]
        session = Session(loop, parameters.numeric(peer[0]), peer[1], here, logs_port=self.client_port_logging)
        session.stress = self.stress
        return session

    async def choose_client_rules(self, session: Session) -> None:
        """Which limits and tolerances apply to this client."""
        peer = session.peer_info
        session.discarded_keywords = await self._discarded_keywords(peer.address)
        try:
            session.unlimited = await self._is_in(self.event_limit_exceptions, session)
            session.may_xclient = bool(self.xclient_hosts) and await self._is_in(self.xclient_hosts, session)
            session.may_xforward = bool(self.xforward_hosts) and await self._is_in(self.xforward_hosts, session)
            if self.newlines is not Newlines.ANY:
                session.strict_newlines = not await self._is_in(self.bare_newline_exclusions, session)
        except TableError as error:
            log.warning("client list lookup problem for %s: %s", peer.label, error)
            session.strict_newlines = self.newlines is not Newlines.ANY

    async def _is_in(self, clients: NameAddressList | None, session: Session) -> bool:
        """Whether a list names the client; None stands for mynetworks, which is asked once in a session."""
        if clients is None:
            return await self.access.is_in_mynetworks(session)
        return await clients.match_client(session.peer_info.name, session.peer_info.address)

    async def _discarded_keywords(self, address: str) -> frozenset[str]:
        """EHLO keywords that this client does not get; an entry for its address replaces the general list."""
        if self.keyword_maps:
            try:
                value = await self.keyword_maps.lookup(address)
            except TableError:
                return self.keywords_discarded
            if value is not None:
                return parameters.keywords(value.replace(",", " ").split())
        return self.keywords_discarded

    async def finish_refusal(self, session: Session, reply: Reply) -> Reply:
        """What the site does to every refusal: soft_bounce, smtpd_reject_footer."""
        if self.soft_bounce and reply.code >= 500:
            status = f"4{reply.status[1:]}" if reply.status else ""
            reply = Reply(reply.code - 100, status, reply.text)
        return await self.footer.add(session, reply) if self.footer else reply

    def bare_newline_refusal(self, session: Session) -> Reply | None:
        """smtpd_forbid_bare_newline = reject: what to answer; None under `normalize`."""
        if self.newlines is not Newlines.REJECT:
            return None
        return Reply(self.bare_newline_code, "5.5.2", f"{self.hostname} Error: bare <LF> received")

    async def filtered_command(self, text: str) -> str:
        """smtpd_command_filter: the command as it is understood."""
        try:
            return await self.command_maps.lookup(text) or text
        except TableError:
            return text

    async def welcome(self, connection: Connection) -> Reply:
        """What a client is greeted with, also one that another speaks for."""
        return await greeting.welcome(connection)

    # Content.

    def trace(self, session: Session, transaction: Transaction) -> bytes:
        """Our Received header for this message."""
        peer, tls = session.peer_info, session.tls
        recipients = transaction.rcpt_tos
        shows_tls = tls is not None and self.tls.received_header
        protocol = session.with_protocol
        trace = Trace(
            helo=session.helo_name or peer.name,
            name=peer.name,
            address=peer.literal,
            by=self.hostname,
            mail_name=self.mail_name,
            protocol=f"UTF8{protocol.removeprefix('E')}" if transaction.smtp_utf8 else protocol,
            queue_id="" if self.proxy_filter is not None else transaction.queue_id,  # nothing is queued here then
            recipient=quote_821(recipients[0]) if len(recipients) == 1 else "",
            tls=tls.agreed.received(tls.certificate_requested) if tls is not None and shows_tls else (),
            authenticated=session.sasl_username if self.authenticated_header else "",
        )
        return received_header(trace, self.clock())

    def request_flush(self, domain: str) -> bool:
        """ETRN: the deferred mail for the domain is tried now. False when nobody could be told."""
        return control.flush_site(Path(self.config.str("queue_directory")), domain)

    async def flushes(self, domain: str) -> bool:
        """Whether the site takes ETRN for a domain (fast_flush_domains)."""
        return await domain_list(self.config, "fast_flush_domains").match(domain)


def _authenticator(config: MainConfig, dns: Dns) -> Authenticator | None:
    if not config.bool("hardmail_authentication_results"):
        return None
    from mta.authres import Authenticator  # as large as smtpd's own dialogue: for those who want it

    return Authenticator(dns, config.str("hardmail_authserv_id"))
