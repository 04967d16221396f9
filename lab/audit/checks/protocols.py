"""Which versions and cipher suites a server would agree to, from SSL 2.0 to TLS 1.3, and how it agrees to them."""

from __future__ import annotations

from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.visit import Undecided, Visit
from tls.policy import Version
from tls.probe import SUITES, TLS13, Answer, Hello, Weakness, name_of, ssl2_hello, weaknesses
from tls.probe.suites import FALLBACK_SCSV

POSTFIX_CIPHERS: Final = "smtpd_tls_exclude_ciphers = aNULL, eNULL, EXPORT, DES, 3DES, RC4, MD5"
MENDED: Final = {
    "Postfix": POSTFIX_CIPHERS,
    "Dovecot": "ssl_cipher_list = ECDHE+AESGCM:ECDHE+CHACHA20",
    "Exim": "tls_require_ciphers = SECURE256:SECURE128:-VERS-ALL:+VERS-TLS1.2:+VERS-TLS1.3",
    "sendmail": "O CipherList=HIGH:!aNULL:!3DES:!kRSA",
    "OpenSMTPD": 'smtp ciphers "HIGH:!aNULL:!3DES"',
}
FLOOR: Final = Rule(
    "protocol-floor",
    "Old versions of SSL and TLS are accepted",
    Severity.MEDIUM,
    327,
    "SSL 2 and 3 and TLS 1.0 and 1.1 have known attacks (DROWN, POODLE, BEAST; RFC 8996), and a server that still "
    "speaks them lets an attacker choose them.",
    {
        "Exim": MENDED["Exim"],
        "sendmail": "O ServerSSLOptions=+SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1",
        "OpenSMTPD": 'listen on ... tls protocols "TLSv1.2,TLSv1.3"',
    },
)
FALLBACK: Final = Rule(
    "fallback-scsv",
    "A client can be talked down to an older version",
    Severity.LOW,
    757,
    "A client that tries again with less says so (RFC 7507); this server does not listen, so that breaking a handshake "
    "is enough to get the older version.",
    {"Postfix": "# update OpenSSL to 1.0.1j or newer", "Exim": "# update GnuTLS or OpenSSL"},
)
COMPRESSION: Final = Rule(
    "tls-compression",
    "TLS compresses what it encrypts",
    Severity.MEDIUM,
    310,
    "The length of a record tells how much its contents repeat themselves, and so, guess by guess, a secret (CRIME).",
    {"Postfix": "tls_ssl_options = NO_COMPRESSION", "Dovecot": "ssl_options = no_compression"},
)
RENEGOTIATION: Final = Rule(
    "insecure-renegotiation",
    "Renegotiation is not bound to the session (RFC 5746)",
    Severity.MEDIUM,
    300,
    "Who sits on the way opens the session, says something, and lets the user's own handshake follow: the server takes "
    "both for one client (CVE-2009-3555).",
    {"Postfix": "# update OpenSSL to 0.9.8m or newer", "Exim": "# update GnuTLS or OpenSSL"},
)
CLIENT: Final = Rule(
    "client-renegotiation",
    "Clients may renegotiate as often as they like",
    Severity.LOW,
    400,
    "A handshake costs the server ten times what it costs the client: one connection keeps a processor busy "
    "(CVE-2011-1473).",
    {
        "Postfix": "tls_ssl_options = NO_RENEGOTIATION",
        "Dovecot": "# update OpenSSL to 3.0 or newer",
        "Exim": "openssl_options = +no_renegotiation",
        "sendmail": "O ServerSSLOptions=+SSL_OP_NO_RENEGOTIATION",
    },
)
DH: Final = Rule(
    "dh-size",
    "The Diffie-Hellman group is too small",
    Severity.MEDIUM,
    326,
    "The work for a group of 1024 bits is done once and then opens every session that uses the group (Logjam).",
    {
        "Postfix": "smtpd_tls_dh1024_param_file = auto\nsmtpd_tls_exclude_ciphers = aNULL",
        "Dovecot": "ssl_dh = </etc/dovecot/dh.pem  # openssl dhparam 2048",
        "Exim": "tls_dhparam = ffdhe2048",
        "sendmail": "O DHParameters=2048",
        "OpenSMTPD": "pki mail dhe auto",
    },
)
_SEVERITIES: Final = {
    Weakness.NULL: (Severity.HIGH, 319),
    Weakness.ANONYMOUS: (Severity.MEDIUM, 295),
    Weakness.EXPORT: (Severity.HIGH, 326),
    Weakness.DES: (Severity.HIGH, 326),
    Weakness.RC4: (Severity.MEDIUM, 327),
    Weakness.BLOCK64: (Severity.MEDIUM, 327),
    Weakness.CBC: (Severity.INFO, 327),
    Weakness.STATIC: (Severity.LOW, 326),
}
CIPHERS: Final = {
    weakness: Rule(
        f"cipher-{weakness.name.lower()}",
        f"Cipher suites with {weakness.value}",
        severity,
        cwe,
        "A server that offers a weak suite lets clients, and those who sit between, choose it.",
        {**MENDED, "Postfix": POSTFIX_CIPHERS + (", kRSA" if weakness is Weakness.STATIC else "")},
    )
    for weakness, (severity, cwe) in _SEVERITIES.items()
}
RULES: Final = (FLOOR, FALLBACK, COMPRESSION, RENEGOTIATION, CLIENT, DH, *CIPHERS.values())

