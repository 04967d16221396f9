"""nmap, testssl.sh, sslyze and swaks, run against one target, and what each says in the audit's own words.

A scanner's answer is what it has found, and what it has looked for at all: rule ids of the audit. Suites are IANA names.
"""

from __future__ import annotations

import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lab.audit.target import Target
from tests.interop.audited.mailers import DOMAIN, HOST
from tests.interop.audited.network import Network
from tls.probe import SUITES, Weakness, weaknesses

NUMBERS = {name: number for number, name in SUITES.items()}
CIPHERS = {f"cipher-{weakness.name.lower()}" for weakness in Weakness}
PLAIN = {"PLAIN", "LOGIN"}


@dataclass
class Seen:
    """What a scanner says of a target. `suites` is None where it does not list them."""

    scope: set[str]
    found: set[str] = field(default_factory=set)
    suites: set[str] | None = None


def faults(versions: Iterable[str], suites: Iterable[str]) -> set[str]:
    """The rules that these versions (`TLSv1.0`) and suites (IANA names) break."""
    found = {"protocol-floor"} if set(versions) & {"SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"} else set()
    weak = {weakness for name in suites if name in NUMBERS for weakness in weaknesses(NUMBERS[name])}
    return found | {f"cipher-{weakness.name.lower()}" for weakness in weak}


def output(network: Network, command: list[str], seconds: float = 600) -> str:
    done = subprocess.run(
        network.at_stranger(*command), check=False, capture_output=True, timeout=seconds, stdin=subprocess.DEVNULL
    )
    return done.stdout.decode("utf-8", "replace")


SCRIPTS = {
    "smtp": "smtp-open-relay,smtp-enum-users,smtp-commands",
    "imap": "imap-capabilities",
    "pop3": "pop3-capabilities",
}


def nmap(network: Network, target: Target) -> Seen:
    kind = target.kind
    scripts = f"ssl-enum-ciphers,ssl-cert,ssl-dh-params,sslv2,banner,{SCRIPTS[kind.protocol]}".split(",")
    arguments = (
        f"smtp-open-relay.domain=stranger.example,smtp-open-relay.to=victim,smtp-enum-users.domain={DOMAIN},"
        "smtp-enum-users.methods={VRFY,EXPN}"
    )
    text = output(network, [
        "nmap", "-n", "-Pn", "-sT", "-p", str(target.port), "--script", ",".join(f"+{name}" for name in scripts),
        "--script-args", arguments, "-oX", "-", target.host,
    ])  # fmt: skip
    said = {script.get("id", ""): script for script in ET.fromstring(text).iter("script")}
    seen = Seen({"banner-version"})
    if kind.implicit_tls or "ssl-enum-ciphers" in said:
        _nmap_tls(seen, said)
    told = {name: script.get("output", "") for name, script in said.items()}
    if re.search(r"\b[0-9]+\.[0-9]+", told.get("banner", "").replace(HOST, "")):
        seen.found.add("banner-version")
    {"smtp": _nmap_smtp, "imap": _nmap_capabilities, "pop3": _nmap_capabilities}[kind.protocol](seen, told, target)
    return seen


def _nmap_tls(seen: Seen, said: dict[str, ET.Element]) -> None:
    seen.scope |= {"protocol-floor", "dh-size", "tls-compression", "certificate-expired", "certificate-weak-key"}
    seen.scope |= {"certificate-weak-signature"} | CIPHERS
    seen.suites = set()
    versions = []
    for table in said["ssl-enum-ciphers"].findall("table") if "ssl-enum-ciphers" in said else []:
        versions.append(table.get("key", ""))
        for cipher in table.iterfind("table[@key='ciphers']/table"):
            values = {elem.get("key"): elem.text or "" for elem in cipher.findall("elem")}
            seen.suites.add(values["name"].replace("TLS_AKE_WITH_", "TLS_"))
            if match := re.fullmatch(r"dh ([0-9]+)", values.get("kex_info", "")):
                seen.found |= {"dh-size"} if int(match[1]) < 2048 else set()
        compressors = {elem.text for elem in table.iterfind("table[@key='compressors']/elem")}
        seen.found |= {"tls-compression"} if compressors - {"NULL"} else set()
    if "sslv2" in said:
        versions.append("SSLv2")
    seen.found |= faults(versions, seen.suites)
    if "ssl-cert" in said:
        bits = said["ssl-cert"].find(".//table[@key='pubkey']/elem[@key='bits']")
        kind = said["ssl-cert"].find(".//table[@key='pubkey']/elem[@key='type']")
        if kind is not None and bits is not None and kind.text == "rsa" and int(bits.text or 0) < 2048:
            seen.found.add("certificate-weak-key")
        digest = said["ssl-cert"].find("elem[@key='sig_algo']")
        if digest is not None and re.match("md5|sha1", digest.text or ""):
            seen.found.add("certificate-weak-signature")


