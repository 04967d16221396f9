"""Patterns of hosts_access(5): which daemons, hosts and users a word stands for."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

UNKNOWN: Final = "unknown"
"""The name of a host or user that has none."""
PARANOID: Final = "paranoid"
"""The name of a host whose name does not lead back to its address."""

_QUAD: Final = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}", re.ASCII)
_PREFIX: Final = re.compile(r"\d{1,3}", re.ASCII)
_FLAGS: Final = re.DOTALL | re.IGNORECASE
_NUMERIC: Final = re.compile(r"[0-9./]*", re.ASCII)

Words = Callable[[str], Sequence[str]]
"""The words of a `/file` pattern's file; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Host:
    """One end of a connection. name: UNKNOWN or PARANOID where there is no good one."""

    address: str = UNKNOWN
    name: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class Request:
    """Who wants what. user: what the client's ident service says, which hardmail does not ask (RFC 1413)."""

    daemon: str
    client: Host
    server: Host = Host()
    user: str = UNKNOWN


def no_files(path: str) -> Sequence[str]:
    """The `/file` patterns of those who have no files."""
    return ()


def matches_list(words: Iterable[str], matches: Callable[[str], bool]) -> bool:
    """Whether a list names something; `a EXCEPT b EXCEPT c` is a EXCEPT (b EXCEPT c)."""
    rest = iter(words)
    for word in rest:
        if _same(word, "EXCEPT"):
            return False
        if matches(word):
            for skipped in rest:
                if _same(skipped, "EXCEPT"):
                    return not matches_list(rest, matches)
            return True
    return False


def matches_daemon(word: str, request: Request, files: Words = no_files) -> bool:
    """`daemon` or `daemon@host`, where the host is the server's own address or name."""
    daemon, host = _part(word)
    return matches_text(daemon, request.daemon) and (host is None or matches_host(host, request.server, files))


def matches_client(word: str, request: Request, files: Words = no_files) -> bool:
    """`host` or `user@host`."""
    user, host = _part(word)
    if host is None:
        return matches_host(user, request.client, files)
    return matches_host(host, request.client, files) and matches_text(user, request.user)


def matches_host(word: str, host: Host, files: Words = no_files, *, nested: bool = False) -> bool:
    """A pattern for hosts, against the address and, where it cannot be one, against the name."""
    if word.startswith("@"):
        return False  # NIS netgroups: see complaint()
    if word.startswith("/"):
        return not nested and any(matches_host(line, host, files, nested=True) for line in files(word))
    if _same(word, "KNOWN"):
        return host.address != UNKNOWN and _named(host)
    if _same(word, "LOCAL"):
        return "." not in host.name and _named(host)
    if "/" in word:
        net, _, mask = word.partition("/")
        return _in_network(net, mask, host.address)
    return matches_text(word, host.address) or (not _NUMERIC.fullmatch(word) and matches_text(word, host.name))


def matches_text(word: str, text: str) -> bool:
    """A pattern for one name: `*?`, `.suffix`, `prefix.`, ALL, KNOWN, `[IPv6]`, or the name itself."""
    if "*" in word or "?" in word:
        return _wildcards(word).fullmatch(text) is not None
    if word.startswith("."):
        return len(text) > len(word) and _same(text[-len(word) :], word)
    if _same(word, "ALL"):
        return True
    if _same(word, "KNOWN"):
        return not _same(text, UNKNOWN)
    if word.endswith("."):
        return _same(text[: len(word)], word)
    if word.startswith("["):
        return (address := _ipv6(word)) is not None and address == _address(text)
    return _same(word, text)


def needs_name(word: str) -> bool:
    """Whether a client pattern may look at the client's name; the words of a `/file` may, whatever they are."""
    user, host = _part(word)
    host = (user if host is None else host).upper()
    return not (host in ("ALL", "EXCEPT") or _NUMERIC.fullmatch(host) or host.startswith("[")) or host.startswith("/")


def complaint(word: str) -> str:
    """What is wrong with a pattern that cannot match as it was meant, or nothing."""
    user, host = _part(word)
    word = user if host is None else host
    if word.startswith("@"):
        return f"{word}: NIS netgroups are not known here; the pattern matches nobody"
    if not word.startswith("/") and "/" in word and _network(*word.split("/", 1)) is None:
        return f"bad net/mask expression: {word}"
    if word.startswith("[") and "/" not in word and _ipv6(word) is None:
        return f"bad IPv6 address: {word}"
    return ""


def _part(word: str) -> tuple[str, str | None]:
    """`left@right`; an @ at the very beginning is a netgroup's."""
    position = word.find("@", 1)
    return (word, None) if position < 0 else (word[:position], word[position + 1 :])


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _named(host: Host) -> bool:
    return host.name not in (UNKNOWN, PARANOID)


def _wildcards(word: str) -> re.Pattern[str]:
    # A run of stars is one star; each star then gives up at its first match, so that no text takes long.
    parts = re.split(r"\*+", word)
    exact = ["".join("." if character == "?" else re.escape(character) for character in part) for part in parts]
    head, *middle = exact
    if not middle:
        return re.compile(head, _FLAGS)
    *middle, tail = middle
    return re.compile(head + "".join(f"(?>.*?{part})" for part in middle if part) + ".*" + tail, _FLAGS)


def _in_network(net: str, mask: str, address: str) -> bool:
    network, client = _network(net, mask), _address(address)
    if network is None or client is None:
        return False
    base, bits, version = network
    return client.version == version and int(client) & bits == base


def _network(net: str, mask: str) -> tuple[int, int, int] | None:
    """Base, mask and IP version of `n.n.n.n/m.m.m.m`, `n.n.n.n/len` or `[v6]/len`; None if it is none of them, or /0.

    As in libwrap an IPv4 net with bits outside its mask stands for no address at all, an IPv6 net is cut to its length.
    """
    if net.startswith("["):
        address = _ipv6(net)
        if address is None or not _PREFIX.fullmatch(mask) or int(mask) > 128:
            return None
        bits = _ones(int(mask), 128)
        return int(address) & bits, bits, 6
    base = _quad(net)
    if base is None:
        return None
    if _PREFIX.fullmatch(mask):
        return (base, _ones(int(mask), 32), 4) if 1 <= int(mask) <= 32 else None
    given = _quad(mask)
    return None if given is None else (base, given, 4)


def _ones(length: int, width: int) -> int:
    return ((1 << length) - 1) << (width - length)


def _quad(text: str) -> int | None:
    """A dotted quad as a number."""
    if not _QUAD.fullmatch(text):
        return None
    parts = [int(part) for part in text.split(".")]
    return int.from_bytes(bytes(parts)) if max(parts) <= 255 else None


def _ipv6(word: str) -> ipaddress.IPv6Address | None:
    if not word.endswith("]"):
        return None
    try:
        return ipaddress.IPv6Address(word[1:-1])
    except ValueError:
        return None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
