"""sendmail.mc (m4) and the `O` lines of sendmail.cf as main.cf; FEATURE(`access_db') brings the access table along."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from lab.importer import access
from lab.importer.translation import Source, Translation

CALL = re.compile(r"[ \t]*([A-Za-z_]\w*)\(")
OPTION = re.compile(r"[ \t]*(?:O[ \t]+)?([A-Za-z]\w*)[ \t]*=[ \t]*(.*)")
ARGUMENT = re.compile(r"\s*(?:[`']((?:[^'])*)'|([^`',()]*))\s*([,)])")
CALL_LINES = 50
"""A call that is not closed after so many lines never is."""
IGNORED = frozenset(
    {"divert", "include", "VERSIONID", "OSTYPE", "DOMAIN", "MAILER", "MAILER_DEFINITIONS", "LOCAL_CONFIG", "undefine"}
)
"""What says how sendmail.cf is made, and nothing about mail."""

# sendmail.mc says define(`confNAME', ...), sendmail.cf `O Name=...`: the one by the other (cf/README).
OPTIONS = {
    "confPRIVACY_FLAGS": "PrivacyOptions",
    "confCACERT_PATH": "CACertPath",
    "confCACERT": "CACertFile",
    "confSERVER_CERT": "ServerCertFile",
    "confSERVER_KEY": "ServerKeyFile",
    "confCLIENT_CERT": "ClientCertFile",
    "confCLIENT_KEY": "ClientKeyFile",
    "confTLS_SRV_OPTIONS": "TLSSrvOptions",
    "confMAX_MESSAGE_SIZE": "MaxMessageSize",
    "confMAX_RCPTS_PER_MESSAGE": "MaxRecipientsPerMessage",
    "confCONNECTION_RATE_THROTTLE": "ConnectionRateThrottle",
    "confDOMAIN_NAME": "HostName",
    "SMART_HOST": "SmartHost",
}
PRIVACY: dict[str, tuple[tuple[str, str], ...]] = {
    "public": (),
    "authwarnings": (("hardmail_authentication_warnings", "yes"),),
    "novrfy": (("disable_vrfy_command", "yes"),),
    "noexpn": (),  # never answered: Postfix does not know EXPN
    "noverb": (),  # nor VERB
    "needmailhelo": (("smtpd_helo_required", "yes"),),
    "needvrfyhelo": (("smtpd_helo_required", "yes"),),
    "needexpnhelo": (),
    "noetrn": (("smtpd_etrn_restrictions", "reject"),),
    "noreceipts": (("smtpd_discard_ehlo_keywords", "dsn"),),
}
PRIVACY["goaway"] = tuple(
    setting
    for flag in ("novrfy", "noexpn", "noverb", "needmailhelo", "needvrfyhelo", "needexpnhelo", "noreceipts")
    for setting in PRIVACY[flag]
)

TLS = {
    "CACertPath": (("smtpd_tls_CApath", ""), ("smtp_tls_CApath", "")),
    "CACertFile": (("smtpd_tls_CAfile", ""), ("smtp_tls_CAfile", "")),
    # STARTTLS is offered, and used where it is offered, as soon as there is a certificate.
    "ServerCertFile": (("smtpd_tls_cert_file", ""), ("smtpd_tls_security_level", "may")),
    "ServerKeyFile": (("smtpd_tls_key_file", ""),),
    "ClientCertFile": (("smtp_tls_cert_file", ""), ("smtp_tls_security_level", "may")),
    "ClientKeyFile": (("smtp_tls_key_file", ""),),
}
"""Parameters that take the value, or one of their own."""
NUMBERS = {
    "MaxMessageSize": "message_size_limit",
    "MaxRecipientsPerMessage": "smtpd_recipient_limit",
}


def translate(path: Path, text: str, result: Translation) -> None:
    """Macro calls and options; of the rewriting rules of sendmail.cf only that they are there."""
    authorities: dict[str, Path] = {}
    tables: list[Source] = []
    for source, name, arguments in statements(path, text, result):
        if name in IGNORED:
            continue
        if name == "define" and len(arguments) == 2:
            name, arguments = OPTIONS.get(arguments[0], arguments[0]), arguments[1:]
        if name in ("CACertPath", "CACertFile") and arguments:
            authorities[name] = Path(arguments[0])
        if name == "FEATURE" and arguments and arguments[0] == "access_db":
            tables.append(source)
        elif any("$" in argument for argument in arguments):
            result.none(source, "macros of sendmail.cf cannot be expanded here")
        else:
            _statement(source, name, arguments, result)
    for source in tables:
        beside = path.with_name("access")
        try:
            entries = beside.read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            result.none(source, f"{beside}: {error.strerror}")
        else:
            access.translate(beside, entries, result, authorities)


def statements(path: Path, text: str, result: Translation) -> Iterator[tuple[Source, str, Sequence[str]]]:
    """Macro calls with their arguments, and options with their value. `dnl` comments out the rest of a line."""
    lines, at, rules = text.splitlines(), 0, False
    while at < len(lines):
        number, line = at + 1, lines[at].rstrip()
        at += 1
        source = Source(path, number, line)
        if line.lstrip().startswith("dnl"):
            if CALL.match(line.lstrip()[3:]) is not None:
                result.none(source, "`dnl` comments it out: not in force")
            continue
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if (match := CALL.match(line)) is not None:
            rest = line[match.end() :]
            end = min(at + CALL_LINES, len(lines))
            while (arguments := _arguments(rest)) is None and at < end:  # it goes on in the next line
                rest += "\n" + lines[at]
                at += 1
            if arguments is None:
                result.none(source, "the parenthesis is never closed")
            else:
                yield source, match[1], arguments
        elif (match := OPTION.fullmatch(line)) is not None:
            yield source, match[1], [re.sub(r"\s*dnl$", "", match[2])]
        elif not rules:
            rules = path.suffix == ".cf"
            result.none(
                source, "rules and definitions of sendmail.cf have no counterpart" if rules else "not understood"
            )


def _arguments(text: str) -> list[str] | None:
    """The arguments of a call, up to its closing parenthesis; None if it is not there. Quotes are `...' or '...'."""
    found, at = [], 0
    while (match := ARGUMENT.match(text, at)) is not None:
        found.append(match[1] if match[1] is not None else match[2].strip())
        if match[3] == ")":
            return found
        at = match.end()
    return None


def _statement(source: Source, name: str, arguments: Sequence[str], result: Translation) -> None:
    value = arguments[0] if arguments else ""
    if name in TLS:
        for parameter, own in TLS[name]:
            result.set(source, parameter, own or value)
    elif name in NUMBERS:
        if value.isascii() and value.isdigit():
            result.set(source, NUMBERS[name], value)
        else:
            result.none(source, "no number")
    elif name in HANDLERS:
        HANDLERS[name](source, arguments, result)
    else:
        result.none(source, "hardmail knows no counterpart")


def _privacy(source: Source, arguments: Sequence[str], result: Translation) -> None:
    for flag in re.split(r"[\s,]+", arguments[0].lower()):
        if flag not in PRIVACY:
            result.none(source, f"{flag}: no counterpart")
        for parameter, value in PRIVACY.get(flag, ()):
            result.set(source, parameter, value)


def _client_certificates(source: Source, arguments: Sequence[str], result: Translation) -> None:
    """`V`: do not ask clients for a certificate; sendmail asks otherwise."""
    unknown = set(arguments[0].replace(",", " ").split()) - {"V"}
    if unknown:
        result.none(source, f"{' '.join(sorted(unknown))}: no counterpart")
    result.set(source, "smtpd_tls_ask_ccert", "no" if "V" in arguments[0] else "yes")


def _daemon(source: Source, arguments: Sequence[str], result: Translation) -> None:
    named = dict(word.strip().partition("=")[::2] for word in arguments[0].split(","))
    if named.get("Port", "smtp") not in ("smtp", "25"):
        result.none(source, "ports stand in master.cf")
        return
    address = named.get("Addr", named.get("Address", ""))
    result.add(source, "inet_interfaces", address if address not in ("", "0.0.0.0", "::") else "all")  # noqa: S104


def _rate(source: Source, arguments: Sequence[str], result: Translation) -> None:
    result.none(source, "Postfix counts by client, not in all: smtpd_client_connection_rate_limit")


def _smart_host(source: Source, arguments: Sequence[str], result: Translation) -> None:
    mailer, _, host = arguments[0].rpartition(":")
    if mailer not in ("", "smtp", "esmtp", "relay"):
        result.none(source, f"mailer {mailer}: write transport_maps")
        return
    result.set(source, "relayhost", host)


def _feature(source: Source, arguments: Sequence[str], result: Translation) -> None:
    name, values = arguments[0], arguments[1:]
    if name in ("dnsbl", "enhdnsbl") and values:
        result.add(source, "smtpd_client_restrictions", f"reject_rbl_client {values[0]}")
    elif name == "nullclient" and values:
        result.set(source, "mydestination", "")
        result.set(source, "inet_interfaces", "loopback-only")
        _smart_host(source, values, result)
    elif name in ("virtusertable", "mailertable"):
        parameter = "virtual_alias_maps" if name == "virtusertable" else "transport_maps"
        result.none(source, f"its tables are written otherwise: see {parameter}")
    elif name in ("delay_checks", "use_cw_file", "always_add_domain", "accept_unresolvable_domains"):
        _simple_feature(source, name, result)
    else:
        result.none(source, "hardmail knows no counterpart of this feature")


def _simple_feature(source: Source, name: str, result: Translation) -> None:
    match name:
        case "delay_checks":
            result.set(source, "smtpd_delay_reject", "yes")
        case "always_add_domain":
            result.set(source, "append_at_myorigin", "yes")
        case "use_cw_file":
            result.set(source, "mydestination", "$myhostname, localhost, /etc/mail/local-host-names")
        case _:
            result.none(source, "the default: leave reject_unknown_sender_domain away")


HANDLERS: dict[str, Callable[[Source, Sequence[str], Translation], None]] = {
    "PrivacyOptions": _privacy,
    "TLSSrvOptions": _client_certificates,
    "DAEMON_OPTIONS": _daemon,
    "DaemonPortOptions": _daemon,
    "ConnectionRateThrottle": _rate,
    "SmartHost": _smart_host,
    "FEATURE": _feature,
    "HostName": lambda source, arguments, result: result.set(source, "myhostname", arguments[0]),
    "MASQUERADE_AS": lambda source, arguments, result: result.set(source, "myorigin", arguments[0]),
    "MASQUERADE_DOMAIN": lambda source, arguments, result: result.add(source, "masquerade_domains", *arguments),
    "RELAY_DOMAIN": lambda source, arguments, result: result.add(source, "relay_domains", *arguments),
}