def _nmap_smtp(seen: Seen, told: dict[str, str], target: Target) -> None:
    seen.scope |= {"no-open-relay", "no-user-enumeration"} | (
        set() if target.kind.implicit_tls else {"starttls-missing"}
    )
    if "Server is an open relay" in told.get("smtp-open-relay", ""):
        seen.found.add("no-open-relay")
    if re.search(r"(?m)^ +\w+$", told.get("smtp-enum-users", "")):
        seen.found.add("no-user-enumeration")
    commands = told.get("smtp-commands", "")
    if not target.kind.implicit_tls:
        seen.found |= set() if "STARTTLS" in commands else {"starttls-missing"}
        seen.scope |= {"auth-only-over-tls"}
        seen.found |= {"auth-only-over-tls"} if re.search(r"\bAUTH\b.*\b(PLAIN|LOGIN)\b", commands) else set()


def _nmap_capabilities(seen: Seen, told: dict[str, str], target: Target) -> None:
    text = told.get(f"{target.kind.protocol}-capabilities", "")
    if target.kind.implicit_tls or not text:
        return
    seen.scope |= {"starttls-missing", "no-plaintext-login"}
    seen.found |= set() if re.search(r"STARTTLS|STLS", text) else {"starttls-missing"}
    if target.kind.protocol == "imap":
        open_door = "LOGINDISABLED" not in text or re.search(r"AUTH=(PLAIN|LOGIN)\b", text)
    else:
        open_door = re.search(r"SASL\([^)]*(PLAIN|LOGIN)", text)
    seen.found |= {"no-plaintext-login"} if open_door else set()


TESTSSL = {
    "SSLv2": "protocol-floor",
    "SSLv3": "protocol-floor",
    "TLS1": "protocol-floor",
    "TLS1_1": "protocol-floor",
    "cipherlist_NULL": "cipher-null",
    "cipherlist_aNULL": "cipher-anonymous",
    "cipherlist_EXPORT": "cipher-export",
    "cipherlist_OBSOLETED": "cipher-cbc",
    "RC4": "cipher-rc4",
    "SWEET32": "cipher-block64",
    "CRIME_TLS": "tls-compression",
    "secure_renego": "insecure-renegotiation",
    "secure_client_renego": "client-renegotiation",
    "fallback_SCSV": "fallback-scsv",
    "LOGJAM": "dh-size",
    "cert_chain_of_trust": "certificate-untrusted",
    "cert_trust": "certificate-name-mismatch",
    "cert_subjectAltName": "certificate-common-name",
    "cert_keySize": "certificate-weak-key",
    "cert_signatureAlgorithm": "certificate-weak-signature",
}
"""testssl.sh's ids, and what it means if one is worse than `INFO`."""
FINE = {"OK", "INFO", "DEBUG", "WARN"}


def testssl(network: Network, target: Target, program: str, ca_file: Path | None) -> Seen:
    report = Path(f"/tmp/hm-testssl-{network.server}.json")
    report.unlink(missing_ok=True)
    starttls = [] if target.kind.implicit_tls else ["--starttls", target.kind.protocol]
    more = ["--add-ca", str(ca_file)] if ca_file else []
    output(network, [
        program, "--quiet", "--color", "0", "--warnings", "batch", "--nodns", "none", "--sneaky", "--ip", target.host,
        "--protocols", "--standard", "--server-defaults", "--rc4", "--sweet32", "--logjam", "--crime", "--renegotiation",
        "--tls-fallback", *more, *starttls, "--jsonfile", str(report), f"{HOST}:{target.port}",
    ])  # fmt: skip
    entries = json.loads(report.read_text())
    report.unlink()
    seen = Seen(set(TESTSSL.values()) & {TESTSSL[name] for e in entries if (name := _name(e)) in TESTSSL})
    for entry in entries:
        name = _name(entry)
        if name in TESTSSL and entry["severity"] not in FINE:
            seen.found.add(TESTSSL[name])
        if name == "cert_expirationStatus":
            seen.scope |= {"certificate-expired", "certificate-expires-soon"}
            if "expired" in entry["finding"]:
                seen.found.add("certificate-expired")
            elif entry["severity"] not in FINE:
                seen.found.add("certificate-expires-soon")
    return seen


def _name(entry: dict[str, str]) -> str:
    return entry["id"].partition(" ")[0]


