"""Restrictions on the recipient: whether we are responsible for it, and whether it exists."""

from __future__ import annotations

from mta.address import AddressClass
from mta.smtpd.access import names
from mta.smtpd.access.actions import split_status
from mta.smtpd.access.check import PERMIT, Check, Stage, Title, Verdict, fitting_status
from mta.smtpd.lookups import NameFailure

UNDELIVERABLE_BUT_FINE = ("postmaster", "mailer-daemon")
"""Local parts that every mail system has; the sender of bounces of bounces comes from double_bounce_sender."""


async def permit_auth_destination(check: Check) -> Verdict:
    """We are the final destination or a relay for it, and no route is hidden in the user part."""
    if check.recipient is None:
        return None
    resolution = await check.access.resolve(check.recipient, check.sender or "")
    if "@" not in resolution.recipient:
        return PERMIT
    if resolution.routed and not check.access.allow_untrusted_routing:
        return None
    if check.access.is_final(resolution) or resolution.address_class is AddressClass.RELAY:
        return PERMIT
    return None


async def reject_unauth_destination(check: Check) -> Verdict:
    if check.recipient is None or await permit_auth_destination(check) is PERMIT:
        return None
    return check.reject(check.access.codes.relay_domains_reject, "5.7.1", f"<{check.recipient}>: Relay access denied")


async def defer_unauth_destination(check: Check) -> Verdict:
    """The safety net of smtpd_relay_restrictions: a mistake in the configuration bounces nothing."""
    if check.recipient is None or await permit_auth_destination(check) is PERMIT:
        return None
    code = check.access.codes.relay_domains_reject
    return check.reject(code - 100 if code >= 500 else code, "4.7.1", f"<{check.recipient}>: Relay access denied")


async def permit_mx_backup(check: Check) -> Verdict:
    """One of the domain's mail servers is this host, and it is not the final destination."""
    if check.recipient is None:
        return None
    resolution = await check.access.resolve(check.recipient, check.sender or "")
    _, at, domain = resolution.recipient.rpartition("@")
    if not at or (resolution.routed and not check.access.allow_untrusted_routing) or domain.startswith("["):
        return None
    if check.access.is_final(resolution) or resolution.address_class is AddressClass.RELAY:
        return PERMIT
    if check.access.mx_backup_networks and not await _primary_is_listed(check, domain):
        return None
    try:
        addresses = await check.access.lookups.mail_host_addresses(domain)
    except NameFailure:
        check.defer_later("4.4.4", f"<{check.recipient}>: Unable to look up mail exchanger information", 450)
        return None
    return PERMIT if any(address in check.access.own_addresses for address in addresses) else None


async def _primary_is_listed(check: Check, domain: str) -> bool:
    """permit_mx_backup_networks: the domain's best mail hosts are where those for whom we are a backup are."""
    networks = check.access.mx_backup_networks
    try:
        hosts = await check.access.lookups.best_mail_hosts(domain)
        found = [(host, each) for host in hosts for each in await check.access.lookups.all_addresses([host])]
    except NameFailure:
        check.defer_later("4.4.4", f"<{check.recipient}>: Unable to look up mail exchanger information", 450)
        return False
    return bool(found) and all([await networks.match_client(host, address) for host, address in found])


async def reject_non_fqdn_recipient(check: Check) -> Verdict:
    if not check.recipient or check.recipient.lower() == "postmaster":
        return None
    return names.reject_non_fqdn_address(check, check.recipient, Title.RECIPIENT)


async def reject_unknown_recipient_domain(check: Check) -> Verdict:
    return await names.reject_unknown_domain(check, check.recipient, Title.RECIPIENT) if check.recipient else None


async def reject_multi_recipient_bounce(check: Check) -> Verdict:
    """A bounce has one recipient; used after DATA, when all are known."""
    all_known = check.stage in (Stage.DATA, Stage.END_OF_DATA)
    count = len(check.transaction.recipients) + (0 if all_known else 1)
    if check.sender == "" and count > 1:
        return check.refuse(check.access.codes.multi_recipient_bounce, "5.5.3", "Multi-recipient bounce")
    return None


async def reject_unlisted_recipient(check: Check) -> Verdict:
    """Asked once for each recipient, here or at the end of the lists (smtpd_reject_unlisted_recipient)."""
    if check.recipient is None or check.transaction.recipient_list_checked:
        return None
    if not check.warn_only:
        check.transaction.recipient_list_checked = True
    return await reject_unlisted(check, check.recipient, is_sender=False)


async def reject_unlisted(check: Check, address: str, *, is_sender: bool) -> Verdict:
    """The address is in one of our domains, but not in that domain's list of users (ADDRESS_CLASS_README)."""
    access = check.access
    resolution = await access.resolve(address, "" if is_sender else check.sender or "")
    for maps in access.sender_mapping if is_sender else access.recipient_mapping:
        if await access.search.find(maps, resolution.recipient):
            return None
    status = "5.1.0" if is_sender else "5.1.1"
    title = Title.SENDER if is_sender else Title.RECIPIENT
    if resolution.transport in ("error", "retry"):
        is_alias = resolution.address_class is AddressClass.VIRTUAL_ALIAS
        code = 450 if resolution.transport == "retry" else access.codes.unknown_virtual_alias if is_alias else 550
        status, reason = split_status(resolution.nexthop, f"{code // 100}{status[1:]}")
        return check.reject(code, fitting_status(status, title), f"<{address}>: {title} rejected: {reason}")
    row = access.user_lists.get(resolution.address_class)
    if row is None or not row.maps:
        return None
    local = resolution.recipient.lower()
    if resolution.address_class is AddressClass.LOCAL and local.startswith(
        (*UNDELIVERABLE_BUT_FINE, access.double_bounce)
    ):
        return None
    if await access.search.find(row.maps, resolution.recipient, row.keys):
        return None
    table = f" in {row.title}" if access.codes.show_table else ""
    return check.reject(row.code, status, f"<{address}>: {title} rejected: User unknown{table}")
