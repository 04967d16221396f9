"""header_checks and its siblings: which parts they see, and what their actions do."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.message import mime
from mta.message.checks import Checks, Findings, Lookup, check_body, check_fields
from mta.message.headers import split
from mta.message.submission import Rejected
from mta.tables import TableError


def table(*rules: tuple[str, str]) -> Lookup:
    async def lookup(key: str) -> str | None:
        for pattern, action in rules:
            if re.search(pattern, key, re.IGNORECASE):
                if action == "!":
                    raise TableError("away")
                return action
        return None

    return lookup


async def run(checks: Checks, content: bytes) -> tuple[bytes, Findings]:
    findings = Findings()
    fields, rest = split(content)
    kept = await check_fields(checks, fields, findings, "QID client")
    rest = await check_body(checks, fields, rest, findings, "QID client") if checks.look_inside else rest
    return b"".join(each.octets for each in kept) + rest, findings


@pytest.mark.parametrize(
    ("action", "result"),
    [
        ("DUNNO", b"X-A: 1\r\n\r\n"),
        ("WARN look", b"X-A: 1\r\n\r\n"),
        ("IGNORE", b"\r\n"),
        ("STRIP", b"\r\n"),
        ("REPLACE X-B: 2", b"X-B: 2\r\n\r\n"),
        ("REPLACE no header", b"X-A: 1\r\n\r\n"),
        ("PREPEND X-B: 2", b"X-B: 2\r\nX-A: 1\r\n\r\n"),
        ("nonsense", b"X-A: 1\r\n\r\n"),
    ],
)
async def test_actions_on_a_field(action: str, result: bytes) -> None:
    output, findings = await run(Checks(header=table(("^X-A:", action))), b"X-A: 1\r\n\r\n")
    assert output == result
    assert findings == Findings()


@pytest.mark.parametrize(
    ("action", "reply"),
    [
        ("REJECT", "550 5.7.1 message content rejected"),
        ("REJECT no thanks", "550 5.7.1 no thanks"),
        ("REJECT 5.6.1 no thanks", "550 5.6.1 no thanks"),
        ("REJECT 4.7.1 later", "451 4.7.1 later"),
    ],
)
async def test_rejection(action: str, reply: str) -> None:
    _, findings = await run(Checks(header=table(("X", action))), b"X-A: 1\r\n\r\n")
    assert str(findings.rejected) == reply


async def test_actions_on_the_message() -> None:
    rules = table(("^A", "HOLD"), ("^B", "DISCARD"), ("^C", "FILTER f:x"), ("^D", "REDIRECT a@b"), ("^E", "BCC c@d"))
    _, findings = await run(Checks(header=rules), b"A: \r\nB: \r\nC: \r\nD: \r\nE: \r\n\r\n")
    assert findings == Findings(True, True, "f:x", "a@b", ["c@d"])


async def test_a_folded_field_is_one_key() -> None:
    _, findings = await run(Checks(header=table(("one\n two", "REJECT"))), b"X: one\r\n two\r\n\r\n")
    assert findings.rejected is not None


async def test_a_table_that_is_away_defers() -> None:
    with pytest.raises(Rejected) as caught:
        await run(Checks(header=table(("X", "!"))), b"X: 1\r\n\r\n")
    assert caught.value.code == 451


MULTIPART = (
    b'Subject: outer\r\nContent-Type: multipart/mixed; boundary="b1"\r\n\r\n'
    b"preamble\r\n"
    b"--b1\r\nContent-Type: text/plain; name=evil.exe\r\n\r\ntext line\r\n"
    b"--b1\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: text/plain\r\n\r\ninner text\r\n"
    b"--b1--\r\nepilogue\r\n"
)


@pytest.mark.parametrize(
    ("pattern", "kind"),
    [
        ("^Subject: outer", "header"),
        ("^Content-Type: multipart", "mime_header"),
        ("evil.exe", "mime_header"),
        ("^Subject: inner", "nested_header"),
        ("^text line$", "body"),
        ("^inner text$", "body"),
        ("^preamble$", "body"),
        ("^--b1$", "body"),
    ],
)
async def test_every_part_is_seen_by_its_own_checks_only(pattern: str, kind: str) -> None:
    nothing = table()
    for name in ("header", "mime_header", "nested_header", "body"):
        tables = dict.fromkeys(("header", "mime_header", "nested_header", "body"), nothing)
        tables[name] = table((pattern, "REJECT"))
        output, findings = await run(Checks(**tables), MULTIPART)  # type: ignore[arg-type]
        assert output == MULTIPART
        assert (findings.rejected is not None) == (name == kind), name


async def test_body_checks_change_lines_up_to_their_limit() -> None:
    rules = table(("^drop$", "IGNORE"), ("^swap$", "REPLACE swapped"))
    output, _ = await run(Checks(body=rules), b"\r\ndrop\r\nswap\r\nkeep\r\n")
    assert output == b"\r\nswapped\r\nkeep\r\n"
    output, _ = await run(Checks(body=rules, body_limit=6), b"\r\nlonger\r\ndrop\r\n")
    assert output == b"\r\nlonger\r\ndrop\r\n"


pieces = st.sampled_from(
    [b"--b1\r\n", b"--b1--\r\n", b"\r\n", b"text\r\n", b"Content-Type: message/rfc822\r\n", b"--b2\r\n",
     b"Content-Type: multipart/mixed; boundary=b2\r\n", b"Subject: x\r\n", b" fold\r\n", b"--\r\n"]
)  # fmt: skip


@given(st.lists(pieces, max_size=30))
def test_taking_apart_changes_nothing(lines: list[bytes]) -> None:
    fields, _ = split(b"Content-Type: multipart/mixed; boundary=b1\r\n")
    rest = b"\r\n" + b"".join(lines)
    assert b"".join(piece.octets for piece in mime.walk(fields, rest)) == rest
