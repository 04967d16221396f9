"""Hostile command streams, before and after log-in: answers carry tags that were sent, and nothing else escapes."""

from __future__ import annotations

import asyncio
import logging
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

MAIL = b"From: a@b\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ny\r\n--b--\r\n"

WORDS = [
    *b"""
    NOOP LOGIN alice testpass SELECT EXAMINE INBOX FETCH UID STORE COPY MOVE SEARCH SORT THREAD LIST LSUB STATUS APPEND
    CREATE DELETE RENAME SUBSCRIBE EXPUNGE CLOSE UNSELECT ENABLE QRESYNC CONDSTORE IDLE DONE ID NAMESPACE AUTHENTICATE
    PLAIN STARTTLS CAPABILITY CHECK GETQUOTAROOT CANCELUPDATE 1 1:* * $ 0 4294967296 -1 (FLAGS) ( ) BODY[] ] ENVELOPE
    BODY.PEEK[1.MIME]<0.5> BODY[HEADER.FIELDS BODYSTRUCTURE BINARY[1] PREVIEW +FLAGS (\\Seen) "" " "*" % ALL OR NOT TEXT
    RETURN (MIN SAVE) UTF-8 (REVERSE SUBJECT) REFERENCES MODSEQ (CHANGEDSINCE 1) {99999999} {99999999+} CATENATE
    &AC8-etc ../x a.b \\
    """.split(),
    b"(\\Deleted kw)",
    b"{3+}\r\nabc",
    b"{3}\r\nabc",
    b"~{2+}\r\n\0\0",
    b"\0",
    b"\xff",
]
LINE = st.lists(st.sampled_from(WORDS), max_size=8).map(b" ".join)
STREAM = st.lists(st.tuples(LINE, st.sampled_from([b"\r\n", b"\n", b"\r\n", b""])), max_size=12)

_ANSWER = re.compile(rb"(\+|\*|[^ \r\n]+) ?[^\r\n]*\Z")


def lines_of(answer: bytes) -> list[bytes]:
    """The lines of an answer with its literals taken out."""
    lines = []
    while answer:
        line, end, answer = answer.partition(b"\r\n")
        assert end, line
        while (size := re.search(rb"\{(\d+)\}\Z", line)) is not None and line.startswith(b"* "):
            literal = int(size[1])
            rest, _, answer = answer[literal:].partition(b"\r\n")
            line = line[: size.start()] + rest
        lines.append(line)
    return lines


@pytest.mark.parametrize("user", [None, "alice"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(stream=STREAM, cut=st.integers(1, 50))
def test_only_answers_to_what_was_sent(
    user: str | None, mail_in: Any, caplog: pytest.LogCaptureFixture, stream: list[tuple[bytes, bytes]], cut: int
) -> None:
    caplog.clear()
    data = b"".join(b"t%d " % number + line + end for number, (line, end) in enumerate(stream))

    async def use() -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            mail = mail_in(Path(directory))
            client = await mail.imap_client(user, [MAIL])
            answer = b""
            for start in range(0, len(data), cut):
                client.session.receive(data[start : start + cut])
                async with asyncio.timeout(20):
                    while client.session.busy and not client.session.waits_for_line:
                        await asyncio.sleep(0)
            answer = client.take()
            client.session.lost()
            mail.close()
            return answer

    answer = asyncio.run(use())
    tags = {b"t%d" % number for number in range(len(stream))} | {b"*", b"+"}
    sent = re.split(rb"[ \r\n]+", data)
    for line in lines_of(answer):
        assert _ANSWER.match(line), line
        word = line.split(b" ")[0]
        assert word in tags or word in sent, line
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text
