"""The host's own addresses: asked of the kernel, chosen by inet_interfaces, summed up as mynetworks."""

import ipaddress
import os
import socket
import struct
from collections.abc import Sequence

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface

# rtnetlink(7): message types, attributes and flags needed to list addresses.
_RTM_GETADDR, _RTM_NEWADDR, _NLMSG_ERROR, _NLMSG_DONE = 22, 20, 2, 3
_NLM_F_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_HEADER = struct.Struct("=IHHII")
_IFADDRMSG = struct.Struct("=BBBBI")
# A host with more addresses than fit here lists only the first ones.
_REPLY_LIMIT = 1 << 20
_LOOPBACK: tuple[Interface, ...] = (ipaddress.ip_interface("127.0.0.1/8"), ipaddress.ip_interface("::1/128"))


def local_interfaces() -> list[Interface]:
    """Every address of the host with its prefix length, IPv4 first, in the kernel's order.

    Falls back to the loopback addresses where the kernel cannot be asked.
    """
    try:
        found = [*_ask_kernel(socket.AF_INET), *_ask_kernel(socket.AF_INET6)]
    except (AttributeError, OSError):
        found = []
    return found or list(_LOOPBACK)


def _ask_kernel(family: int) -> list[Interface]:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(2)
        body = _IFADDRMSG.pack(family, 0, 0, 0, 0)
        netlink.send(_HEADER.pack(_HEADER.size + len(body), _RTM_GETADDR, _NLM_F_REQUEST_DUMP, 1, 0) + body)
        found, received = list[Interface](), 0
        while received < _REPLY_LIMIT:
            data = netlink.recv(65536)
            received += len(data)
            if _read_messages(data, family, found):
                break
        return found


def _read_messages(data: bytes, family: int, found: list[Interface]) -> bool:
    """Collect addresses from one datagram; True when the listing is complete."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, _flags, _sequence, _pid = _HEADER.unpack_from(data, offset)
        if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < _HEADER.size:
            return True
        if kind == _RTM_NEWADDR:
            message = data[offset + _HEADER.size : offset + length]
            entry_family, prefix, _f, _scope, _index = _IFADDRMSG.unpack_from(message)
            address = _address_of(message[_IFADDRMSG.size :])
            if entry_family == family and address:
                found.append(ipaddress.ip_interface((ipaddress.ip_address(address), prefix)))
        offset += (length + 3) & ~3
    return False


def _address_of(attributes: bytes) -> bytes:
    values, offset = dict[int, bytes](), 0
    while offset + 4 <= len(attributes):
        length, kind = struct.unpack_from("=HH", attributes, offset)
        if length < 4:
            break
        values[kind] = attributes[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    # On a point-to-point link IFA_ADDRESS is the far end; IFA_LOCAL is ours.
    return values.get(_IFA_LOCAL, values.get(_IFA_ADDRESS, b""))


def protocols(inet_protocols: Sequence[str]) -> tuple[bool, bool]:
    """(IPv4 wanted, IPv6 wanted) for the words of inet_protocols; ValueError for an unknown word."""
    words = [word.lower() for word in inet_protocols]
    for word in words:
        if word not in ("all", "ipv4", "ipv6", "none"):
            raise ValueError(f'unknown inet_protocols value "{word}" in "{", ".join(inet_protocols)}"')
    if not words:
        raise ValueError("inet_protocols is empty: specify all, ipv4, ipv6 or both")
    return "all" in words or "ipv4" in words, ("all" in words or "ipv6" in words) and _kernel_has_ipv6()


def _kernel_has_ipv6() -> bool:
    return socket.has_ipv6 and os.access("/proc/net/if_inet6", os.F_OK) if os.name == "posix" else socket.has_ipv6


def own_interfaces(inet_interfaces: Sequence[str], inet_protocols: Sequence[str]) -> list[Interface]:
    """The addresses this system receives mail on. ValueError when a name or address is not the host's own."""
    v4, v6 = protocols(inet_protocols)
    wanted = {4: v4, 6: v6}
    local = [item for item in local_interfaces() if wanted[item.version]]
    words = [word.lower() for word in inet_interfaces]
    if words == ["all"]:
        return local
    if words == ["loopback-only"]:
        return [item for item in local if item.is_loopback]
    masks = {item.ip: item for item in local}
    chosen = list[Interface]()
    for word in inet_interfaces:
        addresses = [address for address in _resolve(word) if wanted[address.version]]
        if not addresses:
            raise ValueError(f"config variable inet_interfaces: host not found: {word}")
        for address in addresses:
            # All of 127.0.0.0/8 is the host's own even where only 127.0.0.1 is configured.
            item = masks.get(address) or (ipaddress.ip_interface(address) if address.is_loopback else None)
            if item is None:
                raise ValueError(f"parameter inet_interfaces: no local interface found for {address}")
            if item not in chosen:
                chosen.append(item)
    return chosen


def _resolve(word: str) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    bare = word[1:-1] if word.startswith("[") and word.endswith("]") else word
    try:
        return [ipaddress.ip_address(bare.removeprefix("IPv6:").removeprefix("ipv6:"))]
    except ValueError:
        pass
    try:
        answers = socket.getaddrinfo(bare, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    found = [ipaddress.ip_address(str(answer[4][0]).partition("%")[0]) for answer in answers]
    return sorted(dict.fromkeys(found), key=lambda address: address.version)


def networks(style: str, interfaces: Sequence[Interface]) -> str:
    """The default of mynetworks: `class`, `subnet` or `host` patterns for the given addresses. ValueError else."""
    styles = [word.lower() for word in style.replace(",", " ").split()]
    if len(styles) != 1 or styles[0] not in ("class", "subnet", "host"):
        raise ValueError(f"bad mynetworks_style value: {style}; specify exactly one of class, subnet, host")
    return " ".join(dict.fromkeys(_pattern(styles[0], item) for item in interfaces))


def _pattern(style: str, item: Interface) -> str:
    prefix = item.network.prefixlen
    if style == "host":
        prefix = item.max_prefixlen
    elif style == "class" and item.version == 4:
        first = item.ip.packed[0]
        prefix = 8 if first < 128 else 16 if first < 192 else 24 if first < 224 else 4
    network = ipaddress.ip_network((item.ip, prefix), strict=False)
    text = network.network_address
    return f"{text}/{prefix}" if item.version == 4 else f"[{text}]/{prefix}"
