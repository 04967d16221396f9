"""check_*_access: who is asking, looked up in a table in the order of access(5)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from mta.address import mailhost_address
from mta.config.lines import split_list
from mta.smtpd.access.actions import obey
from mta.smtpd.access.check import PERMIT, Check, Title, Verdict
from mta.smtpd.access.lists import BadRestriction
from mta.smtpd.lookups import NameFailure
from mta.tables import Maps, SpecError, TableError, open_table

if TYPE_CHECKING:
    from mta.address import Found
    from mta.smtpd.access.engine import Access

log = logging.getLogger("postfix.smtpd")

BROKEN_TABLE = "451 4.3.5 Server configuration error"


def open_for_restriction(access: Access, spec: str) -> Maps:
    """The table of `check_client_access type:name`, or of `{ type:name, search_order = ... }`."""
    if spec.startswith("{"):
        words = split_list(spec[1:-1])
        spec = words[0] if words else ""
    try:
        return Maps(spec, [open_table(spec, access.config)])
    except SpecError as error:
        raise BadRestriction(str(error)) from None


async def _decide(
    check: Check, maps: Maps, subject: str, title: str, search: Awaitable[Found | None]
) -> Verdict | bool:
    """The verdict of what a search finds; False when it finds nothing."""
    try:
        found = await search
        value = found.value if found else None
    except TableError:
        value = BROKEN_TABLE
    if value is None:
        return False
    saved = check.subject, check.title
    check.subject, check.title = subject, title
    try:
        return await obey(check, value, maps.title)
    finally:
        check.subject, check.title = saved


async def check_client_access(check: Check, maps: Maps) -> Verdict:
    peer, search = check.session.peer_info, check.access.search
    found = await _decide(check, maps, peer.label, Title.CLIENT, search.access_host(maps, peer.name))
    if found is False:
        found = await _decide(check, maps, peer.label, Title.CLIENT, search.access_client_address(maps, peer.address))
    return _verdict(found)


async def check_address_map(check: Check, maps: Maps) -> Verdict:
    """local_header_rewrite_clients only: the client's address is a key, whatever its value."""
    return PERMIT if await maps.lookup(check.session.peer_info.address) is not None else None


async def check_reverse_client_hostname_access(check: Check, maps: Maps) -> Verdict:
    peer, search = check.session.peer_info, check.access.search
    subject = peer.reverse_name
    return _verdict(
        await _decide(check, maps, subject, Title.REVERSE_CLIENT, search.access_host(maps, peer.reverse_name))
    )


async def check_helo_access(check: Check, maps: Maps) -> Verdict:
    if not check.helo:
        return None
    search = check.access.search
    return _verdict(await _decide(check, maps, check.helo, Title.HELO, search.access_host(maps, check.helo)))


async def check_sender_access(check: Check, maps: Maps) -> Verdict:
    if check.sender is None:
        return None
    access = check.access
    if not check.sender:
        search = _whole(maps, access.null_sender_key)
    else:
        resolution = await access.resolve(check.sender, "")
        search = access.search.access(maps, resolution.recipient)
    return _verdict(await _decide(check, maps, check.sender, Title.SENDER, search))


async def check_recipient_access(check: Check, maps: Maps) -> Verdict:
    if not check.recipient:
        return None
    resolution = await check.access.resolve(check.recipient, check.sender or "")
    search = check.access.search.access(maps, resolution.recipient)
    return _verdict(await _decide(check, maps, check.recipient, Title.RECIPIENT, search))


async def check_etrn_access(check: Check, maps: Maps) -> Verdict:
    if not check.etrn_domain:
        return None
    search = check.access.search.access_host(maps, check.etrn_domain)
    return _verdict(await _decide(check, maps, check.etrn_domain, Title.ETRN, search))


async def check_sasl_access(check: Check, maps: Maps) -> Verdict:
    name = check.session.sasl_username
    if not name:
        return None
    return _verdict(await _decide(check, maps, name, Title.LOGIN, _whole(maps, name)))


async def check_ccert_access(check: Check, maps: Maps) -> Verdict:
    """The certificate's fingerprint, then that of its key; only where the handshake trusted it or asked for it."""
    tls = check.session.tls
    if tls is None or not tls.fingerprint:
        return None
    found: Verdict | bool = False
    for fingerprint in (tls.fingerprint, tls.public_key_fingerprint):
        if found is False and fingerprint:
            found = await _decide(check, maps, fingerprint, Title.CERTIFICATE, _whole(maps, fingerprint))
    return _verdict(found)


def server_check(subject: str, kind: str) -> Callable[[Check, Maps], Awaitable[Verdict]]:
    """check_SUBJECT_{a,mx,ns}_access: the hosts behind a name, by name and address. They can refuse, not permit."""

    async def check_servers(check: Check, maps: Maps) -> Verdict:
        name, label, title = await _domain_of(check, subject)
        if not name or name == "unknown":
            return None
        access = check.access
        if name.startswith("["):
            return _verdict(await _by_literal(check, maps, label, title, name)) if kind == "a" else None
        try:
            hosts = await access.lookups.servers(name, kind)
        except NameFailure:
            log.warning("Unable to look up %s host for %s", kind.upper(), name)
            return None
        for host in hosts:
            found = (
                await _decide(check, maps, label, title, access.search.access_host(maps, host))
                if kind != "a"
                else False
            )
            if found is False:
                found = await _by_addresses(check, maps, label, title, host)
            if found is PERMIT:
                log.warning("check_%s_%s_access: OK is not allowed for %s; use DUNNO", subject, kind, maps.title)
                return check.reject(451, "4.3.5", "Server configuration error")
            if found is not False:
                return _verdict(found)
        return None

    return check_servers


async def _by_literal(check: Check, maps: Maps, label: str, title: str, name: str) -> Verdict | bool:
    """`[1.2.3.4]` is an address already; what is no such literal is not looked up."""
    address = mailhost_address(name[1:-1]) if name.endswith("]") else None
    if address is None:
        return False
    return await _decide(check, maps, label, title, check.access.search.access_client_address(maps, address))


async def _by_addresses(check: Check, maps: Maps, label: str, title: str, host: str) -> Verdict | bool:
    access = check.access
    try:
        addresses = await access.lookups.all_addresses([host])
    except NameFailure:
        log.warning("Unable to look up address of %s", host)
        return False
    for address in addresses:
        found = await _decide(check, maps, label, title, access.search.access_client_address(maps, address))
        if found is not False:
            return found
    return False


async def _domain_of(check: Check, subject: str) -> tuple[str, str, str]:
    """The domain that a server check is about, the subject of a refusal, and its title."""
    peer = check.session.peer_info
    match subject:
        case "client":
            return peer.name, peer.label, Title.CLIENT
        case "reverse_client_hostname":
            return peer.reverse_name, peer.reverse_name, Title.REVERSE_CLIENT
        case "helo":
            return check.helo or "", check.helo or "", Title.HELO
        case "sender":
            return (check.sender or "").rpartition("@")[2], check.sender or "", Title.SENDER
        case _:
            return (check.recipient or "").rpartition("@")[2], check.recipient or "", Title.RECIPIENT


async def _whole(maps: Maps, key: str) -> Found | None:
    """A key that has no parts."""
    from mta.address import Found

    value = await maps.lookup(key)
    return Found(value, key) if value is not None else None


def _verdict(found: Verdict | bool) -> Verdict:
    return None if isinstance(found, bool) else found
