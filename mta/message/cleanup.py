"""The acceptance pipeline, cleanup(8): one Submission in, one NewMessage out."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from mta.message import checks, expansion, headers, missing, rewriting
from mta.message.checks import Checks, Findings
from mta.message.expansion import Find
from mta.message.headers import Field
from mta.message.strict import Strictness
from mta.message.submission import Rejected, Submission
from mta.queue import NewMessage, Notify, Recipient
from mta.tables import TableError

log = logging.getLogger("postfix.cleanup")

_MESSAGE_ID: Final = re.compile(rb"[ \t]*(<[^>\r\n]{1,500}>)")
_STRAY_CR: Final = re.compile(rb"\r(?!\n)")
_EIGHT_BIT: Final = frozenset({b"8bit", b"binary"})

Lookup = Callable[[str], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Mapping:
    """One map with its scope: does it apply to the envelope, to header senders, to header recipients?"""

    find: Find
    envelope_sender: bool = False
    envelope_recipient: bool = False
    header_sender: bool = False
    header_recipient: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything main.cf says about accepted content. Functions are given, so that this room needs no other."""

    rewrite: Callable[[str], str]
    """Completes an address in internal form (trivial-rewrite(8), local context)."""
    rewrite_remote: Callable[[str], str]
    """The same in headers of clients that are not ours (remote_header_rewrite_domain)."""
    external: Callable[[str], str]
    """An address in external form, local part quoted where it must be."""
    address_list: rewriting.AddressList
    completion: missing.Completion
    canonical: tuple[Mapping, ...] = ()
    virtual_alias: Find | None = None
    sender_bcc: Lookup | None = None
    recipient_bcc: Lookup | None = None
    always_bcc: str = ""
    masquerade_domains: tuple[str, ...] = ()
    keeps_host: Callable[[str], Awaitable[bool]] | None = None
    """Whether addresses with this local part are not masqueraded (masquerade_exceptions). Raises TableError."""
    masquerade_classes: frozenset[str] = frozenset()
    checks: Checks = field(default_factory=Checks)
    strictness: Strictness = field(default_factory=Strictness)
    header_limit: int = 102400
    """header_size_limit, octets."""
    drop_headers: frozenset[bytes] = frozenset({b"bcc", b"content-length", b"resent-bcc", b"return-path"})
    always_add_missing: bool = False
    remote_header_domain: str = ""
    hop_limit: int = 50
    limits: expansion.Limits = field(default_factory=expansion.Limits)
    by_original: bool = True
    duplicate_limit: int = 1000
    content_filter: str = ""
    strip_characters: bytes = b""
    reject_characters: bytes = b""
    replace_stray_cr: bool = True
    size_limit: int = 0


