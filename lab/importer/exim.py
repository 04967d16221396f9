"""exim.conf: the options of the main section, of Exim 3 (as in Securing Debian) and of Exim 4, as main.cf."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from lab.importer.translation import Source, Translation

SETTING = re.compile(
    r"(?:hide\s+)?(?P<list>(?:domain|host|address|localpart)list\s+)?(?P<name>[A-Za-z]\w*)\s*(?:==?\s*(?P<value>.*))?",
    re.S,
)
NEGATED = re.compile(r"no_|not_")
SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
TRUTH = {"true": True, "yes": True, "": True, "false": False, "no": False}

Rule = Callable[[Source, str, Translation], None]


class NoCounterpart(Exception):
    """What the value says cannot be said in main.cf; the reason."""


def translate(path: Path, text: str, result: Translation) -> None:
    """The main section, up to `begin` (Exim 4) or `end` (Exim 3); of the other sections only their names."""
    macros: dict[str, str] = {}
    main, branches = True, Branches()
    for source in logical_lines(path, text):
        words = source.text.split()
        if branches.turn(words, macros) or not branches.taken:
            continue
        if words[0] in ("begin", "end"):
            main = False
            if len(words) > 1:
                result.none(source, "routers, transports, ACLs and rewriting are programs: see postconf(5) for each")
            continue
        if not main or (match := SETTING.fullmatch(source.text)) is None:
            if main:
                result.none(source, "no option of Exim's main section")
            continue
        name, value = match["name"], unquoted((match["value"] or "").strip())
        for macro, content in sorted(macros.items(), key=lambda entry: -len(entry[0])):
            value = value.replace(macro, content)
        if name[0].isupper():
            macros[name] = value
            continue
        try:
            _option(source, name, value, match["value"] is None, result)
        except NoCounterpart as reason:
            result.none(source, str(reason))


class Branches:
    """`.ifdef` and its like: which lines count (the Exim specification, 6.7 "Conditional skips")."""

    def __init__(self) -> None:
        self._open: list[tuple[bool, bool]] = []
        """For each condition: whether its present branch is taken, and whether one has been."""

    @property
    def taken(self) -> bool:
        """Whether a line here counts."""
        return all(taken for taken, _ in self._open)

    def turn(self, words: list[str], macros: Mapping[str, str]) -> bool:
        """Whether the line is one of these, and then what follows from it."""
        word, holds = words[0], len(words) > 1 and words[1] in macros
        if word in (".ifndef", ".elifndef"):
            holds = not holds
        if word in (".ifdef", ".ifndef"):
            self._open.append((holds, holds))
        elif word in (".elifdef", ".elifndef", ".else") and self._open:
            done = self._open.pop()[1]
            now = not done and (holds or word == ".else")
            self._open.append((now, done or now))
        elif word == ".endif" and self._open:
            self._open.pop()
        else:
            return False
        return True


def logical_lines(path: Path, text: str) -> Iterator[Source]:
    """Lines with their continuations (backslash, then the white space of the next line goes); no comments."""
    begun, number = "", 0
    for at, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        number = number or at
        begun += line.strip() if begun else line.rstrip()
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        if begun.strip():
            yield Source(path, number, begun.strip())
        begun, number = "", 0
    if begun.strip():
        yield Source(path, number, begun.strip())


def unquoted(value: str) -> str:
    """A value in double quotes is without them; within, a backslash escapes."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r"\\(.)", r"\1", value[1:-1])
    return value


def items(value: str) -> list[str]:
    """A list: separated by colons, a double one is part of an item; `<;` at its start names another separator."""
    if match := re.match(r"<(.)", value):
        return [item.strip() for item in value[2:].split(match[1]) if item.strip()]
    return [item.strip().replace("\0", ":") for item in value.replace("::", "\0").split(":") if item.strip()]


def _option(source: Source, name: str, value: str, bare: bool, result: Translation) -> None:
    negated = bare and NEGATED.match(name) is not None
    name = NEGATED.sub("", name) if negated else name
    if name in YES_NO:
        if value.lower() not in TRUTH:
            raise NoCounterpart("neither true nor false")
        YES_NO[name](source, TRUTH[value.lower()] != negated, result)
    elif name in VALUES:
        if "$" in value or re.search(r"\b(?:lsearch|cdb|dbm|mysql|pgsql|ldap|sqlite|partial)\b", value):
            raise NoCounterpart("expansions and lookups of Exim's own: write a table, see DATABASE_README")
        VALUES[name](source, value, result)
    else:
        raise NoCounterpart("hardmail knows no counterpart of this option")


def _interfaces(source: Source, value: str, result: Translation) -> None:
    addresses = []
    for item in items(value):
        address, _, port = item.strip("[]").partition("]:") if item.startswith("[") else (item, "", "")
        if (match := re.fullmatch(r"(\d+\.\d+\.\d+\.\d+)\.(\d+)", address)) is not None:
            address, port = match.groups()
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            raise NoCounterpart(f"{item} is no address") from None
        if port and port != "25":
            raise NoCounterpart(f"port {port}: ports stand in master.cf")
        addresses.append("all" if parsed.is_unspecified else str(parsed))
    result.set(source, "inet_interfaces", "all" if "all" in addresses else " ".join(addresses))