SSLYZE = {
    "ssl_2_0_cipher_suites": "SSLv2",
    "ssl_3_0_cipher_suites": "SSLv3",
    "tls_1_0_cipher_suites": "TLSv1.0",
    "tls_1_1_cipher_suites": "TLSv1.1",
    "tls_1_2_cipher_suites": "TLSv1.2",
    "tls_1_3_cipher_suites": "TLSv1.3",
}


def sslyze(network: Network, target: Target, program: str, ca_file: Path | None) -> Seen:
    report = Path(f"/tmp/hm-sslyze-{network.server}.json")
    report.unlink(missing_ok=True)
    starttls = [] if target.kind.implicit_tls else ["--starttls", target.kind.protocol]
    more = ["--certinfo_ca_file", str(ca_file)] if ca_file else []
    output(network, [
        program, "--mozilla_config", "disable", "--slow_connection", "--sslv2", "--sslv3", "--tlsv1", "--tlsv1_1",
        "--tlsv1_2", "--tlsv1_3", "--certinfo", "--compression", "--reneg", "--fallback", *more, *starttls,
        "--sni", HOST, "--json_out", str(report), f"{target.host}:{target.port}",
    ])  # fmt: skip
    results = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    report.unlink()
    versions, suites = [], set()
    for key, version in SSLYZE.items():
        assert results[key]["status"] == "COMPLETED", results[key]
        accepted = results[key]["result"]["accepted_cipher_suites"]
        versions += [version] if accepted else []
        suites |= {entry["cipher_suite"]["name"] for entry in accepted}
    seen = Seen({"protocol-floor", *CIPHERS}, faults(versions, suites), suites)
    checks: tuple[tuple[str, str, Callable[[dict[str, object]], bool]], ...] = (
        ("tls_compression", "tls-compression", lambda r: bool(r["supports_compression"])),
        ("session_renegotiation", "insecure-renegotiation", lambda r: not r["supports_secure_renegotiation"]),
        (
            "session_renegotiation",
            "client-renegotiation",
            lambda r: bool(r["is_vulnerable_to_client_renegotiation_dos"]),
        ),
        ("tls_fallback_scsv", "fallback-scsv", lambda r: not r["supports_fallback_scsv"]),
    )
    for key, rule, bad in checks:
        if results[key]["result"]:
            seen.scope.add(rule)
            seen.found |= {rule} if bad(results[key]["result"]) else set()
    if results["certificate_info"]["result"]:
        seen.scope |= {"certificate-untrusted"}
        for deployment in results["certificate_info"]["result"]["certificate_deployments"]:
            if not any(entry["was_validation_successful"] for entry in deployment["path_validation_results"]):
                seen.found.add("certificate-untrusted")
    return seen


def swaks(network: Network, target: Target) -> Seen:
    """The checks that people make by hand: relay, TLS, AUTH without TLS, HELO, a sender that cannot exist."""
    base = ["swaks", "--server", f"{target.host}:{target.port}", "--helo", "stranger.example", "--timeout", "10"]
    tls = ["--tls-on-connect"] if target.kind.implicit_tls else []

    def talk(*more: str) -> str:
        return output(network, [*base, *tls, *more])

    def taken(*more: str) -> bool:
        said = talk("--quit-after", "RCPT", *more)
        return bool(re.search(r"(?m)^ ~?-> RCPT TO.*\n<[-~]+  ?250", said))

    seen = Seen({"no-open-relay"})
    stranger = ("--from", "friend@example.com")
    if taken(*stranger, "--to", "victim@example.net"):
        seen.found.add("no-open-relay")
    greeted = talk("--quit-after", "EHLO")
    if not target.kind.implicit_tls:
        seen.scope |= {"starttls-missing", "auth-only-over-tls"}
        seen.found |= set() if "STARTTLS" in greeted else {"starttls-missing"}
        seen.found |= {"auth-only-over-tls"} if re.search(r"250[- ]AUTH\b.*(PLAIN|LOGIN)", greeted) else set()
    if not target.kind.for_users:
        seen.scope |= {"helo-checks", "sender-checks", "banner-version"}
        user = ("--to", f"root@{DOMAIN}")
        if any(taken(*stranger, *user, "--helo", name) for name in ("-bad-.example", "workstation")):
            seen.found.add("helo-checks")
        if any(taken("--from", sender, *user) for sender in ("workstation", "x@does-not-exist.invalid")):
            seen.found.add("sender-checks")
        if re.search(r"(?m)^<-  220 .*\b[0-9]+\.[0-9]+", greeted.replace(HOST, "")):
            seen.found.add("banner-version")
    return seen
