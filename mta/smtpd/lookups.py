"""What the DNS says of a domain, asked as smtpd(8) asks it: does it exist, does it take mail, who serves it."""

from __future__ import annotations

import asyncio

from mta import dns
from mta.address import valid_hostname
from mta.dns import Resolver

NameFailure = dns.TempFail
"""No usable answer: never taken for a negative one."""


class NullMx(Exception):
    """The domain says that it takes no mail (RFC 7505)."""


class Lookups:
    """Questions over the worker's cached resolver."""

    NullMx = NullMx

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver

    async def accepts_mail(self, domain: str) -> bool:
        """Whether the domain has MX or address records. Raises NullMx, NameFailure."""
        try:
            exchangers = await self.resolver.mail_exchangers(domain)
        except dns.NotFound:
            return False
        if not exchangers:
            raise NullMx(domain)
        if exchangers != [(0, domain)]:
            return True
        return await self.has_address(domain)

    async def receives_or_exists(self, name: str) -> bool:
        """Whether a HELO name has address or MX records. Raises NameFailure when neither is known.

        What is no host name, a name with a dot at its end among them, is not looked up, as in Postfix.
        """
        if not valid_hostname(name):
            return False
        try:
            return await self.accepts_mail(name)
        except NullMx:
            return True

    async def has_address(self, name: str) -> bool:
        try:
            return bool(await self.resolver.addresses(name))
        except dns.NotFound:
            return False

    async def mail_host_addresses(self, domain: str) -> list[str]:
        """Addresses of all mail hosts of a domain. Raises NameFailure."""
        try:
            hosts = [host for _, host in await self.resolver.mail_exchangers(domain)]
        except dns.NotFound:
            return []
        return await self.all_addresses(hosts)

    async def best_mail_hosts(self, domain: str) -> list[str]:
        """The mail hosts of a domain that are tried first. Raises NameFailure."""
        try:
            exchangers = await self.resolver.mail_exchangers(domain)
        except dns.NotFound:
            return []
        best = min((preference for preference, _ in exchangers), default=0)
        return [host for preference, host in exchangers if preference == best]

    async def all_addresses(self, hosts: list[str]) -> list[str]:
        """Addresses of several hosts; hosts that do not exist have none. Raises NameFailure."""
        found = []
        for outcome in await asyncio.gather(*(self.resolver.addresses(host) for host in hosts), return_exceptions=True):
            if isinstance(outcome, dns.NotFound):
                continue
            if isinstance(outcome, BaseException):
                raise outcome
            found += outcome
        return found

    async def servers(self, domain: str, kind: str) -> list[str]:
        """Names of the hosts that check_*_a_access, _mx_access or _ns_access look up. Raises NameFailure.

        Name servers are those of the closest parent that has any, as the delegation is what is asked for.
        """
        if kind == "a":
            return [domain]
        if kind == "mx":
            try:
                return [host for _, host in await self.resolver.mail_exchangers(domain)]
            except dns.NotFound:
                return []
        while domain:
            try:
                return [record.text for record in await self.resolver.lookup(domain, "NS")]
            except dns.NotFound:
                domain = domain.partition(".")[2]
                if "." not in domain:
                    break
        return []
