"""Reply codes and small switches of the access policy, each with its parameter in postconf(5)."""

from __future__ import annotations

from dataclasses import dataclass

from mta.config import MainConfig


@dataclass(frozen=True, slots=True)
class Codes:
    """Three-digit SMTP codes unless said otherwise."""

    reject: int
    defer: int
    access_map_reject: int
    access_map_defer: int
    relay_domains_reject: int
    invalid_hostname: int
    non_fqdn: int
    unknown_address: int
    unknown_client: int
    unknown_hostname: int
    unknown_local: int
    unknown_relay: int
    unknown_virtual_alias: int
    unknown_virtual_mailbox: int
    multi_recipient_bounce: int
    plaintext: int
    rbl: int
    unknown_address_tempfail: str
    """An action: defer_if_permit or defer."""
    unknown_helo_tempfail: str
    soft_bounce: bool
    show_table: bool
    """show_user_unknown_table_name"""

    @classmethod
    def from_config(cls, config: MainConfig) -> Codes:
        number, text = config.int, config.str
        return cls(
            reject=number("reject_code"),
            defer=number("defer_code"),
            access_map_reject=number("access_map_reject_code"),
            access_map_defer=number("access_map_defer_code"),
            relay_domains_reject=number("relay_domains_reject_code"),
            invalid_hostname=number("invalid_hostname_reject_code"),
            non_fqdn=number("non_fqdn_reject_code"),
            unknown_address=number("unknown_address_reject_code"),
            unknown_client=number("unknown_client_reject_code"),
            unknown_hostname=number("unknown_hostname_reject_code"),
            unknown_local=number("unknown_local_recipient_reject_code"),
            unknown_relay=number("unknown_relay_recipient_reject_code"),
            unknown_virtual_alias=number("unknown_virtual_alias_reject_code"),
            unknown_virtual_mailbox=number("unknown_virtual_mailbox_reject_code"),
            multi_recipient_bounce=number("multi_recipient_bounce_reject_code"),
            plaintext=number("plaintext_reject_code"),
            rbl=number("maps_rbl_reject_code"),
            unknown_address_tempfail=text("unknown_address_tempfail_action"),
            unknown_helo_tempfail=text("unknown_helo_hostname_tempfail_action"),
            soft_bounce=config.bool("soft_bounce"),
            show_table=config.bool("show_user_unknown_table_name"),
        )
