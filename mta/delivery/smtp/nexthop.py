"""Next hops: `example.com`, `[host]:port`, `inet:host:port`, `unix:path` (smtp(8), lmtp(8), transport(5))."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

MAX_LENGTH: Final = 1024
"""Octets of one destination; a host name has at most 255, a path 108."""
MAX_DESTINATIONS: Final = 100
"""Of one relayhost list."""

_HOSTNAME: Final = re.compile(
    r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?\Z"
)
_PORT: Final = re.compile(r"[0-9]{1,5}\Z")
_SERVICE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.+-]{0,63}\Z")

KNOWN_PORTS: Final = {"smtp": 25, "smtps": 465, "submission": 587, "submissions": 465, "lmtp": 24}
"""postconf(5) known_tcp_ports, so that no /etc/services is needed behind the sandbox."""


class NexthopError(ValueError):
    """The destination cannot be understood; `str(error)` is for the log."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to connect to."""

    text: str
    """As written; the key for passwords and TLS policies."""
    host: str = ""
    """Host name or address, without brackets; empty for a unix-domain socket."""
    port: int = 0
    literal: bool = False
    """In brackets: no MX lookup."""
    path: str = ""
    """unix-domain socket"""

    @property
    def is_address(self) -> bool:
        return _address(self.host) is not None


def parse_list(text: str, default_service: str) -> list[Destination]:
    """A list of next hops, tried in turn, separated by comma or white space. Raises NexthopError."""
    words = [word for word in re.split(r"[\s,]+", text) if word]
    if not words:
        raise NexthopError("null destination")
    if len(words) > MAX_DESTINATIONS:
        raise NexthopError("too many destinations")
    return [parse(word, default_service) for word in words]


@lru_cache(maxsize=1024)
def parse(text: str, default_service: str) -> Destination:
    """`[host]:port`, `[host]`, `host:port` or `host`; the port is a number or a known service. Raises NexthopError."""
    if len(text) > MAX_LENGTH:
        raise NexthopError("destination is too long")
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise NexthopError(f"missing or bad ] in server description: {text}")
        service, literal = rest[1:] if rest else default_service, True
    elif text.count(":") > 1:
        host, service, literal = text, default_service, False
    else:
        host, colon, service = text.partition(":")
        literal = False
        service = service if colon else default_service
    if host[:5].lower() == "ipv6:":
        host = host[5:]
    if not host:
        raise NexthopError(f"missing host in server description: {text}")
    if _address(host) is None and (len(host) > 255 or not _HOSTNAME.match(_ascii(host))):
        raise NexthopError(f"bad host name or address in server description: {text}")
    return Destination(text, host, _port(service, text), literal)


def parse_lmtp(text: str) -> Destination:
    """`unix:path`, `inet:host:port`, or the latter without `inet:` (lmtp(8)). Raises NexthopError."""
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path or "\0" in path or len(path) > MAX_LENGTH:
            raise NexthopError("bad unix-domain path")
        return Destination(text, path=path)
    return parse(text.removeprefix("inet:"), "lmtp")


def _ascii(host: str) -> str:
    try:
        return host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise NexthopError(f"bad host name: {host}") from error


def _port(service: str, text: str) -> int:
    if _PORT.match(service):
        port = int(service)
    elif service in KNOWN_PORTS:
        port = KNOWN_PORTS[service]
    elif _SERVICE.match(service):
        try:
            port = socket.getservbyname(service, "tcp")
        except OSError as error:
            raise NexthopError(f"unknown service: {service} in server description: {text}") from error
    else:
        raise NexthopError(f"bad port in server description: {text}")
    if not 0 < port < 65536:
        raise NexthopError(f"bad network port in server description: {text}")
    return port


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
