"""What is audited: smtp://mail.example.org:25 taken apart, resolved, and allowed or not."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final, Literal

from lab.errors import UsageError

Protocol = Literal["smtp", "imap", "pop3"]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Scheme:
    """A kind of door: its protocol, its port, TLS from the first octet, and whether it is for mail users alone."""

    protocol: Protocol
    port: int
    implicit_tls: bool = False
    for_users: bool = True


SCHEMES: Final = {
    "smtp": Scheme("smtp", 25, for_users=False),
    "submission": Scheme("smtp", 587),
    "smtps": Scheme("smtp", 465, implicit_tls=True),
    "submissions": Scheme("smtp", 465, implicit_tls=True),
    "imap": Scheme("imap", 143),
    "imaps": Scheme("imap", 993, implicit_tls=True),
    "pop3": Scheme("pop3", 110),
    "pop3s": Scheme("pop3", 995, implicit_tls=True),
}
_FORM: Final = re.compile(
    r"(?P<scheme>[A-Za-z0-9]+)://(?:\[(?P<v6>[0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|(?P<host>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?/?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Target:
    """A door of a server."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Target:
        """`smtp://host`, `imaps://[::1]:993`. Raises UsageError."""
        match = _FORM.fullmatch(text)
        scheme = match["scheme"].lower() if match else ""
        if match is None or scheme not in SCHEMES:
            raise UsageError(f"{text!r} is no target; one looks like {', '.join(f'{name}://HOST' for name in SCHEMES)}")
        port = int(match["port"]) if match["port"] else SCHEMES[scheme].port
        if not 0 < port < 65536:
            raise UsageError(f"{text!r}: a port is a number from 1 to 65535")
        return cls(scheme, match["v6"] or match["host"], port)

    @property
    def kind(self) -> Scheme:
        return SCHEMES[self.scheme]

    @property
    def literal(self) -> Address | None:
        """The host, if it is an address."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


async def resolve(target: Target) -> list[Address]:
    """Every address of the host, in the system's order. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(_address(*entry[4]) for entry in found))


def _address(host: str | int, _port: int | bytes, _flow: int = 0, scope: int = 0) -> Address:
    """Of a link-local address the interface is part (RFC 4007 section 11)."""
    return ipaddress.ip_address(f"{host}%{socket.if_indextoname(scope)}" if scope else str(host))


def is_ours(address: Address) -> bool:
    """Whether an address belongs to this machine or a private network (RFC 1918, RFC 4193, link-local)."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    # `is_private` of the library also holds what is reserved for documentation; nobody's server is there.
    return address.is_loopback or address.is_link_local or (address.is_private and not address.is_unspecified)