def _receiver_verify(source: Source, value: bool, result: Translation) -> None:
    # Exim's local users are those of the machine and its aliases, as the default of local_recipient_maps has it.
    result.set(source, "smtpd_reject_unlisted_recipient", "yes" if value else "no")
    if value:
        result.set(source, "local_recipient_maps", "proxy:unix:passwd.byname $alias_maps")


def _domains(source: Source, value: str, result: Translation, parameter: str) -> None:
    words = []
    for item in items(value):
        name = item.removeprefix("*.") if parameter == "relay_domains" else item  # whose names include all below them
        if name.startswith(("!", "+")) or "/" in name or "*" in name:
            raise NoCounterpart(f"{item}: exceptions, named lists, files and patterns have to be written out")
        words.append("$myhostname" if name == "@" else name)
    result.add(source, parameter, *words)


def _networks(source: Source, value: str, result: Translation) -> None:
    words = []
    for item in items(value):
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError:
            raise NoCounterpart(f"{item}: mynetworks takes addresses and networks") from None
        words.append(str(network) if network.version == 4 else f"[{network.network_address}]/{network.prefixlen}")
    result.add(source, "mynetworks", *words)


def _rejected_clients(source: Source, value: str, result: Translation) -> None:
    for item in items(value):
        name = item.removeprefix("*.")
        if re.search(r"[!+*@{}]", name):
            raise NoCounterpart(f"{item}: exceptions, named lists and patterns have to be written out")
        if "/" in name:
            result.add(source, "smtpd_client_restrictions", f"check_client_access cidr:{{ {{ {name} REJECT }} }}")
        else:
            result.look_up(source, "smtpd_client_restrictions", "check_client_access", name, "REJECT")


def _rejected_senders(source: Source, value: str, result: Translation) -> None:
    for item in items(value):
        key = item.removeprefix("*@").removeprefix("*.")
        if re.search(r"[!+*/{}]", key):
            raise NoCounterpart(f"{item}: exceptions, files and patterns have to be written out")
        result.look_up(source, "smtpd_sender_restrictions", "check_sender_access", key, "REJECT")


def _blocklists(source: Source, value: str, result: Translation) -> None:
    for item in items(value):
        zone, _, mode = item.partition("/")
        if mode not in ("", "reject"):
            raise NoCounterpart(f"{item}: only to reject has a counterpart; `warn` is warn_if_reject")
        result.add(source, "smtpd_client_restrictions", f"reject_rbl_client {zone}")


def _size(source: Source, value: str, result: Translation) -> None:
    match = re.fullmatch(r"(\d{1,12})([KMG]?)", value)
    if match is None:
        raise NoCounterpart("no number")
    result.set(source, "message_size_limit", str(int(match[1]) * SIZES[match[2]]))


def _relayed_when(source: Source, value: str, result: Translation) -> None:
    for item in items(value):
        if item != "*":
            raise NoCounterpart("smtp_tls_policy_maps and smtpd restrictions decide for single hosts")
    result.set(source, "smtpd_tls_security_level", "may" if items(value) else "none")


def _plain(parameter: str) -> Rule:
    return lambda source, value, result: result.set(source, parameter, value)


def _number(parameter: str) -> Rule:
    def rule(source: Source, value: str, result: Translation) -> None:
        if not re.fullmatch(r"\d{1,9}", value):
            raise NoCounterpart("no number")
        result.set(source, parameter, value)

    return rule


def _listed(parameter: str) -> Rule:
    return lambda source, value, result: _domains(source, value, result, parameter)


def _restriction(restrictions: str, restriction: str) -> Callable[[Source, bool, Translation], None]:
    return lambda source, value, result: result.add(source, restrictions, *([restriction] if value else []))


YES_NO: dict[str, Callable[[Source, bool, Translation], None]] = {
    "receiver_verify": _receiver_verify,
    "sender_verify": _restriction("smtpd_sender_restrictions", "reject_unknown_sender_domain"),
    "smtp_verify": lambda source, value, result: result.set(source, "disable_vrfy_command", "no" if value else "yes"),
}
VALUES: dict[str, Rule] = {
    "local_interfaces": _interfaces,
    "primary_hostname": _plain("myhostname"),
    "qualify_domain": _plain("myorigin"),
    "smtp_banner": _plain("smtpd_banner"),
    "local_domains": _listed("mydestination"),
    "relay_domains": _listed("relay_domains"),
    "relay_to_domains": _listed("relay_domains"),
    "host_accept_relay": _networks,
    "relay_from_hosts": _networks,
    "host_reject": _rejected_clients,
    "sender_reject": _rejected_senders,
    "sender_reject_recipients": _rejected_senders,
    "rbl_domains": _blocklists,
    "message_size_limit": _size,
    "recipients_max": _number("smtpd_recipient_limit"),
    "smtp_accept_max_per_host": _number("smtpd_client_connection_count_limit"),
    "tls_advertise_hosts": _relayed_when,
    "tls_certificate": _plain("smtpd_tls_cert_file"),
    "tls_privatekey": _plain("smtpd_tls_key_file"),
    "tls_verify_certificates": _plain("smtpd_tls_CAfile"),
}
