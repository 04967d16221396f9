"""Restrictions on the envelope sender; the null sender passes them all."""

from __future__ import annotations

from mta.smtpd.access import names
from mta.smtpd.access.check import Check, Title, Verdict
from mta.smtpd.access.recipient import reject_unlisted


async def reject_non_fqdn_sender(check: Check) -> Verdict:
    return names.reject_non_fqdn_address(check, check.sender, Title.SENDER) if check.sender else None


async def reject_unknown_sender_domain(check: Check) -> Verdict:
    return await names.reject_unknown_domain(check, check.sender, Title.SENDER) if check.sender else None


async def reject_unlisted_sender(check: Check) -> Verdict:
    if not check.sender or check.transaction.sender_list_checked:
        return None
    if not check.warn_only:
        check.transaction.sender_list_checked = True
    return await reject_unlisted(check, check.sender, is_sender=True)


async def reject_sender_login_mismatch(check: Check) -> Verdict:
    return await reject_unauthenticated_sender_login_mismatch(
        check
    ) or await reject_authenticated_sender_login_mismatch(check)


async def reject_authenticated_sender_login_mismatch(check: Check) -> Verdict:
    """The client is logged in and the address is not its own, or nobody's."""
    return await _reject_foreign_sender(check, unlisted_is_fine=False)


async def reject_known_sender_login_mismatch(check: Check) -> Verdict:
    """The same, but an address without an owner is free for all who are logged in."""
    if not check.session.sasl_username:
        return await reject_unauthenticated_sender_login_mismatch(check)
    return await _reject_foreign_sender(check, unlisted_is_fine=True)


async def reject_unauthenticated_sender_login_mismatch(check: Check) -> Verdict:
    """The client is not logged in, but the address has an owner."""
    if not check.sender or check.session.sasl_username or await _owners(check, check.sender) is None:
        return None
    return check.reject(553, "5.7.1", f"<{check.sender}>: Sender address rejected: not logged in")


async def _reject_foreign_sender(check: Check, *, unlisted_is_fine: bool) -> Verdict:
    user = check.session.sasl_username
    if not check.sender or not user or not check.access.sender_login_maps:
        return None
    owners = await _owners(check, check.sender)
    if owners is None and unlisted_is_fine:
        return None
    if any(owner.casefold() == user.casefold() for owner in owners or ()):
        return None
    return check.reject(553, "5.7.1", f"<{check.sender}>: Sender address rejected: not owned by user {user}")


async def _owners(check: Check, sender: str) -> list[str] | None:
    """Login names in smtpd_sender_login_maps; None for an address that is not listed."""
    access = check.access
    if not access.sender_login_maps:
        return None
    resolution = await access.resolve(sender, "")
    found = await access.search.find(access.sender_login_maps, resolution.recipient)
    return found.value.replace(",", " ").split() if found else None
