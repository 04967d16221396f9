"""Envelope addresses as smtpd(8) accepts them: their syntax, and whether mail could go there at all."""

from __future__ import annotations

from mta.address import AddressError, Resolver, extract_address, valid_hostname, valid_mailhost_literal
from mta.tables import TableError


class Addresses:
    """Envelope addresses as smtpd(8) accepts them."""

    def __init__(self, resolver: Resolver) -> None:
        self.resolver = resolver

    def extract(self, text: str, *, allow_empty: bool, strict: bool) -> str | None:
        """The address in a MAIL or RCPT argument, internal form; None where there is not exactly one."""
        try:
            return extract_address(text, strict=strict, allow_empty=allow_empty)
        except AddressError:
            return None

    async def is_valid(self, address: str, smtputf8: bool) -> bool:
        """Whether mail could be addressed so. A table that cannot answer says nothing against it.

        A client that did not ask for SMTPUTF8 may not name an internationalized domain; local parts are its own affair.
        """
        try:
            resolution = await self.resolver.resolve(self.resolver.rewriter.rewrite(address))
        except TableError:
            return True
        return not resolution.error and (smtputf8 or resolution.domain.isascii())

    def is_valid_destination(self, domain: str) -> bool:
        """A host name or an address literal, as ETRN takes it."""
        return valid_hostname(domain) or valid_mailhost_literal(domain)