OLD: Final = {Version.SSLv3: Severity.HIGH, Version.TLSv1: Severity.MEDIUM, Version.TLSv1_1: Severity.MEDIUM}
CHUNK: Final = 120
"""Some servers hang up on longer lists."""
SMALL_DH, SAFE_DH = 1024, 2048
INAPPROPRIATE_FALLBACK: Final = 86


async def check(visit: Visit) -> None:
    """Every version with every suite; what the server picks is taken out, until it picks nothing."""
    if not visit.has_tls:
        return
    await _ssl2(visit)
    accepted: dict[Version, list[Answer]] = {}
    for version in Version:
        if answers := await _picks(visit, version):
            accepted[version] = answers
    if not accepted:
        raise Undecided("no version of TLS is agreed on")
    visit.note("tls", {version.label: _suite_names(answers) for version, answers in accepted.items()})
    _versions(visit, accepted)
    _suites(visit, accepted)
    _groups(visit, accepted)
    await _extras(visit, accepted)


async def _ssl2(visit: Visit) -> None:
    answer = await visit.offer(ssl2_hello())
    if answer.suite is not None and answer.version == 2:
        visit.report(FLOOR, "SSL 2.0 is accepted", severity=Severity.CRITICAL)


async def _picks(visit: Visit, version: Version) -> list[Answer]:
    """The server's answer for each suite that it takes with this version."""
    answers: list[Answer] = []
    known = [number for number in SUITES if (number in TLS13) == (version == Version.TLSv1_3)]
    for start in range(0, len(known), CHUNK):
        left = known[start : start + CHUNK]
        while left:
            answer = await visit.shakes(Hello(version, left, visit.server_name))
            # An older version, or a suite that was not offered, is no agreement.
            if answer.version != version or answer.suite not in left:
                break
            left.remove(answer.suite)
            answers.append(answer)
    return answers


def _versions(visit: Visit, accepted: dict[Version, list[Answer]]) -> None:
    old = [version for version in accepted if version in OLD]
    if old:
        said = f"{' and '.join(version.label for version in old)} accepted"
        visit.report(FLOOR, said, _offers(accepted, old), max(OLD[version] for version in old))


def _suites(visit: Visit, accepted: dict[Version, list[Answer]]) -> None:
    for weakness, rule in CIPHERS.items():
        weak = {v: [a for a in answers if weakness in weaknesses(a.suite or 0)] for v, answers in accepted.items()}
        names = sorted({name_of(answer.suite or 0) for answers in weak.values() for answer in answers})
        if not names:
            continue
        severity = rule.severity
        if weakness is Weakness.ANONYMOUS and not visit.target.kind.for_users:
            severity = Severity.LOW  # clients that bring mail to a mail exchanger do not look at its certificate
        shown = names[0] if len(names) == 1 else f"{len(names)} suites, such as {names[0]}"
        visit.report(rule, f"{shown}: {weakness.value}", _offers(weak, [v for v in weak if weak[v]]), severity)


def _suite_names(answers: list[Answer]) -> list[str]:
    return [name_of(answer.suite or 0) for answer in answers]


def _offers(accepted: dict[Version, list[Answer]], versions: list[Version]) -> list[str]:
    return [f"* {version.label}: {' '.join(_suite_names(accepted[version]))}" for version in versions]


def _groups(visit: Visit, accepted: dict[Version, list[Answer]]) -> None:
    """The smallest group. OpenSSL takes a smaller one with anonymous suites, which protect from nobody anyway."""
    answers = [answer for answers in accepted.values() for answer in answers]
    sizes = sorted((answer.dh_bits, name_of(answer.suite or 0)) for answer in answers if answer.dh_bits)
    proved = [(bits, suite) for bits, suite in sizes if "_anon_" not in suite]
    visit.note("dh bits", sorted({bits for bits, _ in sizes}))
    for bits, suite in (*proved[:1], *sizes[:1]):
        if bits < SAFE_DH:
            severity = Severity.HIGH if bits <= SMALL_DH else Severity.MEDIUM
            severity = Severity.LOW if "_anon_" in suite else severity
            visit.report(DH, f"a prime of {bits} bits with {suite}", severity=severity)
            return


async def _extras(visit: Visit, accepted: dict[Version, list[Answer]]) -> None:
    classic = [version for version in accepted if version < Version.TLSv1_3]
    if not classic:
        return
    newest = classic[-1]
    suites = [answer.suite or 0 for answer in accepted[newest]]
    if not any(answer.secure_renegotiation for answer in accepted[newest]):
        visit.report(RENEGOTIATION, f"{newest.label} without the extension renegotiation_info")
    if await visit.renegotiates():
        visit.report(CLIENT, "a second handshake inside the first is carried out")
    answer = await visit.shakes(Hello(newest, suites, visit.server_name, compression=True))
    if answer.compressed:
        visit.report(COMPRESSION, f"DEFLATE is chosen with {newest.label}")
    older = [version for version in classic if version < max(accepted)]
    if older:
        suites = [*(answer.suite or 0 for answer in accepted[older[-1]]), FALLBACK_SCSV]
        answer = await visit.shakes(Hello(older[-1], suites, visit.server_name))
        if answer.suite is not None:
            visit.report(FALLBACK, f"TLS_FALLBACK_SCSV with {older[-1].label} is not refused")
