"""What dovecot.conf says about IMAP sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

# Dovecot's default of imap_max_line_length.
MAX_LINE = 64 << 10


@dataclass(frozen=True, slots=True)
class Settings:
    """What the configuration says about IMAP sessions."""

    max_line: int = MAX_LINE  # imap_max_line_length
    capability: str = ""  # imap_capability
    id_send: str = "name *"  # imap_id_send
    idle_notify: float = 120.0  # imap_idle_notify_interval
    quota: bool = False  # whether the imap_quota plugin is on
    compress: bool = False  # whether the imap_zlib plugin is on
    metadata: bool = False  # imap_metadata
    acl: bool = False  # whether the imap_acl plugin is on
    server_comment: str = ""  # mail_server_comment
    server_admin: str = ""  # mail_server_admin
    extensions: bool = False  # hardmail_imap_extensions

    @classmethod
    def from_config(cls, config: DovecotConfig) -> Settings:
        """Read them, ``protocol imap {}`` respected."""
        view = config.protocol("imap")
        return cls(
            max_line=view.size("imap_max_line_length") or MAX_LINE,
            capability=view.str("imap_capability"),
            id_send=view.str("imap_id_send"),
            idle_notify=view.seconds("imap_idle_notify_interval"),
            quota="imap_quota" in view.list("mail_plugins"),
            compress="imap_zlib" in view.list("mail_plugins"),
            acl="imap_acl" in view.list("mail_plugins"),
            metadata=view.bool("imap_metadata"),
            server_comment=view.str("mail_server_comment"),
            server_admin=view.str("mail_server_admin"),
            extensions=view.bool("hardmail_imap_extensions"),
        )
