"""What dovecot.conf says about log-in to IMAP and POP3."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class LoginSettings:
    """What dovecot.conf says about log-in to one protocol."""

    protocol: str
    greeting: str = "Dovecot ready."
    hostname: str = "localhost"
    ssl: str = "yes"  # no, yes, required
    disable_plaintext_auth: bool = True
    max_userip_connections: int = 10  # 0: no limit
    trusted: tuple[Network, ...] = ()  # login_trusted_networks: as good as the same machine
    username_from_cert: bool = False  # auth_ssl_username_from_cert
    cert_username_field: str = "commonName"
    starttls_injection: bool = False  # the weakened twin of no-starttls-injection: plaintext is carried into TLS

    @classmethod
    def from_config(cls, config: DovecotConfig, protocol: str) -> LoginSettings:
        """Read them for ``imap`` or ``pop3``, the protocol's own block respected. Raises ValueError."""
        view = config.protocol(protocol)
        return cls(
            protocol=protocol,
            greeting=view.str("login_greeting"),
            hostname=view.str("hostname") or socket.gethostname(),
            ssl=view.str("ssl"),
            disable_plaintext_auth=view.bool("disable_plaintext_auth"),
            max_userip_connections=view.int("mail_max_userip_connections"),
            trusted=tuple(map(_network, view.str("login_trusted_networks").replace(",", " ").split())),
            username_from_cert=view.bool("auth_ssl_username_from_cert"),
            cert_username_field=view.str("ssl_cert_username_field"),
            starttls_injection=view.bool("hardmail_starttls_injection"),
        )

    def trusts(self, address: str) -> bool:
        """Whether an address lies in login_trusted_networks."""
        try:
            host = ip_address(address)
        except ValueError:
            return False
        return any(host in network for network in self.trusted)


def _network(text: str) -> Network:
    """A network of login_trusted_networks, or one address. Raises ValueError that names it."""
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f"login_trusted_networks: {text!r} is no network") from None
