"""The policy as a whole: when which list is asked, and what its end means (SMTPD_ACCESS_README)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from mta.address import AddressClass, AddressSearch, NameAddressList, Resolution, Resolver, name_address_list
from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.config.lines import split_list
from mta.config.values import seconds as parse_seconds
from mta.dns import Resolver as Dns
from mta.message.settings import receive_overrides
from mta.smtpd.access import users
from mta.smtpd.access.check import PERMIT, Check, Stage, Title, Verdict
from mta.smtpd.access.codes import Codes
from mta.smtpd.access.lists import BadRestriction, Step, compile_list, errors_in
from mta.smtpd.access.policy import Service
from mta.smtpd.access.recipient import reject_unlisted_recipient
from mta.smtpd.access.sender import reject_unlisted_sender
from mta.smtpd.access.verified import Verifier
from mta.smtpd.lookups import Lookups
from mta.smtpd.replies import Reply
from mta.smtpd.session import Session
from mta.tables import TableError, maps_of

if TYPE_CHECKING:
    from mta.smtpd.connection import Connection

LISTS: Final = {
    Stage.CLIENT: "smtpd_client_restrictions",
    Stage.HELO: "smtpd_helo_restrictions",
    Stage.SENDER: "smtpd_sender_restrictions",
    Stage.RELAY: "smtpd_relay_restrictions",
    Stage.RECIPIENT: "smtpd_recipient_restrictions",
    Stage.ETRN: "smtpd_etrn_restrictions",
    Stage.DATA: "smtpd_data_restrictions",
    Stage.END_OF_DATA: "smtpd_end_of_data_restrictions",
}

COMPILED_LIMIT: Final = 1000
"""Compiled lists that came out of access tables and are kept; pattern tables can make any number of different ones."""


class Access:
    """The restriction lists of one smtpd with everything that they consult."""

    def __init__(self, config: MainConfig, resolver: Resolver, dns: Dns) -> None:
        """Compiles the lists and opens their tables. Raises ConfigErrors with every mistake in every list."""
        self.config = config
        self.resolver = resolver
        self.search: AddressSearch = resolver.search
        self.dns = dns
        self.lookups = Lookups(dns)
        self.codes = Codes.from_config(config)
        self.delay_reject = config.bool("smtpd_delay_reject")
        self.smtputf8 = config.bool("smtputf8_enable")
        self.mynetworks: NameAddressList = name_address_list(config, "mynetworks")
        self.own_addresses = frozenset(str(interface.ip) for interface in config.own_interfaces)
        self.mx_backup_networks: NameAddressList = name_address_list(config, "permit_mx_backup_networks")
        self.relay_clientcerts = maps_of(config, "relay_clientcerts")
        self.sender_login_maps = maps_of(config, "smtpd_sender_login_maps")
        self.rbl_reply_maps = maps_of(config, "rbl_reply_maps")
        self.default_rbl_reply = config.raw("default_rbl_reply") or ""
        self.null_sender_key = config.str("smtpd_null_access_lookup_key")
        self.double_bounce = config.str("double_bounce_sender").lower()
        self.allow_untrusted_routing = config.bool("allow_untrusted_routing")
        self._unsafe = _complement(config.raw("smtpd_expansion_filter") or "")
        self.verifier = Verifier(config)
        self.policy_services: list[Service] = []
        self.recipient_mapping, self.sender_mapping = users.mapping(config)
        self.user_lists = users.user_lists(config, self.codes)
        self.relay_first = config.bool("smtpd_relay_before_recipient_restrictions")
        self.unlisted_recipient = config.bool("smtpd_reject_unlisted_recipient") and (
            "no_unknown_recipient_checks" not in receive_overrides(config)
        )
        self.unlisted_sender = config.bool("smtpd_reject_unlisted_sender")
        self.classes = {
            name: config.list(name) if config.is_set(name) else [] for name in config.list("smtpd_restriction_classes")
        }
        self.class_names = frozenset(self.classes)
        self._compiled: dict[tuple[str, Stage], tuple[Step, ...]] = {}
        self.lists = self._compile(config)
        self.rewrite_clients = self._compile_rewrite_clients(config)

    def _compile(self, config: MainConfig) -> dict[Stage, tuple[Step, ...]]:
        compiled: dict[Stage, tuple[Step, ...]] = {}
        errors: list[ConfigError] = []
        for name, words in self.classes.items():
            errors += errors_in(self, name, words, Stage.RECIPIENT.bare_table, config.where(name))
        for stage, parameter in LISTS.items():
            words = config.list(parameter)
            found = list(errors_in(self, parameter, words, stage.bare_table, config.where(parameter)))
            if found:
                errors += found
            else:
                compiled[stage] = compile_list(self, words, stage.bare_table)
        if errors:
            raise ConfigErrors(errors)
        return compiled

    def _compile_rewrite_clients(self, config: MainConfig) -> tuple[Step, ...]:
        parameter = "local_header_rewrite_clients"
        try:
            return compile_list(self, config.list(parameter), "check_address_map")
        except BadRestriction as problem:
            raise ConfigErrors([ConfigError(config.where(parameter), f"{parameter}: {problem}")]) from None

    def close(self) -> None:
        """Let go of the connections to policy servers and to the verify service."""
        self.verifier.close()
        for service in self.policy_services:
            service.close()

    # What restrictions ask.

    def steps_of(self, text: str, stage: Stage) -> tuple[Step, ...]:
        """A list that an access table gave, compiled once. Raises BadRestriction."""
        key = (text, stage)
        if key not in self._compiled:
            if len(self._compiled) >= COMPILED_LIMIT:
                self._compiled.clear()
            self._compiled[key] = compile_list(self, split_list(text), stage.bare_table)
        return self._compiled[key]

    async def run_class(self, name: str, check: Check) -> Verdict:
        """A restriction class by its name."""
        from mta.smtpd.access.actions import CLASS_DEPTH

        try:
            steps = self.steps_of(" ".join(self.classes[name]), check.stage)
        except BadRestriction:
            steps = None
        if steps is None or check.depth >= CLASS_DEPTH:
            return check.reject(451, "4.3.5", "Server configuration error")
        check.depth += 1
        try:
            return await self.run(steps, check)
        finally:
            check.depth -= 1

    async def resolve(self, address: str, sender: str) -> Resolution:
        """An address as it was given is completed first, then resolved. Raises TableError."""
        return await self.resolver.resolve(self.resolver.rewriter.rewrite(address), sender)

    def is_final(self, resolution: Resolution) -> bool:
        """The mail stays with us: local, virtual alias or virtual mailbox domain."""
        return resolution.address_class not in (AddressClass.RELAY, AddressClass.DEFAULT)

    def filtered(self, text: str) -> str:
        """Text from the DNS with what smtpd_expansion_filter does not name replaced."""
        return self._unsafe.sub("_", text)

    @staticmethod
    def seconds(text: str) -> float:
        return float(parse_seconds(text, "s"))

    # Evaluation.

    async def run(self, steps: tuple[Step, ...], check: Check) -> Verdict:
        """The steps in order, to the first that decides."""
        for step in steps:
            if check.transaction.actions.discard:
                return None
            warn_before = check.warn_only
            check.warn_only = warn_before or step.warn_only
            try:
                verdict = await step.run(check)
            finally:
                check.warn_only = warn_before
            if verdict is not None:
                return verdict
        return None

    def _check(self, connection: Connection, stage: Stage, subject: str, title: str, recipient: str | None) -> Check:
        session, transaction = connection.session, connection.envelope
        return Check(
            self,
            session,
            transaction,
            stage,
            subject,
            title,
            session.helo_name,
            transaction.mail_from,
            recipient,
        )

    async def _apply(self, check: Check) -> Reply | None:
        """One list; a table that cannot answer defers."""
        steps = self.lists[check.stage]
        if not steps:
            return None
        try:
            verdict = await self.run(steps, check)
        except TableError:
            verdict = check.reject(451, "4.3.0", f"<{check.subject}>: Temporary lookup failure")
        return verdict if isinstance(verdict, Reply) else None

    def _settle(self, check: Check, refusal: Reply | None) -> Reply | None:
        """What was permitted is deferred if an earlier temporary error may have hidden a refusal."""
        if refusal is not None or check.defer_if_permit is None:
            return refusal
        reply = check.defer_if_permit
        verdict = check.reject(reply.code, reply.status, reply.text)
        return verdict if isinstance(verdict, Reply) else None

    async def check_client(self, connection: Connection, recipient: str | None = None) -> Reply | None:
        session = connection.session
        if not self.lists[Stage.CLIENT]:
            return None
        check = self._check(connection, Stage.CLIENT, session.label, Title.CLIENT, recipient)
        refusal = await self._apply(check)
        session.deferred_client = check.defer_if_permit
        return refusal

    async def check_helo(self, connection: Connection, name: str | None, recipient: str | None = None) -> Reply | None:
        session = connection.session
        if name is None or not self.lists[Stage.HELO]:
            session.deferred_helo = session.deferred_client
            return None
        check = self._check(connection, Stage.HELO, name, Title.HELO, recipient)
        check.helo = name
        check.defer_if_permit = session.deferred_client
        refusal = await self._apply(check)
        session.deferred_helo = check.defer_if_permit
        return refusal

    async def check_mail(
        self, connection: Connection, sender: str | None, recipient: str | None = None
    ) -> Reply | None:
        session = connection.session
        if sender is None or not (self.lists[Stage.SENDER] or self.unlisted_sender):
            session.deferred_sender = session.deferred_helo
            return None
        connection.envelope.sender_list_checked = False
        check = self._check(connection, Stage.SENDER, sender, Title.SENDER, recipient)
        check.sender = sender
        check.defer_if_permit = session.deferred_helo
        refusal = await self._apply(check)
        if refusal is None and self.unlisted_sender and sender:
            refusal = await self._unlisted(check, sender=True)
        session.deferred_sender = check.defer_if_permit
        return refusal

    async def check_rcpt(self, connection: Connection, recipient: str) -> Reply | None:
        """RCPT TO or VRFY: with smtpd_delay_reject everything that was put off is asked now.

        `postmaster` without a domain is asked nothing at all: RFC 5321 section 4.5.1 has it always accepted.
        """
        if recipient.lower() == "postmaster":
            return None
        connection.envelope.recipient_list_checked = False
        session = connection.session
        if self.delay_reject:
            refusal = (
                await self.check_client(connection, recipient)
                or await self.check_helo(connection, session.helo_name, recipient)
                or await self.check_mail(connection, connection.envelope.mail_from, recipient)
            )
            if refusal is not None:
                return refusal
        stages = (Stage.RELAY, Stage.RECIPIENT) if self.relay_first else (Stage.RECIPIENT, Stage.RELAY)
        check = self._check(connection, stages[0], recipient, Title.RECIPIENT, recipient)
        check.defer_if_permit = session.deferred_sender
        for stage in stages:
            check.stage = stage
            if refusal := await self._apply(check):
                return refusal
        if refusal := self._settle(check, None):
            return refusal
        return await self._unlisted(check, sender=False) if self.unlisted_recipient else None

    async def _unlisted(self, check: Check, *, sender: bool) -> Reply | None:
        if check.transaction.actions.discard:
            return None
        try:
            verdict = await (reject_unlisted_sender if sender else reject_unlisted_recipient)(check)
        except TableError:
            verdict = check.reject(451, "4.3.0", f"<{check.subject}>: Temporary lookup failure")
        return verdict if isinstance(verdict, Reply) else None

    async def check_data(self, connection: Connection) -> Reply | None:
        if not self.lists[Stage.DATA]:
            return None
        check = self._check(connection, Stage.DATA, "DATA", Title.DATA, _only_recipient(connection))
        return self._settle(check, await self._apply(check))

    async def check_end_of_data(self, connection: Connection) -> Reply | None:
        if not self.lists[Stage.END_OF_DATA]:
            return None
        check = self._check(
            connection, Stage.END_OF_DATA, "END-OF-MESSAGE", Title.END_OF_DATA, _only_recipient(connection)
        )
        return self._settle(check, await self._apply(check))

    async def check_etrn(self, connection: Connection, domain: str) -> Reply | None:
        if self.delay_reject:
            refusal = await self.check_client(connection) or await self.check_helo(
                connection, connection.session.helo_name
            )
            if refusal is not None:
                return refusal
        check = self._check(connection, Stage.ETRN, domain, Title.ETRN, None)
        check.etrn_domain = domain
        return self._settle(check, await self._apply(check))

    async def rewrites_headers(self, connection: Connection) -> bool:
        """local_header_rewrite_clients: headers of this client are completed and rewritten."""
        session = connection.session
        check = self._check(connection, Stage.CLIENT, session.label, Title.CLIENT, None)
        try:
            return await self.run(self.rewrite_clients, check) is PERMIT
        except TableError:
            return False

    async def is_in_mynetworks(self, session: Session) -> bool:
        """Asked of the list once in a session. Raises TableError."""
        if session.in_mynetworks is None:
            peer = session.peer_info
            session.in_mynetworks = await self.mynetworks.match_client(peer.name, peer.address)
        return session.in_mynetworks


def _only_recipient(connection: Connection) -> str | None:
    recipients = connection.envelope.rcpt_tos
    return recipients[0] if len(recipients) == 1 else None


def _complement(allowed: str) -> re.Pattern[str]:
    r"""What is not in smtpd_expansion_filter, a string with C escapes such as `\t\40!`."""
    characters = allowed.encode("ascii", "ignore").decode("unicode_escape")
    return re.compile(f"[^{re.escape(characters)}]") if characters else re.compile(r"[^ -~]")
