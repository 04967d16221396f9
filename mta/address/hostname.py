"""Valid host names, addresses and address literals, as Postfix checks them before it trusts a domain."""

import encodings.idna
import encodings.punycode  # noqa: F401 (codecs are otherwise looked for at first use, which a jail may forbid)
import ipaddress
from functools import lru_cache

import idna
import idna.uts46data

# RFC 1035 section 2.3.4.
LABEL_LIMIT = 63
NAME_LIMIT = 255
_LABEL = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_NUMERIC = frozenset("0123456789.")


@lru_cache(maxsize=512)
def valid_hostname(name: str, *, utf8: bool = False) -> bool:
    """Whether name is a host name: labels of letters, digits, hyphens inside, underscores; not all digits and dots.

    utf8: an internationalised name counts when it has an ASCII form (smtputf8_enable).
    """
    if not name.isascii():
        return utf8 and to_ascii(name) is not None
    if not name or len(name) > NAME_LIMIT or _NUMERIC.issuperset(name):
        return False
    return all(
        0 < len(label) <= LABEL_LIMIT and _LABEL.issuperset(label) and label[0] != "-" and label[-1] != "-"
        for label in name.split(".")
    )


def to_ascii(name: str) -> str | None:
    """The ASCII (IDNA, UTS 46) form of an internationalised name; None when it has none."""
    try:
        converted = idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError, ValueError, IndexError):
        return None
    return converted if valid_hostname(converted) else None


def valid_hostaddr(text: str) -> bool:
    """Whether text is an IPv4 or IPv6 address without brackets."""
    return valid_ipv4(text) or valid_ipv6(text)


def valid_ipv4(text: str) -> bool:
    """Whether text is a dotted-quad IPv4 address."""
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


def valid_ipv6(text: str) -> bool:
    """Whether text is an IPv6 address; a scope (`%eth0`) is not part of one."""
    try:
        return "%" not in text and bool(ipaddress.IPv6Address(text))
    except ValueError:
        return False


def mailhost_address(text: str) -> str | None:
    """The bare address of what stands inside `[...]`: `1.2.3.4` or `IPv6:...` (RFC 5321 section 4.1.3), else None."""
    if text[:5].lower() == "ipv6:":
        return text[5:] if valid_ipv6(text[5:]) else None
    return text if valid_ipv4(text) else None


def valid_mailhost_literal(text: str) -> bool:
    """Whether text is an address literal with its brackets."""
    return text.startswith("[") and text.find("]") == len(text) - 1 and mailhost_address(text[1:-1]) is not None
