"""SPF records as terms: the grammar of RFC 7208 section 12. Pure."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from mta.policyd.macros import is_macro_string

VERSION: Final = re.compile(r"v=spf1(?: |$)", re.IGNORECASE)
"""How a TXT record that is an SPF record begins (section 4.5)."""

LENGTH_LIMIT: Final = 4096
"""Characters of a record; what publishes more means no good (the answer to one TXT question may be 64 KiB)."""

_DIRECTIVE: Final = re.compile(r"([+?~-]?)([A-Za-z][A-Za-z0-9._-]*)(?:([:/])(.*))?")
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9._-]*)=(.*)")
_LENGTHS: Final = re.compile(r"(.*?)(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?", re.DOTALL)
_TOP_LABEL: Final = re.compile(
    r"(?:.*\.)?(?=[A-Za-z0-9-]*[A-Za-z-])[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.?", re.DOTALL
)
_MACRO_END: Final = re.compile(r".*%\{[^{}]*\}", re.DOTALL)

_NEEDS_DOMAIN: Final = frozenset({"include", "exists"})
_MAY_HAVE_DOMAIN: Final = frozenset({"a", "mx", "ptr"})


class RecordError(ValueError):
    """The record is not one: a permanent error (section 4.6)."""


@dataclass(frozen=True, slots=True)
class Directive:
    """A mechanism with its qualifier. domain: a domain-spec, macros unexpanded, or empty for the present domain."""

    text: str
    qualifier: str
    mechanism: str
    domain: str = ""
    network: ipaddress.IPv4Network | ipaddress.IPv6Network | None = None
    ipv4_length: int = 32
    ipv6_length: int = 128


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record. redirect, explanation: domain-specs, empty where there are none."""

    directives: tuple[Directive, ...] = ()
    redirect: str = ""
    explanation: str = ""


def parse(text: str) -> Record:
    """The terms of a record. Raises RecordError: every mistake makes the whole record void (section 4.6)."""
    if not VERSION.match(text) or len(text) > LENGTH_LIMIT or not text.isascii():
        raise RecordError("not an SPF record")
    directives: list[Directive] = []
    modifiers: dict[str, str] = {}
    for term in filter(None, text[6:].split(" ")):
        if match := _MODIFIER.fullmatch(term):
            name, value = match[1].lower(), match[2]
            if not is_macro_string(value):
                raise RecordError(f"bad macro in {term}")
            if name in ("redirect", "exp"):
                if name in modifiers:
                    raise RecordError(f"{name}= is there twice")
                modifiers[name] = _domain(value, term)
        else:
            directives.append(_directive(term))
    return Record(tuple(directives), modifiers.get("redirect", ""), modifiers.get("exp", ""))


def _directive(term: str) -> Directive:
    match = _DIRECTIVE.fullmatch(term)
    if match is None:
        raise RecordError(f"bad term: {term}")
    qualifier, mechanism = match[1] or "+", match[2].lower()
    colon, rest = match[3] == ":", match[4] or ""
    if mechanism == "all" and match[3] is None:
        return Directive(term, qualifier, mechanism)
    if mechanism in ("ip4", "ip6") and colon:
        return Directive(term, qualifier, mechanism, network=_network(mechanism, rest, term))
    if mechanism in _NEEDS_DOMAIN and colon:
        return Directive(term, qualifier, mechanism, _domain(rest, term))
    if mechanism in _MAY_HAVE_DOMAIN:
        return _with_domain(term, qualifier, mechanism, rest if colon else f"/{rest}" if match[3] else "", colon)
    raise RecordError(f"bad mechanism: {term}")


def _with_domain(term: str, qualifier: str, mechanism: str, rest: str, colon: bool) -> Directive:
    """`a`, `mx` and `ptr`: a domain and, for the first two, `/24//64`."""
    lengths = _LENGTHS.fullmatch(rest)
    if mechanism == "ptr" or lengths is None:
        domain, ipv4, ipv6 = rest, 32, 128
    else:
        domain = lengths[1]
        ipv4, ipv6 = int(lengths[2] or 32), int(lengths[3] or 128)
    if ipv4 > 32 or ipv6 > 128 or bool(domain) != colon:
        raise RecordError(f"bad term: {term}")
    return Directive(term, qualifier, mechanism, _domain(domain, term) if domain else "", None, ipv4, ipv6)


def _network(mechanism: str, text: str, term: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    address, slash, length = text.partition("/")
    kind, width = (ipaddress.IPv4Network, 32) if mechanism == "ip4" else (ipaddress.IPv6Network, 128)
    if slash and not re.fullmatch(r"0|[1-9]\d{0,2}", length, re.ASCII):
        raise RecordError(f"bad term: {term}")
    try:
        return kind(f"{address}/{length if slash else width}", strict=False)
    except ValueError:
        raise RecordError(f"bad term: {term}") from None


def _domain(text: str, term: str) -> str:
    """A domain-spec: a macro-string that ends like a domain (a top label that is no number) or with a macro."""
    if not is_macro_string(text) or not (_MACRO_END.fullmatch(text) or ("." in text and _TOP_LABEL.fullmatch(text))):
        raise RecordError(f"bad domain: {term}")
    return text
