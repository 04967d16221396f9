"""Restrictions on the client: its address, its name, its certificate, its login."""

from __future__ import annotations

from mta.smtpd.access.check import PERMIT, Check, Verdict
from mta.smtpd.session import NameStatus


async def permit_mynetworks(check: Check) -> Verdict:
    return PERMIT if await check.access.is_in_mynetworks(check.session) else None


async def permit_inet_interfaces(check: Check) -> Verdict:
    return PERMIT if check.session.peer_info.address in check.access.own_addresses else None


async def permit_sasl_authenticated(check: Check) -> Verdict:
    return PERMIT if check.session.sasl_username else None


async def permit_tls_clientcerts(check: Check) -> Verdict:
    """The certificate's fingerprint, or that of its key, is in relay_clientcerts."""
    tls, maps = check.session.tls, check.access.relay_clientcerts
    if tls is None or not maps:
        return None
    for fingerprint in filter(None, (tls.fingerprint, tls.public_key_fingerprint)):
        if await maps.lookup(fingerprint) is not None:
            return PERMIT
    return None


async def permit_tls_all_clientcerts(check: Check) -> Verdict:
    """Any certificate that one of our authorities has issued."""
    return PERMIT if check.session.tls is not None and check.session.tls.agreed.verified else None


async def reject_unknown_client_hostname(check: Check) -> Verdict:
    """The address has no name, or the name does not lead back to it."""
    peer = check.session.peer_info
    if peer.name_status is NameStatus.FOUND:
        return None
    code = 450 if peer.name_status is NameStatus.TEMPORARY else check.access.codes.unknown_client
    return check.reject(code, "4.7.25", f"Client host rejected: cannot find your hostname, [{peer.address}]")


async def reject_unknown_reverse_client_hostname(check: Check) -> Verdict:
    """The address has no name at all."""
    peer = check.session.peer_info
    if peer.reverse_status is NameStatus.FOUND:
        return None
    code = 450 if peer.reverse_status is NameStatus.TEMPORARY else check.access.codes.unknown_client
    return check.reject(code, "4.7.1", f"Client host rejected: cannot find your reverse hostname, [{peer.address}]")
