"""What the checks make of a server's answers: no hole overlooked, and none seen where there is none."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.audit.checks import RULES
from lab.audit.checks.greeting import version_in
from lab.audit.finding import Severity
from lab.audit.report import Audited
from lab.audit.settings import Allow
from tests.lab.audit.conftest import Session, look, smtp
from tls.authority import make_snakeoil
from tls.context import server_context
from tls.errors import TLSHandshakeError
from tls.policy import Policy
from tls.starttls_asyncio import upgrade_server

STRANGER = "127.0.0.8"


def found(target: Audited) -> dict[str, Severity]:
    assert target.unreachable == ""
    return {finding.rule.id: finding.severity for finding in target.findings}


def exchanger(accepts: str, **answers: str) -> Session:
    """A mail exchanger that takes recipients whose `<address>` matches the pattern."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example.org ESMTP\r\n")
        while line := (await reader.readline()).decode("latin-1").strip():
            verb, _, rest = line.partition(" ")
            answer = answers.get(verb.upper(), "250 2.0.0 Ok" if verb in ("MAIL", "RSET", "NOOP") else "502 no")
            if verb in ("EHLO", "HELO"):
                answer = answers.get("EHLO", "250-mx.example.org\r\n250 SIZE 1000")
            elif verb == "RCPT":
                address = rest.partition("<")[2].rpartition(">")[0]
                answer = "250 2.1.5 Ok" if re.fullmatch(accepts, address) else "550 5.1.1 no"
            writer.write(answer.encode() + b"\r\n")
            await writer.drain()

    return session


POSTMASTER = r"postmaster@(mx\.)?example\.org"


@pytest.mark.parametrize(
    ("accepts", "expected"),
    [
        (POSTMASTER, {"rcpt-enumeration"}),
        (r".*", {"no-open-relay", "recipient-verify"}),
        (r".*@(mx\.)?example\.org", {"recipient-verify"}),  # a catch-all: %, ! and quotes may be its users' names
        (rf"{POSTMASTER}|.*%example\.net@.*", {"no-open-relay", "rcpt-enumeration"}),
        (rf"{POSTMASTER}|@.*:.*", {"no-open-relay", "rcpt-enumeration"}),
        (r"nobody-at-all", set()),
    ],
)
async def test_relaying_is_told_from_taking_ones_own_mail(accepts: str, expected: set[str]) -> None:
    target = await look("smtp", exchanger(accepts), only=frozenset({"recipients"}), source=STRANGER)
    assert set(found(target)) == expected
    assert target.undecided == ()


async def test_relaying_for_this_machine_is_no_fault() -> None:
    target = await look("smtp", exchanger(r".*example\.(net|org)"), only=frozenset({"recipients"}))
    assert found(target)["trusted-networks"] is Severity.INFO
    assert "no-open-relay" not in found(target)


async def test_a_submission_server_takes_no_mail_of_strangers() -> None:
    target = await look("submission", exchanger(POSTMASTER), only=frozenset({"recipients"}), source=STRANGER)
    assert found(target)["submission-unauthenticated"] is Severity.MEDIUM


@pytest.mark.parametrize(
    ("known", "unknown", "expn", "asked"),
    [
        ("250 known", "550 5.1.1 no", "502 no", True),
        ("252 maybe", "550 5.1.1 no", "502 no", True),
        ("252 maybe", "252 maybe", "502 no", False),
        ("250 yes", "252 maybe", "502 no", True),
        ("250 yes", "250 yes", "502 no", False),  # to whatever is asked
        ("502 disabled", "502 disabled", "502 no", False),
        ("500 what", "500 what", "250 a list", True),
        ("550 no", "550 no", "550 no", False),
    ],
)
async def test_vrfy_and_expn(known: str, unknown: str, expn: str, asked: bool) -> None:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example.org\r\n")
        while line := (await reader.readline()).decode("latin-1"):
            stranger = "hardmail-audit" in line
            answers = {"EHLO": "250 mx.example.org", "VRFY": unknown if stranger else known}
            answer = answers.get(line[:4], expn if line[:4] == "EXPN" and not stranger else "550 no")
            writer.write(answer.encode() + b"\r\n")

    target = await look("smtp", session, only=frozenset({"recipients"}), source=STRANGER)
    assert ("no-user-enumeration" in found(target)) is asked


