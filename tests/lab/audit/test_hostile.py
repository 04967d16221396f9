"""Servers that want to harm the auditor: they cost bounded time and memory, and nothing of theirs reaches a terminal."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from lab.audit import audit as module
from lab.audit.page import as_html
from lab.audit.report import Audited, Report, as_json
from lab.audit.sarif import as_sarif
from lab.audit.text import show
from tests.lab.audit.conftest import Session, look, smtp

ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202e<script>alert(1)</script>"


def flood(first: bytes, then: bytes) -> Session:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while then:
            writer.write(then)
            await writer.drain()
        await reader.read()

    return session


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("scheme", "session", "told"),
    [
        ("smtp", silent, "no answer"),
        ("imaps", silent, "no connection"),
        ("smtp", flood(b"", b"x" * 65536), "a line without end"),
        ("smtp", flood(b"", b"220-" + b"x" * 60000 + b"\r\n"), "the server does not stop talking"),
        ("smtp", flood(b"", b"220-x\r\n"), "a reply without end"),
        ("smtp", flood(b"SSH-2.0-x\r\n", b""), "not an SMTP reply"),
        ("imap", flood(b"* OK x\r\n", b"* OK {999999999}\r\n"), "the server does not stop talking"),
        ("imap", flood(b"* OK x\r\n", b"* OK x\r\n"), "a command without end"),
        ("pop3", flood(b"+OK x\r\n", b"+OK " + b"x" * 1000 + b"\r\n"), "the server does not stop talking"),
        ("pop3", flood(b"-ERR go away\r\n", b""), "does not want to talk"),
    ],
)
async def test_a_server_that_will_not_let_go_is_left(scheme: str, session: Session, told: str) -> None:
    async with asyncio.timeout(20):
        target = await look(scheme, session)
    assert told in target.unreachable


def trickle(text: bytes) -> Session:
    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(text)
            await writer.drain()
            await asyncio.sleep(0.05)

    return session


async def test_a_server_that_always_answers_just_in_time_is_left_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHECK_SECONDS", 1.0)
    target = await look("smtp", trickle(b"220-x\r\n"))
    assert target.unreachable
    target = await look("smtp", smtp(tls=trickle(b"\x16\3\1\0\x05")), timeout=0.3)
    assert "protocols" in dict(target.undecided)


OCTETS = b"\xff\xfe\xc3 \x80"


def everything(greeting: bytes, answer: bytes) -> Session:
    """A server that gives one answer to all commands; TAG in it is what the command began with."""

    async def session(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(greeting)
        while line := await reader.readline():
            writer.write(answer.replace(b"TAG", line.split(None, 1)[0]))
            await writer.drain()

    return session


@pytest.mark.parametrize(
    ("scheme", "greeting", "answer"),
    [
        ("smtp", b"220 mx.example.org %b\r\n", b"250-mx.example.org\r\n250-AUTH %b\r\n250 XCLIENT %b\r\n"),
        ("smtp", b"220\r\n", b"250\r\n"),
        ("imap", b"* OK %b\r\n", b"* CAPABILITY AUTH=%b AUTH=ANONYMOUS\r\nTAG OK [%b] %b\r\n"),
        ("pop3", b"+OK %b <1@x>\r\n", b"+OK\r\nSASL %b\r\n.\r\n"),
    ],
)
async def test_octets_that_are_no_text_end_nothing(scheme: str, greeting: bytes, answer: bytes) -> None:
    target = await look(scheme, everything(greeting.replace(b"%b", OCTETS), answer.replace(b"%b", OCTETS)))
    assert not target.unreachable
    assert target.findings


async def test_a_server_that_hangs_up_on_the_handshake_is_said_to() -> None:
    async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)

    assert "Error" not in (target := await look("imaps", closes)).unreachable
    assert "closed by the server" in target.unreachable


async def test_no_byte_of_the_server_reaches_the_terminal_or_the_page() -> None:
    target = await look("smtp", smtp(greeting=f"220 mx.example.org {ESCAPES} 1.2.3", VRFY=f"250 {ESCAPES}"))
    report = Report((target,), 1.0)
    assert "banner-version" in {finding.rule.id for finding in target.findings}
    for output in (text(report), as_json(report), as_sarif(report), as_html(report)):
        assert "owned" in output
        assert not set(output) & set("\x1b\x07\x9b\u202e")
    assert "<script" not in as_html(report)


def text(report: Report) -> str:
    output = io.StringIO()
    show(Console(file=output, highlight=False, markup=False, force_terminal=False), report, verbose=True)
    return output.getvalue()


@pytest.mark.parametrize("answer", [b"", b"\x15\3\1\0\2\2\x28", b"not tls\r\n", b"\x16\3\1\0\4\2\0\0\0", b"\x16\3\3"])
async def test_a_handshake_that_goes_wrong_is_no_finding(answer: bytes) -> None:
    async def tls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        await writer.drain()

    target: Audited = await look("smtp", smtp(tls=tls))
    assert not {f.rule.id for f in target.findings} & {"protocol-floor", "no-starttls-injection", "cipher-null"}
    assert "protocols" in dict(target.undecided)
