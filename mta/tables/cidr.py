"""cidr: tables: networks and addresses with answers, as cidr_table(5)."""

import ipaddress

from mta.config.lines import SPACE
from mta.tables.base import Options, Table
from mta.tables.rulefile import Condition, Rule, RuleFile, SkipRule, open_rules, split_negation

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_network(pattern: str) -> Network:
    """Read `address`, `network/bits`, also in brackets. ValueError in Postfix's words, host bits included."""
    text, mask = pattern, ""
    if pattern.startswith("["):
        text, bracket, rest = pattern[1:].partition("]")
        if not bracket:
            raise ValueError(f"missing ']' character after \"[{text}\"")
        if rest and not rest.startswith("/"):
            raise ValueError(f'garbage after "[{text}]"')
        mask = rest[1:] if rest else ""
        has_mask = bool(rest) or "/" in text
        if not rest and "/" in text:
            text, _, mask = text.partition("/")
    else:
        text, slash, mask = pattern.partition("/")
        has_mask = bool(slash)
    shown = f"{text}/{mask}" if has_mask else text
    address = parse_address(text)
    if not has_mask:
        if address is None:
            raise ValueError(f'bad address pattern: "{text}"')
        return ipaddress.ip_network(address)
    if not (mask.isascii() and mask.isdigit() and len(mask) <= 3):
        raise ValueError(f'bad mask value in "{shown}"')
    if int(mask) > (128 if ":" in text else 32):
        raise ValueError(f'bad mask length in "{shown}"')
    if address is None:
        raise ValueError(f'bad network value in "{shown}"')
    network = ipaddress.ip_network((address, int(mask)), strict=False)
    if network.network_address != address:
        raise ValueError(f'non-null host address bits in "{shown}", perhaps you should use "{network}" instead')
    return network


def parse_address(text: str) -> Address | None:
    """An IPv4 or IPv6 address without scope; None for anything else."""
    if "%" in text or len(text) > 45:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def matcher(pattern: str, wanted: bool = True) -> Condition:
    """A test whether a key is an address inside (not wanted: outside) the pattern's network.

    Keys that are no address, or one of the other family, match neither way. Raises SkipRule.
    """
    try:
        network = parse_network(pattern)
    except ValueError as error:
        raise SkipRule(str(error)) from error

    def matches(key: str) -> bool:
        address = parse_address(key)
        return address is not None and address.version == network.version and (address in network) is wanted

    return matches


class CidrFile(RuleFile):
    """The rules of a cidr: table."""

    def parse_rule(self, text: str, line: int) -> Rule:
        wanted, rest = split_negation(text)
        words = rest.split(None, 1)
        if not words:
            raise SkipRule("no address pattern")
        matches = matcher(words[0], wanted)
        if len(words) < 2 or not words[1].strip(SPACE):
            raise SkipRule("no lookup result")
        value = words[1].strip(SPACE)
        return Rule(line, answer=lambda key: value if matches(key) else None)

    def parse_condition(self, text: str) -> Condition:
        wanted, rest = split_negation(text)
        if not rest:
            raise SkipRule("no address pattern")
        return matcher(rest, wanted)


def open_cidr(name: str, options: Options) -> Table:
    """cidr:/path or cidr:{ { rule } ... }. Raises SpecError."""
    return open_rules(name, options, CidrFile)
