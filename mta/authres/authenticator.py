"""Asks the DNS for what SPF, DKIM and DMARC need, and puts the results together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mta.address.header import address_list
from mta.authres import dkim, dmarc, header
from mta.authres.dkim import DkimError, Message, Signature
from mta.authres.header import Finding
from mta.dns import NotFound, Resolver, TempFail
from mta.policyd import Checker, Result

log = logging.getLogger("postfix.smtpd")

TIME_LIMIT: Final = 30.0
"""Seconds for everything about one message: its sender waits for our reply to the end of data."""


@dataclass(frozen=True, slots=True)
class Client:
    """What SMTP says of a message: `user` is empty unless the client has logged in; `trusted`: one of mynetworks."""

    address: str
    helo: str
    sender: str
    user: str = ""
    mechanism: str = ""
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class Authenticator:
    """One for each process. `authserv_id` is the name that our results go by (RFC 8601 section 2.5)."""

    resolver: Resolver
    authserv_id: str

    async def judge(self, client: Client, content: bytes) -> tuple[bytes, str]:
        """The message without results that claim to be ours, and our own header field. Never raises."""
        found: list[Finding] = []
        if client.user:
            found = [Finding("auth", "pass", client.mechanism, [("smtp.auth", client.user)])]
        elif not client.trusted:
            try:
                async with asyncio.timeout(TIME_LIMIT):
                    found = await self._findings(client, content)
            except TimeoutError:
                found = [Finding(method, "temperror", "no answer in time") for method in ("spf", "dkim", "dmarc")]
        return header.without_forged(content, self.authserv_id), header.field(self.authserv_id, found)

    async def _findings(self, client: Client, content: bytes) -> list[Finding]:
        message = Message.of(content)
        spf_domain, spf = await self._spf(client)
        signed, vouchers = await self._dkim(message)
        return [spf, *signed, await self._dmarc(message, spf_domain if spf.result == "pass" else "", vouchers)]

    async def _spf(self, client: Client) -> tuple[str, Finding]:
        """The domain that SPF is about, and what it says."""
        domain = client.sender.rpartition("@")[2] if client.sender else client.helo
        outcome = await Checker(self.resolver, self.authserv_id).check(
            client.address, domain, client.sender, client.helo
        )
        named = ("smtp.mailfrom", client.sender) if client.sender else ("smtp.helo", client.helo)
        comment = outcome.problem if outcome.result in (Result.TEMPERROR, Result.PERMERROR) else ""
        return domain.lower().rstrip("."), Finding("spf", outcome.result.value, comment, [named])

    async def _dkim(self, message: Message) -> tuple[list[Finding], list[str]]:
        """One finding for each signature, and the domains whose signatures hold."""
        found: list[Finding] = []
        vouchers: list[str] = []
        for signature in dkim.signatures(message):
            if isinstance(signature, DkimError):
                found.append(Finding("dkim", signature.result, str(signature)))
                continue
            about = [("header.d", signature.domain), ("header.s", signature.selector), ("header.b", signature.shown)]
            try:
                bits = await self._verify(signature, message)
            except DkimError as error:
                found.append(Finding("dkim", error.result, str(error), about))
            else:
                found.append(Finding("dkim", "pass", f"{bits}-bit key", about))
                vouchers.append(signature.domain)
        return found or [Finding("dkim", "none")], vouchers

    async def _verify(self, signature: Signature, message: Message) -> int:
        """Raises DkimError."""
        try:
            records = await self.resolver.lookup(signature.key_name, "TXT")
        except NotFound:
            raise DkimError("permerror", "no key for signature") from None
        except TempFail:
            raise DkimError("temperror", "key cannot be asked for") from None
        if len(records) != 1:
            raise DkimError("permerror", "more than one key for signature")
        # Hashing a large body takes long enough for other sessions to notice.
        return await asyncio.to_thread(dkim.verify, signature, message, records[0].text)

    async def _dmarc(self, message: Message, spf_domain: str, vouchers: Sequence[str]) -> Finding:
        author = author_domain(message)
        if author is None:
            return Finding("dmarc", "permerror", "not one author domain")
        about = [("header.from", author)]
        records: dict[str, dmarc.Policy] = {}
        try:
            for domain in dict.fromkeys([author, *filter(None, [spf_domain]), *vouchers]):
                await self._walk(domain, records)
        except TempFail:
            return Finding("dmarc", "temperror", "policy cannot be asked for", about)
        organization = dmarc.organizational(author, records)
        policy = records.get(author) or records.get(organization)
        if policy is None:
            return Finding("dmarc", "none", "", about)
        by_spf = bool(spf_domain) and dmarc.aligned(author, spf_domain, strict=policy.strict_spf, records=records)
        by_dkim = any(dmarc.aligned(author, each, strict=policy.strict_dkim, records=records) for each in vouchers)
        asked = policy.policy if policy.name == author else policy.subdomain_policy
        return Finding("dmarc", "pass" if by_spf or by_dkim else "fail", f"p={asked}", about)

    async def _walk(self, domain: str, records: dict[str, dmarc.Policy]) -> None:
        for name in dmarc.walk(domain):
            try:
                texts = [each.text for each in await self.resolver.lookup(f"_dmarc.{name}", "TXT")]
            except NotFound:
                continue
            if policy := dmarc.parse(name, texts):
                records[name] = policy


def author_domain(message: Message) -> str | None:
    """The one domain of the From header; None where there is none, or several (RFC 7489 section 6.6.1)."""
    fields = [octets for name, octets in message.fields if name == b"from"]
    if len(fields) != 1:
        return None
    value = fields[0].partition(b":")[2].decode("utf-8", "replace").replace("\r\n", "").strip()
    domains = {address.rpartition("@")[2].lower().rstrip(".") for address in address_list(value)}
    return domains.pop() or None if len(domains) == 1 else None