@dataclass(slots=True)
class Cleanup:
    """The pipeline with its rules; one for each process, shared by all sessions."""

    rules: Rules
    clock: Callable[[], float] = field(default=time.time)

    async def process(self, submission: Submission) -> NewMessage | None:
        """The message to queue; None if a check wants it discarded. Raises Rejected with the client's reply."""
        rules = self.rules
        content = self._clean(submission)
        fields, rest = headers.split(content)
        if complaint := rules.strictness.complaint(fields, rest):
            raise Rejected(550, "5.6.0", complaint)
        if len(content) > rules.header_limit:
            fields = [headers.shortened(each, rules.header_limit) for each in fields]
        findings = Findings(hold=submission.hold, filter=submission.filter or rules.content_filter)
        findings.redirect = submission.redirect
        fields, rest, sender = await self._header_and_body(submission, fields, rest, findings)
        if findings.rejected is not None:
            raise findings.rejected
        if findings.discard:
            return None
        expanded: list[Recipient] = []
        recipients = await self._recipients(submission, sender, findings, expanded)
        attributes = dict(submission.attributes)
        attributes["rewrite_context"] = "local" if submission.local else "remote"
        return NewMessage(
            sender=sender,
            recipients=recipients,
            content=headers.join(fields, rest),
            queue_id=submission.queue_id,
            ret=submission.ret,
            envid=submission.envid,
            body=_encoding(fields) or submission.body,
            smtputf8=submission.smtputf8,
            hold=findings.hold,
            filter=findings.filter,
            attributes=attributes,
            expanded=expanded,
        )

    # Content.

    def _clean(self, submission: Submission) -> bytes:
        """Octets that may not travel: stray carriage returns, what message_strip_characters names."""
        rules, content = self.rules, submission.content
        if rules.reject_characters and any(octet in content for octet in rules.reject_characters):
            raise Rejected(550, "5.7.1", "disallowed character")
        if rules.strip_characters:
            content = content.translate(None, rules.strip_characters)
        if rules.replace_stray_cr and _STRAY_CR.search(content):
            content = _STRAY_CR.sub(b" ", content)
        return headers.quote_mailbox_lines(content)

    async def _header_and_body(
        self, submission: Submission, fields: list[Field], rest: bytes, findings: Findings
    ) -> tuple[list[Field], bytes, str]:
        rules = self.rules
        received = [Field(b"received", submission.received)] if submission.received else []
        fields = [*_prepended(submission.prepend), *received, *fields]
        if len(fields) >= rules.hop_limit and sum(each.name == b"received" for each in fields) >= rules.hop_limit:
            raise Rejected(554, "5.4.0", "Error: too many hops")
        checked = rules.checks.header is not None or rules.checks.mime_header is not None
        context = self._context(submission) if checked or rules.checks.look_inside else ""
        if checked:
            fields = await checks.check_fields(rules.checks, fields, findings, context)
        seen = {each.name for each in fields}
        if not seen.isdisjoint(rules.drop_headers):
            fields = [each for each in fields if each.name not in rules.drop_headers]
        sender = await self._map(rules.rewrite(submission.sender), "envelope_sender") if submission.sender else ""
        if submission.local or rules.remote_header_domain:
            fields = await self._rewrite_header(fields, submission.local)
        if submission.local or rules.always_add_missing:
            fields += missing.missing_headers(
                seen,
                rules.completion,
                rules.external(sender) if sender else "",
                submission.fullname,
                submission.queue_id,
                self.clock(),
            )
        _log_message_id(submission.queue_id, fields)
        if rest and rules.checks.look_inside and not findings.passed:
            rest = await checks.check_body(rules.checks, fields, rest, findings, context)
        return fields, rest, sender

    def _context(self, submission: Submission) -> str:
        recipients = submission.recipients
        to = f" to=<{recipients[0].original}>" if recipients else ""
        attributes = submission.attributes
        helo = f" helo=<{attributes['helo_name']}>" if attributes.get("helo_name") else ""
        protocol = f" proto={attributes['protocol_name']}" if attributes.get("protocol_name") else ""
        return f"{submission.queue_id} {submission.client or 'local'}; from=<{submission.sender}>{to}{protocol}{helo}"

    async def _rewrite_header(self, fields: list[Field], local: bool) -> list[Field]:
        rules = self.rules

        async def change(address: str, scope: str) -> str:
            if not address:
                return address
            return await self._map(rules.rewrite(address) if local else rules.rewrite_remote(address), scope)

        only_completes = not rules.canonical and not rules.masquerade_domains
        return await rewriting.rewrite_fields(
            fields,
            rules.address_list,
            lambda address: change(address, "header_sender"),
            lambda address: change(address, "header_recipient"),
            only_completes,
        )

    async def _map(self, address: str, scope: str) -> str:
        """canonical(5) and masquerading for one address."""
        rules = self.rules
        for mapping in rules.canonical:
            if getattr(mapping, scope):
                address = await expansion.map_one(address, mapping.find)
        if not rules.masquerade_domains or scope not in rules.masquerade_classes:
            return address
        try:
            exempt = rules.keeps_host is not None and await rules.keeps_host(address.rpartition("@")[0].lower())
        except TableError as error:
            log.warning("masquerade_exceptions lookup problem for %s: %s", address, error)
            raise Rejected(*expansion.MAPPING_PROBLEM) from None
        return address if exempt else rewriting.masquerade(address, rules.masquerade_domains)

    # Recipients.

    async def _recipients(
        self, submission: Submission, sender: str, findings: Findings, expanded: list[Recipient]
    ) -> list[Recipient]:
        """Who gets the message; aliases of which the sender is told go to `expanded`."""
        rules = self.rules
        given = []
        for recipient in submission.recipients:
            address = await self._map(rules.rewrite(recipient.address), "envelope_recipient")
            original = recipient.original or recipient.address
            orcpt = recipient.orcpt or f"rfc822;{original}"
            given.append(Recipient(address, original, orcpt, recipient.notify))
        copies = [*findings.bcc, *await self._automatic_copies(sender, given)]
        given += [Recipient(full, full, f"rfc822;{full}") for full in map(rules.rewrite, submission.bcc)]
        given += expansion.copies(copies, rules.rewrite)
        found: list[Recipient] = []
        for recipient in given:
            found += await self._aliases(recipient, expanded)
        recipients = expansion.without_duplicates(found, rules.by_original, rules.duplicate_limit)
        if findings.redirect:
            recipients = expansion.redirected(recipients[:1], rules.rewrite(findings.redirect))
        return recipients

    async def further_recipients(self, addresses: Sequence[str], notify: Notify = Notify.DEFAULT) -> list[Recipient]:
        """Recipients that a content filter adds, mapped as those that the client named. Raises Rejected."""
        found: list[Recipient] = []
        for address in addresses:
            full = await self._map(self.rules.rewrite(address), "envelope_recipient")
            found += await self._aliases(Recipient(full, full, f"rfc822;{full}", notify), [])
        return found

    async def _automatic_copies(self, sender: str, recipients: list[Recipient]) -> list[str]:
        """always_bcc, sender_bcc_maps and recipient_bcc_maps."""
        rules = self.rules
        found = [rules.always_bcc] if rules.always_bcc else []
        try:
            if rules.sender_bcc is not None and sender:
                found.append(await rules.sender_bcc(sender) or "")
            if rules.recipient_bcc is not None:
                found += [await rules.recipient_bcc(recipient.address) or "" for recipient in recipients]
        except TableError as error:
            log.warning("bcc map lookup problem: %s", error)
            raise Rejected(*expansion.MAPPING_PROBLEM) from None
        return [address for address in found if address]

    async def _aliases(self, recipient: Recipient, expanded: list[Recipient]) -> list[Recipient]:
        """What virtual_alias_maps make of a recipient; it was delivered to as far as NOTIFY=SUCCESS is concerned."""
        rules = self.rules
        if rules.virtual_alias is None:
            return [recipient]
        addresses = await expansion.expand_alias(recipient.address, rules.virtual_alias, rules.limits)
        notify = recipient.notify
        if addresses != [recipient.address] and notify & Notify.SUCCESS:
            expanded.append(recipient)
            notify = notify & ~Notify.SUCCESS or Notify.NEVER
        return [Recipient(address, recipient.original, recipient.orcpt, notify) for address in addresses]


def _prepended(lines: Sequence[str]) -> list[Field]:
    parts = (line.partition(":") for line in lines)
    return [headers.field(name.strip(), value.strip()) for name, _, value in parts]


def _encoding(fields: list[Field]) -> str:
    """8BITMIME where the header says that the content has eight bits, whatever MAIL FROM said."""
    for each in fields:
        if each.name == b"content-transfer-encoding" and each.value.lower() in _EIGHT_BIT:
            return "8BITMIME"
    return ""


def _log_message_id(queue_id: str, fields: list[Field]) -> None:
    for each in fields:
        if each.name == b"message-id" and (match := _MESSAGE_ID.match(each.octets, len(b"message-id:"))):
            log.info("%s: message-id=%s", queue_id, match[1].decode("utf-8", "replace"))
            return
    log.info("%s: message-id=<>", queue_id)
