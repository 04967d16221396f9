"""sendmail's access table (cf/README, "Anti-spam configuration control") as restrictions in main.cf."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from cryptography import x509
from cryptography.x509.oid import NameOID

from lab.importer.translation import Source, Translation

ENTRY = re.compile(r"(?:(?P<tag>[A-Za-z]+):)?(?P<key>\S+)\s+(?P<action>\S.*)")
ERROR = re.compile(r'ERROR:(?:(?P<status>\d\.\d{1,3}\.\d{1,3}):)?"?(?P<code>[45]\d\d)\s+(?P<text>[^"]*)"?', re.I)
PLAIN = {"REJECT": "REJECT", "DISCARD": "DISCARD", "OK": "OK"}
# Where an entry of each tag is looked up.
CHECKS = {
    "connect": (("smtpd_client_restrictions", "check_client_access"),),
    "from": (("smtpd_sender_restrictions", "check_sender_access"),),
    "to": (("smtpd_recipient_restrictions", "check_recipient_access"),),
    "": (
        ("smtpd_client_restrictions", "check_client_access"),
        ("smtpd_sender_restrictions", "check_sender_access"),
    ),
}
SHORT = {  # as OpenSSL prints a name on one line, and with it sendmail
    NameOID.COUNTRY_NAME: "C",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COMMON_NAME: "CN",
    NameOID.EMAIL_ADDRESS: "emailAddress",
}


def translate(
    path: Path, text: str, result: Translation, authorities: Mapping[str, Path] = MappingProxyType({})
) -> None:
    """Each entry; `authorities` are CACertFile and CACertPath, where the authority of CERTIssuer: is looked for."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        source = Source(path, number, line)
        match = ENTRY.fullmatch(line.strip())
        if match is None:
            result.none(source, "no action: an entry is KEY, white space, ACTION, on one line")
            continue
        tag, key, action = (match["tag"] or "").lower(), match["key"].removeprefix("IPv6:"), match["action"].strip()
        if tag == "certissuer":
            _issuer(source, key, action, authorities, result)
        elif action.upper() == "RELAY":
            _relay(source, tag, key, result)
        elif tag not in CHECKS:
            result.none(source, f"{match['tag']}: no counterpart")
        else:
            _look_up(source, tag, key, action, result)


def _look_up(source: Source, tag: str, key: str, action: str, result: Translation) -> None:
    said = PLAIN.get(action.upper())
    if (match := ERROR.fullmatch(action)) is not None:
        said = " ".join(word for word in (match["code"], match["status"], match["text"].strip()) if word)
    elif re.fullmatch(r"[45]\d\d\s+\S.*", action):
        said = action
    if said is None:
        result.none(source, f"{action}: no counterpart")
    elif re.search(r"[{}]", key + said):
        result.none(source, "braces cannot stand in a table within main.cf")
    else:
        for restrictions, check in CHECKS["from" if "@" in key and not tag else tag]:
            result.look_up(source, restrictions, check, key, said)


def _relay(source: Source, tag: str, key: str, result: Translation) -> None:
    """To: a domain that we take mail for; Connect: a client that may relay; without a tag both."""
    if tag in ("", "connect") and (network := _network(key)) is not None:
        result.add(source, "mynetworks", network)
    elif tag == "connect":
        result.look_up(source, "smtpd_relay_restrictions", "check_client_access", key, "OK")
    elif tag in ("", "to") and "@" not in key:
        result.add(source, "relay_domains", key)
        if tag == "":
            result.look_up(source, "smtpd_relay_restrictions", "check_client_access", key, "OK")
    else:
        result.none(source, "a sender's address is easily forged: Postfix lets nobody relay for it")


def _network(key: str) -> str | None:
    """An address, or the first octets of several, as mynetworks has it; None for a name."""
    octets = key.rstrip(".").split(".")
    if all(octet.isascii() and octet.isdigit() for octet in octets) and len(octets) <= 4:
        key = ".".join(octets + ["0"] * (4 - len(octets))) + f"/{8 * len(octets)}"
    try:
        network = ipaddress.ip_network(key)
    except ValueError:
        return None
    return str(network) if network.version == 4 else f"[{network.network_address}]/{network.prefixlen}"


def _issuer(source: Source, name: str, action: str, authorities: Mapping[str, Path], result: Translation) -> None:
    """Postfix trusts authorities, not names: the named one must be the only one that smtpd trusts for clients."""
    if action.upper() != "RELAY":
        result.none(source, f"{action}: only RELAY has a counterpart")
        return
    for file, found in _certificates(authorities):
        if one_line_name(found[0].subject) != decoded(name):
            continue
        if len(found) > 1:
            result.none(source, f"{file} holds other authorities too, which would let their clients relay as well")
            return
        result.set(source, "smtpd_tls_CAfile", str(file))
        result.set(source, "smtpd_tls_CApath", "")
        result.set(source, "smtpd_tls_ask_ccert", "yes")
        result.add(source, "smtpd_relay_restrictions", "permit_tls_all_clientcerts")
        return
    result.none(source, "no certificate of this authority among confCACERT and confCACERT_PATH: nobody relays by it")


def _certificates(authorities: Mapping[str, Path]) -> Iterator[tuple[Path, list[x509.Certificate]]]:
    """The files with certificates of authorities, one after another. What is none is passed over."""
    for path in authorities.values():
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            try:
                found = x509.load_pem_x509_certificates(file.read_bytes())
            except (OSError, ValueError):
                continue
            yield file, found


def one_line_name(name: x509.Name) -> str:
    """`/C=DE/O=.../CN=...`, as X509_NAME_oneline writes it."""
    return "".join(f"/{SHORT.get(part.oid, part.oid.dotted_string)}={part.value!s}" for part in name)


def decoded(name: str) -> str:
    """sendmail writes blanks and special characters as `+` and two digits; Email is what older OpenSSL called it."""
    text = re.sub(r"\+([0-9A-Fa-f]{2})", lambda match: chr(int(match[1], 16)), name)
    return text.replace("/Email=", "/emailAddress=")
