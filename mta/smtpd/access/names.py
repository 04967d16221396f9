"""Restrictions on names: HELO, and the domains of addresses, as text and in the DNS."""

from __future__ import annotations

from mta.address.hostname import valid_hostaddr, valid_hostname, valid_mailhost_literal
from mta.smtpd.access.check import Check, Title, Verdict
from mta.smtpd.lookups import NameFailure


def without_last_dot(name: str) -> str:
    """`example.com.` as `example.com`; a name that ends in two dots is left for the syntax check."""
    return name[:-1] if name.endswith(".") and not name.endswith("..") else name


async def reject_invalid_helo_hostname(check: Check) -> Verdict:
    if not check.helo:
        return None
    if check.helo.startswith("["):
        return _reject_invalid_literal(check, check.helo)
    name = without_last_dot(check.helo)
    if valid_hostname(name) or valid_hostaddr(name):
        return None
    return check.refuse(check.access.codes.invalid_hostname, "5.5.2", "Invalid name", (check.helo, Title.HELO))


async def reject_non_fqdn_helo_hostname(check: Check) -> Verdict:
    if not check.helo:
        return None
    if check.helo.startswith("["):
        return _reject_invalid_literal(check, check.helo)
    name = without_last_dot(check.helo)
    if valid_hostname(name) and "." in name:
        return None
    return check.refuse(check.access.codes.non_fqdn, "5.5.2", "need fully-qualified hostname", (check.helo, Title.HELO))


async def reject_unknown_helo_hostname(check: Check) -> Verdict:
    """The name has neither an address nor a mail server in the DNS."""
    if not check.helo:
        return None
    if check.helo.startswith("["):
        return _reject_invalid_literal(check, check.helo)
    codes = check.access.codes
    try:
        if await check.access.lookups.receives_or_exists(check.helo):
            return None
    except NameFailure:
        text = f"<{check.helo}>: {Title.HELO} rejected: Host not found"
        return check.tempfail(codes.unknown_helo_tempfail, 450, "4.7.1", text)
    return check.refuse(codes.unknown_hostname, "4.7.1", "Host not found", (check.helo, Title.HELO))


def _reject_invalid_literal(check: Check, name: str) -> Verdict:
    if name.endswith("]") and valid_mailhost_literal(name):
        return None
    return check.refuse(check.access.codes.invalid_hostname, "5.5.2", "invalid ip address", (name, Title.HELO))


def reject_non_fqdn_address(check: Check, address: str, title: str) -> Verdict:
    _, at, domain = address.rpartition("@")
    if domain.startswith("[") and at:
        return None
    domain = without_last_dot(domain) if at else ""
    if domain and valid_hostname(domain, utf8=check.access.smtputf8) and "." in domain:
        return None
    return check.refuse(check.access.codes.non_fqdn, "5.5.2", "need fully-qualified address", (address, title))


async def reject_unknown_domain(check: Check, address: str, title: str) -> Verdict:
    """The domain of an address that is not ours has neither MX nor address records, or refuses mail (RFC 7505)."""
    resolution = await check.access.resolve(address, "")
    _, at, domain = resolution.recipient.rpartition("@")
    if not at or domain.startswith("[") or check.access.is_final(resolution):
        return None
    is_sender = title == Title.SENDER
    codes = check.access.codes
    try:
        if await check.access.lookups.accepts_mail(domain):
            return None
    except check.access.lookups.NullMx:
        code, status = (550, "5.7.27") if is_sender else (556, "5.1.10")
        text = f"<{address}>: {title} rejected: Domain {domain} does not accept mail (nullMX)"
        return check.reject(code, status, text)
    except NameFailure:
        status = "4.1.8" if is_sender else "4.1.2"
        text = f"<{address}>: {title} rejected: Domain not found"
        return check.tempfail(codes.unknown_address_tempfail, 450, status, text)
    return check.refuse(codes.unknown_address, "4.1.8", "Domain not found", (address, title))