@pytest.mark.parametrize(
    ("recipient", "severity"),
    [("", Severity.INFO), ("alice@example.org", Severity.LOW), ("refused@example.org", Severity.INFO)],
)
async def test_the_postmasters_privileges_are_no_faults(recipient: str, severity: Severity) -> None:
    target = await look(
        "smtp", exchanger(rf"{POSTMASTER}|alice@.*"), only=frozenset({"recipients", "dialogue"}), source=STRANGER,
        recipient=recipient,
    )  # fmt: skip
    manners = {name: kind for name, kind in found(target).items() if name != "rcpt-enumeration"}
    assert manners == dict.fromkeys(("helo-checks", "sender-checks", "early-talkers"), severity)


async def test_pipelining_that_exim_announces_is_no_fault() -> None:
    announced = exchanger(POSTMASTER, EHLO="250-mx.example.org\r\n250-SIZE 1\r\n250 PIPECONNECT")
    checks = frozenset({"recipients", "dialogue"})
    assert "early-talkers" not in found(await look("smtp", announced, only=checks, source=STRANGER))


async def test_xclient_for_strangers_is_found() -> None:
    target = await look(
        "smtp", exchanger("", EHLO="250-mx.example.org\r\n250 XCLIENT ADDR NAME"), only=frozenset({"mail"})
    )
    assert found(target)["xclient"] is Severity.HIGH


@pytest.mark.parametrize(
    ("plain", "anonymous", "expected"),
    [
        ("334 ", "535 no", {"auth-only-over-tls"}),
        ("538 TLS first", "538 TLS first", set()),
        ("503 not now", "235 hello", {"no-anonymous"}),
    ],
)
async def test_auth_in_the_clear_is_tried_where_it_is_not_announced(
    plain: str, anonymous: str, expected: set[str]
) -> None:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx.example.org\r\n")
        while line := (await reader.readline()).decode("latin-1"):
            answer = anonymous if "ANONYMOUS" in line else plain if "PLAIN" in line else "250 mx.example.org"
            writer.write(answer.encode() + b"\r\n")

    assert set(found(await look("smtp", session, only=frozenset({"authentication"})))) == expected


def imap(capabilities: str, login: str = "NO [AUTHENTICATIONFAILED] no", greeting: str = "* OK ready") -> Session:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting.encode() + b"\r\n")
        while line := (await reader.readline()).decode("latin-1").split():
            tag, verb = line[0], line[1].upper() if len(line) > 1 else ""
            if verb == "CAPABILITY":
                writer.write(f"* CAPABILITY IMAP4rev1 {capabilities}\r\n{tag} OK done\r\n".encode())
            else:
                writer.write(f"{tag} {login if verb == 'LOGIN' else 'BAD what'}\r\n".encode())
            await writer.drain()

    return session


@pytest.mark.parametrize(
    ("capabilities", "login", "expected"),
    [
        ("LOGINDISABLED", "NO [PRIVACYREQUIRED] no", set()),
        ("", "NO [PRIVACYREQUIRED] no", set()),
        ("", "NO [AUTHENTICATIONFAILED] no", {"no-plaintext-login"}),
        ("AUTH=PLAIN LOGINDISABLED", "NO no", {"no-plaintext-login"}),
        ("LOGINDISABLED AUTH=CRAM-MD5", "NO no", {"weak-mechanism"}),
    ],
)
async def test_imap_log_ins_in_the_clear(capabilities: str, login: str, expected: set[str]) -> None:
    target = await look("imap", imap(capabilities, login), only=frozenset({"authentication"}))
    assert set(found(target)) == expected


async def test_preauth_is_found() -> None:
    target = await look("imap", imap("", greeting="* PREAUTH welcome"), only=frozenset({"mail"}))
    assert found(target)["preauth"] is Severity.CRITICAL


def imap_with_tls(directory: Path, heard: bytearray, refusal: Callable[[bytes], bytes]) -> Session:
    """An IMAP server with a certificate of its own making that lets nobody in; `refusal` answers to a LOGIN line."""
    snakeoil = make_snakeoil(directory, ["localhost"])
    context = server_context(snakeoil.certificate_file, snakeoil.key_file, Policy())

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK ready\r\n")
        while line := await reader.readline():
            heard.extend(line)
            tag, _, command = line.strip().partition(b" ")
            if command == b"CAPABILITY":
                writer.write(b"* CAPABILITY IMAP4rev1 STARTTLS AUTH=SCRAM-SHA-256\r\n" + tag + b" OK done\r\n")
            elif command == b"STARTTLS":
                try:
                    await upgrade_server(reader, writer, context, go_ahead=tag + b" OK go\r\n", timeout=5)
                except TLSHandshakeError:
                    return
            else:
                writer.write(tag + b" NO " + refusal(command) + b"\r\n")
            await writer.drain()

    return session


