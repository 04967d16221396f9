"""The settings of dovecot.conf that LMTP heeds (`protocol lmtp { }` applied)."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

# Dovecot takes mail of any size; ours is held in memory until it is delivered, so it has a bound (octets).
MESSAGE_SIZE_LIMIT = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LmtpSettings:
    """See the wiki pages LMTP and LDA for each of them."""

    hostname: str
    greeting: str
    recipient_delimiter: str = "+"
    save_to_detail_mailbox: bool = False
    add_received_header: bool = True
    delivery_address: str = "final"  # final, original or none: what Delivered-To says
    check_quota_at_rcpt: bool = False
    mailbox_autocreate: bool = False
    mailbox_autosubscribe: bool = False
    message_size_limit: int = MESSAGE_SIZE_LIMIT

    @classmethod
    def from_config(cls, config: DovecotConfig) -> LmtpSettings:
        """Read them."""
        return cls(
            hostname=config.str("hostname") or socket.gethostname(),
            greeting=config.str("login_greeting"),
            recipient_delimiter=config.str("recipient_delimiter"),
            save_to_detail_mailbox=config.bool("lmtp_save_to_detail_mailbox"),
            add_received_header=config.bool("lmtp_add_received_header"),
            delivery_address=config.str("lmtp_hdr_delivery_address"),
            check_quota_at_rcpt=config.bool("lmtp_rcpt_check_quota"),
            mailbox_autocreate=config.bool("lda_mailbox_autocreate"),
            mailbox_autosubscribe=config.bool("lda_mailbox_autosubscribe"),
        )
