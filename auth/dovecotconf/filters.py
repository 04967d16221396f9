"""Filter blocks of dovecot.conf: ``protocol``, ``local``, ``local_name``, ``remote``: nesting rules and matching."""

from __future__ import annotations

import ipaddress
import socket

from .tree import FILTERS, Node

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_ORDER = {"local": 0, "local_name": 1, "remote": 2, "protocol": 3}


class BadFilter(ValueError):
    """A filter that is malformed or stands in the wrong place; the text is Dovecot's."""


def parse_network(text: str) -> list[Network]:
    """The networks of ``address``, ``address/bits`` or a host name. Raises BadFilter."""
    try:
        return [ipaddress.ip_network(text, strict=False)]
    except ValueError:
        host, slash, bits = text.partition("/")
        if slash:
            raise BadFilter(f"Invalid network mask: {bits}") from None
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadFilter(f"gethostbyname({host}) failed: {reason}") from None
    return [ipaddress.ip_network(str(address)) for address in sorted(map(str, found))]


def normalise(kind: str, name: str, parent: Node) -> str:
    """The name under which equal filters are merged. Raises BadFilter for a name or nesting Dovecot refuses."""
    _check_nesting(kind, parent)
    if kind in ("local", "remote"):
        networks = parse_network(name)
        if len(networks) == 1 and networks[0].prefixlen == networks[0].max_prefixlen:
            return str(networks[0].network_address)
    return name


def _check_nesting(kind: str, parent: Node) -> None:
    outer = parent.kinds()
    if any(name not in FILTERS for name in outer):
        raise BadFilter(f"{kind} {{ }} not allowed inside {outer[-1]} {{ }}")
    for name in outer:
        if name == kind == "protocol":
            raise BadFilter("Nested protocol { protocol { .. } } block not allowed")
        if _ORDER[name] > _ORDER[kind]:
            raise BadFilter(
                f"{name} {{ {kind} {{ .. }} }} not allowed (use {kind} {{ {name} {{ .. }} }} instead)",
            )


def matches(node: Node, *, protocol: str | None, local: str | None, local_name: str | None, remote: str | None) -> bool:
    """Whether a connection with these properties falls under the filter block (None: property not known)."""
    if node.kind == "protocol":
        if node.name.startswith("!"):
            return protocol is not None and node.name[1:] != protocol
        return node.name == protocol
    if node.kind == "local_name":
        return local_name is not None and _name_matches(node.name, local_name)
    address = local if node.kind == "local" else remote
    if address is None:
        return False
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(ip in network for network in parse_network(node.name) if network.version == ip.version)


def _name_matches(pattern: str, name: str) -> bool:
    """``local_name`` matches without case; ``*.example.org`` stands for exactly one label."""
    pattern, name = pattern.lower(), name.lower().rstrip(".")
    if pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    return pattern == name