@pytest.mark.parametrize("only", ["mailbox", "guessing"])
async def test_the_password_goes_to_nobody_who_does_not_prove_its_name(tmp_path: Path, only: str) -> None:
    heard = bytearray()
    target = await look(
        "imap", imap_with_tls(tmp_path, heard, lambda _: b"no"), only=frozenset({"certificate", only}),
        user="alice", password="the secret", allowed=frozenset({Allow.GUESSING}),
    )  # fmt: skip
    assert found(target)
    assert b"the secret" not in heard
    if only == "mailbox":
        assert "does not prove its name" in dict(target.undecided)["mailbox"]
        assert b"LOGIN" not in heard


async def test_with_consent_it_does(tmp_path: Path) -> None:
    heard = bytearray()
    target = await look(
        "imap", imap_with_tls(tmp_path, heard, lambda _: b"no"), only=frozenset({"certificate", "mailbox"}),
        user="alice", password="the secret", insecure=True,
    )  # fmt: skip
    assert b"the secret" in heard
    assert "alice cannot log in" in dict(target.undecided)["mailbox"]


@pytest.mark.parametrize("telling", [True, False])
async def test_log_ins_that_tell_whether_the_user_exists(tmp_path: Path, telling: bool) -> None:
    def refusal(command: bytes) -> bytes:
        return b"wrong password" if telling and b'"alice"' in command else b"no"

    target = await look(
        "imap", imap_with_tls(tmp_path, bytearray(), refusal), only=frozenset({"guessing"}), user="alice",
        allowed=frozenset({Allow.GUESSING}),
    )  # fmt: skip
    assert set(found(target)) == {"failed-logins"} | ({"login-enumeration"} if telling else set())


@pytest.mark.parametrize(("mail", "optional"), [("250 ok", True), ("530 5.7.0 Must issue a STARTTLS first", False)])
async def test_tls_that_can_be_stripped_is_found(mail: str, optional: bool) -> None:
    async def tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    checks = frozenset({"starttls"})
    assert ("starttls-optional" in found(await look("submission", smtp(tls=tls, MAIL=mail), only=checks))) is optional
    assert "starttls-optional" not in found(await look("smtp", smtp(tls=tls, MAIL=mail), only=checks))
    assert found(await look("submission", smtp(MAIL=mail), only=checks)) == {"starttls-missing": Severity.HIGH}


def test_every_rule_is_shown_by_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [rule.id for rule in RULES if f'"{rule.id}"' not in tests] == []


async def test_a_busy_server_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.audit.visit.BUSY_SECONDS", (0.01, 0.01))
    ready, greetings = smtp(), iter([b"421 4.7.0 too many connections\r\n", b"", None])

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeting = next(greetings, None)
        if greeting is None:
            await ready(reader, writer)
        else:
            writer.write(greeting)
            await writer.drain()

    target = await look("smtp", session, only=frozenset({"starttls"}))
    assert target.unreachable == ""
    assert dict(target.facts)["hostname"] == "mx.example.org"


@pytest.mark.parametrize(
    ("greeting", "version"),
    [
        ("mx.example.org ESMTP Exim 4.96 Tue, 01 Dec 2026 04:00:57 +0000", "4.96"),
        ("mx.example.org ESMTP Sendmail 8.17.1.9/8.17.1.9/Debian-2; Tue, 1 Dec 2026", "8.17.1.9/8.17.1.9/Debian-2"),
        ("mx.example.org ESMTP Postfix (3.7.11)", "3.7.11"),
        ("mx.example.org ESMTP Postfix (Debian/GNU)", ""),
        ("[10.0.0.1] ESMTP", ""),
        ("mx1.2und2.example ESMTP ready", ""),
        ("other-1.2.example.org ESMTP", ""),
        ("OK Dovecot (Debian) ready.", ""),
        ("+OK POP3 server v2.1.0 ready <1896.697170952@mx.example.org>", "v2.1.0"),
        ("OK IMAP4rev1 ready 04:00", ""),
    ],
)
def test_versions_are_told_from_names_and_addresses(greeting: str, version: str) -> None:
    assert version_in(greeting, "mx.example.org") == version
