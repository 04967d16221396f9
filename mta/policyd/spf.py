"""check_host() of RFC 7208: may this address send mail for this domain?"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import time
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from mta.dns import NotFound, Resolver, TempFail
from mta.policyd import macros
from mta.policyd.macros import Context, MacroError
from mta.policyd.record import VERSION, Directive, Record, RecordError, parse

LOOKUP_LIMIT: Final = 10
"""Terms that ask the DNS, in one check (section 4.6.4)."""
VOID_LIMIT: Final = 2
"""Questions that find nothing, in one check (section 4.6.4)."""
NAME_LIMIT: Final = 10
"""Mail exchangers or names of an address that one `mx` or `ptr` may lead to (section 4.6.4)."""
TIME_LIMIT: Final = 20.0
"""Seconds for one check (section 4.6.4)."""
EXPLANATION_LIMIT: Final = 400
"""Characters of an explanation: a reply line holds 512 octets (RFC 5321 section 4.5.3.1.5)."""

_LABEL: Final = re.compile(r"[!-\-/-~]{1,63}")


class Result(Enum):
    """Section 2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"  # noqa: S105 - a result
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


_QUALIFIERS: Final = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A result and where it comes from."""

    result: Result
    mechanism: str = "default"
    """The directive that matched."""
    problem: str = ""
    """What went wrong, for temperror and permerror."""
    explanation: str = ""
    """What the domain says to those whom it does not let send (exp=)."""


class _PermError(Exception):
    """The domain's records cannot be understood (section 2.6.7)."""


@dataclass(slots=True)
class _Budget:
    """What one check may still ask."""

    lookups: int = LOOKUP_LIMIT
    voids: int = VOID_LIMIT

    def term(self) -> None:
        self.lookups -= 1
        if self.lookups < 0:
            raise _PermError("too many DNS lookups")

    def void(self) -> None:
        self.voids -= 1
        if self.voids < 0:
            raise _PermError("too many DNS lookups without an answer")


@dataclass(frozen=True)
class Checker:
    """Checks over one resolver; `receiver` is our own name, for explanations."""

    resolver: Resolver
    receiver: str = "unknown"
    time_limit: float = field(default=TIME_LIMIT)

    async def check(self, address: str, domain: str, sender: str, helo: str) -> Outcome:
        """The outcome for one identity: `domain` is that of MAIL FROM, or the HELO name. Never raises."""
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return Outcome(Result.NONE, problem="no address")
        if isinstance(client, ipaddress.IPv6Address) and client.ipv4_mapped is not None:
            client = client.ipv4_mapped
        context = Context(client, _whole(sender, domain), domain, helo, self.receiver, int(time.time()))
        run = _Check(self.resolver, _Budget())
        try:
            async with asyncio.timeout(self.time_limit):
                return await run.check_host(domain.rstrip("."), context)
        except (TempFail, TimeoutError) as error:
            problem = f"{error.name}: {error.reason}" if isinstance(error, TempFail) else "no answer in time"
            return Outcome(Result.TEMPERROR, problem=problem)
        except (_PermError, RecordError, MacroError) as error:
            return Outcome(Result.PERMERROR, problem=str(error))


