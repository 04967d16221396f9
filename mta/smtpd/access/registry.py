"""The restriction table: one row for each name in postconf(5), with the function behind it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mta.smtpd.access import client, dnsbl, generic, names, policy, recipient, sender, tables, verified
from mta.smtpd.access.check import Check, Verdict

if TYPE_CHECKING:
    from mta.smtpd.access.engine import Access

Function = Callable[..., Awaitable[Verdict]]
Prepare = Callable[["Access", str], Any]
"""Makes an argument usable once, when the configuration is read; raises BadRestriction."""


@dataclass(frozen=True, slots=True)
class Restriction:
    """A row: `function(check)`, or `function(check, argument)` where `prepare` makes the argument."""

    function: Function
    prepare: Prepare | None = None

    @property
    def takes_argument(self) -> bool:
        return self.prepare is not None

    def bind(self, access: Access, argument: str) -> Callable[[Check], Awaitable[Verdict]]:
        """The function with its argument fixed. Raises BadRestriction."""
        if self.prepare is None:
            return self.function
        prepared, function = self.prepare(access, argument), self.function
        return lambda check: function(check, prepared)


_table = tables.open_for_restriction


def _zone(access: Access, argument: str) -> dnsbl.Zone:
    return dnsbl.parse_zone(argument)


RESTRICTIONS: Final[dict[str, Restriction]] = {
    # Any list.
    "permit": Restriction(generic.permit),
    "reject": Restriction(generic.reject),
    "defer": Restriction(generic.defer),
    "defer_if_permit": Restriction(generic.defer_if_permit),
    "defer_if_reject": Restriction(generic.defer_if_reject),
    "sleep": Restriction(generic.sleep, generic.parse_seconds),
    "reject_unauth_pipelining": Restriction(generic.reject_unauth_pipelining),
    "reject_plaintext_session": Restriction(generic.reject_plaintext_session),
    "reject_multi_recipient_bounce": Restriction(recipient.reject_multi_recipient_bounce),
    "check_policy_service": Restriction(policy.check_policy_service, policy.parse_service),
    # The client.
    "permit_mynetworks": Restriction(client.permit_mynetworks),
    "permit_inet_interfaces": Restriction(client.permit_inet_interfaces),
    "permit_sasl_authenticated": Restriction(client.permit_sasl_authenticated),
    "permit_tls_clientcerts": Restriction(client.permit_tls_clientcerts),
    "permit_tls_all_clientcerts": Restriction(client.permit_tls_all_clientcerts),
    "reject_unknown_client_hostname": Restriction(client.reject_unknown_client_hostname),
    "reject_unknown_client": Restriction(client.reject_unknown_client_hostname),
    "reject_unknown_reverse_client_hostname": Restriction(client.reject_unknown_reverse_client_hostname),
    "check_client_access": Restriction(tables.check_client_access, _table),
    "check_reverse_client_hostname_access": Restriction(tables.check_reverse_client_hostname_access, _table),
    "check_ccert_access": Restriction(tables.check_ccert_access, _table),
    "check_sasl_access": Restriction(tables.check_sasl_access, _table),
    "check_address_map": Restriction(tables.check_address_map, _table),
    # The name that the client gives itself.
    "reject_invalid_helo_hostname": Restriction(names.reject_invalid_helo_hostname),
    "reject_invalid_hostname": Restriction(names.reject_invalid_helo_hostname),
    "reject_non_fqdn_helo_hostname": Restriction(names.reject_non_fqdn_helo_hostname),
    "reject_non_fqdn_hostname": Restriction(names.reject_non_fqdn_helo_hostname),
    "reject_unknown_helo_hostname": Restriction(names.reject_unknown_helo_hostname),
    "reject_unknown_hostname": Restriction(names.reject_unknown_helo_hostname),
    "check_helo_access": Restriction(tables.check_helo_access, _table),
    # The sender.
    "reject_non_fqdn_sender": Restriction(sender.reject_non_fqdn_sender),
    "reject_unknown_sender_domain": Restriction(sender.reject_unknown_sender_domain),
    "reject_unknown_address": Restriction(sender.reject_unknown_sender_domain),
    "reject_unlisted_sender": Restriction(sender.reject_unlisted_sender),
    "reject_sender_login_mismatch": Restriction(sender.reject_sender_login_mismatch),
    "reject_authenticated_sender_login_mismatch": Restriction(sender.reject_authenticated_sender_login_mismatch),
    "reject_known_sender_login_mismatch": Restriction(sender.reject_known_sender_login_mismatch),
    "reject_unauthenticated_sender_login_mismatch": Restriction(sender.reject_unauthenticated_sender_login_mismatch),
    "reject_unverified_sender": Restriction(verified.reject_unverified_sender),
    "check_sender_access": Restriction(tables.check_sender_access, _table),
    # The recipient.
    "permit_auth_destination": Restriction(recipient.permit_auth_destination),
    "reject_unauth_destination": Restriction(recipient.reject_unauth_destination),
    "defer_unauth_destination": Restriction(recipient.defer_unauth_destination),
    "permit_mx_backup": Restriction(recipient.permit_mx_backup),
    "reject_non_fqdn_recipient": Restriction(recipient.reject_non_fqdn_recipient),
    "reject_unknown_recipient_domain": Restriction(recipient.reject_unknown_recipient_domain),
    "reject_unlisted_recipient": Restriction(recipient.reject_unlisted_recipient),
    "reject_unverified_recipient": Restriction(verified.reject_unverified_recipient),
    "check_recipient_maps": Restriction(recipient.reject_unlisted_recipient),
    "check_recipient_access": Restriction(tables.check_recipient_access, _table),
    "check_etrn_access": Restriction(tables.check_etrn_access, _table),
    # Lists in the DNS.
    "reject_rbl_client": Restriction(dnsbl.reject_rbl_client, _zone),
    "reject_rbl": Restriction(dnsbl.reject_rbl_client, _zone),
    "reject_maps_rbl": Restriction(dnsbl.reject_maps_rbl),
    "permit_dnswl_client": Restriction(dnsbl.permit_dnswl_client, _zone),
    "reject_rhsbl_client": Restriction(dnsbl.reject_rhsbl_client, _zone),
    "permit_rhswl_client": Restriction(dnsbl.permit_rhswl_client, _zone),
    "reject_rhsbl_reverse_client": Restriction(dnsbl.reject_rhsbl_reverse_client, _zone),
    "reject_rhsbl_helo": Restriction(dnsbl.reject_rhsbl_helo, _zone),
    "reject_rhsbl_sender": Restriction(dnsbl.reject_rhsbl_sender, _zone),
    "reject_rhsbl_recipient": Restriction(dnsbl.reject_rhsbl_recipient, _zone),
    # What the DNS says of a name: its addresses, mail and name servers looked up in a table.
    **{
        f"check_{subject}_{kind}_access": Restriction(tables.server_check(subject, kind), _table)
        for subject in ("client", "reverse_client_hostname", "helo", "sender", "recipient")
        for kind in ("a", "mx", "ns")
    },
}