@dataclass(slots=True)
class _Check:
    """One run of check_host() with its recursions."""

    resolver: Resolver
    budget: _Budget

    async def check_host(self, domain: str, context: Context, *, explain: bool = True) -> Outcome:
        """Raises TempFail, _PermError, RecordError, MacroError."""
        if not _is_domain(domain):
            return Outcome(Result.NONE)
        context = replace(context, domain=domain)
        record = await self._record(domain)
        if record is None:
            return Outcome(Result.NONE)
        for directive in record.directives:
            if await self._matches(directive, context):
                result = _QUALIFIERS[directive.qualifier]
                explanation = ""
                if result is Result.FAIL and explain and record.explanation:
                    explanation = await self._explain(record.explanation, context)
                return Outcome(result, directive.text, explanation=explanation)
        if record.redirect and not any(each.mechanism == "all" for each in record.directives):
            self.budget.term()
            outcome = await self.check_host(await self._domain(record.redirect, context), context, explain=explain)
            if outcome.result is Result.NONE:
                raise _PermError(f"redirect={record.redirect} leads to no record")
            return outcome
        return Outcome(Result.NEUTRAL)

    async def _record(self, domain: str) -> Record | None:
        """Section 4.5."""
        try:
            texts = [each.text for each in await self.resolver.lookup(domain, "TXT")]
        except NotFound:
            return None
        found = [text for text in texts if VERSION.match(text)]
        if len(found) > 1:
            raise _PermError(f"{domain} has more than one SPF record")
        return parse(found[0]) if found else None

    async def _matches(self, directive: Directive, context: Context) -> bool:
        """Section 5."""
        match directive.mechanism:
            case "all":
                return True
            case "ip4" | "ip6":
                network = directive.network
                return network is not None and context.address.version == network.version and context.address in network
        self.budget.term()
        domain = await self._domain(directive.domain, context) if directive.domain else context.domain
        match directive.mechanism:
            case "include":
                return await self._include(domain, context)
            case "a":
                return await self._has_address(domain, directive, context)
            case "mx":
                return await self._mail_exchanger(domain, directive, context)
            case "ptr":
                names = await self._validated_names(context)
                return any(name == domain.lower() or name.endswith("." + domain.lower()) for name in names)
            case _:
                return bool(await self._addresses(domain, ipv4=True))

    async def _include(self, domain: str, context: Context) -> bool:
        """Section 5.2: only a pass matches, and a domain without a record is a mistake."""
        outcome = await self.check_host(domain, context, explain=False)
        if outcome.result is Result.NONE:
            raise _PermError(f"include:{domain} has no SPF record")
        return outcome.result is Result.PASS

    async def _has_address(self, domain: str, directive: Directive, context: Context) -> bool:
        addresses = await self._addresses(domain, ipv4=context.address.version == 4)
        return any(_within(address, directive, context) for address in addresses)

    async def _mail_exchanger(self, domain: str, directive: Directive, context: Context) -> bool:
        try:
            hosts = [each.text for each in await self.resolver.lookup(domain, "MX")]
        except NotFound:
            self.budget.void()
            return False
        if len(hosts) > NAME_LIMIT:
            raise _PermError(f"{domain} has more than {NAME_LIMIT} mail exchangers")
        for host in filter(None, hosts):
            addresses = await self._addresses(host, ipv4=context.address.version == 4)
            if any(_within(address, directive, context) for address in addresses):
                return True
        return False

    async def _addresses(self, name: str, *, ipv4: bool) -> list[str]:
        """Addresses of one family; a name without any is a void lookup."""
        if not _is_name(name):
            return []
        try:
            return [each.text for each in await self.resolver.lookup(name, "A" if ipv4 else "AAAA")]
        except NotFound:
            self.budget.void()
            return []

    async def _validated_names(self, context: Context) -> list[str]:
        """Names of the client that lead back to it (section 5.5); failures of the DNS mean no name."""
        pointer = context.address.reverse_pointer
        try:
            names = [each.text.lower() for each in await self.resolver.lookup(pointer, "PTR")]
        except NotFound:
            self.budget.void()
            return []
        except TempFail:
            return []
        return [name for name in names[:NAME_LIMIT] if await self._leads_back(name, context)]

    async def _leads_back(self, name: str, context: Context) -> bool:
        try:
            found = await self.resolver.lookup(name, "A" if context.address.version == 4 else "AAAA")
        except (NotFound, TempFail):
            return False
        return any(ipaddress.ip_address(each.text) == context.address for each in found)

    async def _domain(self, spec: str, context: Context) -> str:
        """A domain-spec with its macros expanded."""
        return macros.domain(spec, await self._with_name(spec, context))

    async def _with_name(self, text: str, context: Context) -> Context:
        """%{p}: the validated name that fits the domain best (section 7.3)."""
        if not macros.uses_validated_name(text):
            return context
        names, domain = await self._validated_names(context), context.domain.lower()
        same = [name for name in names if name == domain]
        below = [name for name in names if name.endswith("." + domain)]
        return replace(context, validated=next(iter(same + below + names), "unknown"))

    async def _explain(self, spec: str, context: Context) -> str:
        """Section 6.2: whatever goes wrong, there is no explanation then."""
        try:
            texts = await self.resolver.lookup(await self._domain(spec, context), "TXT")
            if len(texts) != 1:
                return ""
            text = texts[0].text
            made = macros.expand(text, await self._with_name(text, context), explanation=True)
        except (NotFound, TempFail, MacroError, _PermError):
            return ""
        return made[:EXPLANATION_LIMIT] if made.isascii() and made.isprintable() else ""


def _whole(sender: str, domain: str) -> str:
    """The sender as macros see it: without a local part it is the postmaster (section 4.3)."""
    local, _, rest = sender.rpartition("@")
    return sender if local else f"postmaster@{rest or domain}"


def _within(address: str, directive: Directive, context: Context) -> bool:
    length = directive.ipv4_length if context.address.version == 4 else directive.ipv6_length
    return context.address in ipaddress.ip_network(f"{address}/{length}", strict=False)


def _is_name(name: str) -> bool:
    return 0 < len(name) <= macros.NAME_LIMIT and all(_LABEL.fullmatch(label) for label in name.split("."))


def _is_domain(domain: str) -> bool:
    """Section 4.3: more than one label, none of them empty or too long."""
    return "." in domain and _is_name(domain)
