"""ENVELOPE, BODYSTRUCTURE and sections of whole and broken mail; every expectation was seen from Dovecot 2.3.19."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.mime import Section, SectionError, body, envelope, parse
from imap.mime.header import fields, header_end, named
from imap.mime.structure import MAX_FIELDS, MAX_PARTS

MIXED = (
    b'From: Alice <a@x.test>, grp: b@x.test, "C D" <c@x.test>;, bad\r\n'
    b"Subject: folded\r\n  subject\r\n"
    b"Subject: last one counts\r\n"
    b"MIME-Version: 1.0\r\n"
    b'Content-Type: multipart/mixed; boundary="b1"\r\n'
    b"\r\n"
    b"preamble\r\n"
    b"--b1\r\n"
    b"\r\n"
    b"plain\r\n"
    b"--b1\r\n"
    b"Content-Type: message/rfc822\r\n"
    b"\r\n"
    b"Subject: inner\r\n"
    b"\r\n"
    b"inner body\r\n"
    b"--b1\r\n"
    b"Content-Type: application/pdf; name*0*=utf-8''a; name*1=b\r\n"
    b'Content-Disposition: attachment; filename="x\\"y"\r\n'
    b"Content-Transfer-Encoding: BASE64\r\n"
    b"\r\n"
    b"AAAA\r\n"
    b"--b1--\r\n"
    b"epilogue\r\n"
)


def structure(message: bytes, *, extended: bool = True) -> bytes:
    return body(parse(message), message, extended=extended)


def section(message: bytes, text: bytes, *names: bytes) -> bytes | None:
    return Section.parse(text, names).resolve(parse(message), message)


def test_an_empty_sender_or_reply_to_is_the_author() -> None:
    """RFC 3501 section 7.4.2: NIL and an empty field are the same to the server."""
    message = b"From: a@x.test\r\nSender:\r\nReply-To: \r\n\r\n"
    assert envelope(parse(message), message).count(b'((NIL NIL "a" "x.test"))') == 3


@pytest.mark.parametrize(
    ("line", "closes"), [(b"--b1--", True), (b"--b1-- ", True), (b"--b1--x", True), (b"--b1x--", False)]
)
def test_two_dashes_behind_the_boundary_end_a_multipart(line: bytes, closes: bool) -> None:
    message = MIXED.replace(b"--b1--\r\n", line + b"\r\n")
    assert len(parse(message).children) == 4 - closes


def test_envelope() -> None:
    people = (
        b'(("Alice" NIL "a" "x.test")(NIL NIL "grp" NIL)(NIL NIL "b" "x.test")("C D" NIL "c" "x.test")'
        b'(NIL NIL NIL NIL)(NIL NIL "bad" "MISSING_DOMAIN"))'
    )
    expected = b'(NIL "last one counts" ' + b" ".join([people] * 3) + b" NIL NIL NIL NIL NIL)"
    assert envelope(parse(MIXED), MIXED) == expected


def test_bodystructure() -> None:
    assert structure(MIXED) == (
        b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 5 0 NIL NIL NIL NIL)'
        b'("message" "rfc822" NIL NIL NIL "7bit" 28 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL)'
        b' ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 10 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)'
        b'("application" "pdf" ("name*" "utf-8\'\'ab") NIL NIL "BASE64" 4 NIL ("attachment" ("filename" "x\\"y")) NIL NIL)'
        b' "mixed" ("boundary" "b1") NIL NIL NIL)'
    )
    assert structure(MIXED, extended=False).endswith(b'"BASE64" 4) "mixed")')


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        (b"1", b"plain"),
        (b"1.MIME", b"\r\n"),
        (b"2", b"Subject: inner\r\n\r\ninner body"),
        (b"2.HEADER", b"Subject: inner\r\n\r\n"),
        (b"2.TEXT", b"inner body"),
        (b"2.1", b"inner body"),
        (b"2.MIME", b"Content-Type: message/rfc822\r\n\r\n"),
        (b"3", b"AAAA"),
        (b"4", None),
        (b"1.HEADER", None),
        (b"0", None),
        (b"1.1", b"plain"),
        (b"1.1.1", None),
        (b"2.2", None),
    ],
)
def test_sections(text: bytes, octets: bytes | None) -> None:
    assert section(MIXED, text) == octets


def test_header_fields_in_the_order_of_the_message() -> None:
    picked = section(MIXED, b"HEADER.FIELDS", b"mime-version", b"SUBJECT")
    assert picked == b"Subject: folded\r\n  subject\r\nSubject: last one counts\r\nMIME-Version: 1.0\r\n\r\n"
    left = section(MIXED, b"HEADER.FIELDS.NOT", b"From", b"Subject", b"Content-Type")
    assert left == b"MIME-Version: 1.0\r\n\r\n"
    assert section(MIXED, b"2.HEADER.FIELDS", b"X-None") == b"\r\n"


@pytest.mark.parametrize(
    "text", [b"-1", b"1.", b"1..2", b"MIME", b"1.FOO", b"HEADER.FIELDS", b"TEXT.1", b"1 ", b"9" * 21]
)
def test_what_is_no_section(text: bytes) -> None:
    with pytest.raises(SectionError):
        Section.parse(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"text/plain", b'"text" "plain" ("charset" "us-ascii")'),
        (b"text/plain;", b'"text" "plain" ("charset" "us-ascii")'),
        (b'TEXT/PLAIN; CHARSET="UTF-8"', b'"TEXT" "PLAIN" ("CHARSET" "UTF-8")'),
        (b"text / plain (c) ; a = (x) b", b'"text" "plain" ("a" "b" "charset" "us-ascii")'),
        (b"text/plain; name==?utf-8?q?x_y?=", b'"text" "plain" ("name" "=?utf-8?q?x_y?=" "charset" "us-ascii")'),
        (b"text/plain; a*0=x; a*2=y", b'"text" "plain" ("a*0" "x" "a*2" "y" "charset" "us-ascii")'),
        (b"text/plain; a*1=y; a*0=x", b'"text" "plain" ("a" "xy" "charset" "us-ascii")'),
        (b"text/plain; a=b\\c; d=e", b'"text" "plain" ("a" "b" "d" "e" "charset" "us-ascii")'),
        (b"text", b'"text" "" ("charset" "us-ascii")'),
        (b"multipart", b'"application" "octet-stream" NIL'),
        (b"text/plain, x", b'"" "" NIL'),
        (b"/plain", b'"" "" NIL'),
        (b"", b'"" "" NIL'),
    ],
)
def test_content_types(value: bytes, expected: bytes) -> None:
    message = b"Content-Type: " + value + b"\r\n\r\nx\r\n"
    assert structure(message, extended=False).startswith(b"(" + expected + b" NIL NIL")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"a@b", b'(NIL NIL "a" "b")'),
        (b"a@b (Real Name)", b'("Real Name" NIL "a" "b")'),
        (b'"Q N" <q@r>', b'("Q N" NIL "q" "r")'),
        (b"<@r1,@r2:z@w>", b'(NIL "@r1,@r2" "z" "w")'),
        (b"undisclosed-recipients:;", b'(NIL NIL "undisclosed-recipients" NIL)(NIL NIL NIL NIL)'),
        (b"x", b'(NIL NIL "x" "MISSING_DOMAIN")'),
        (b"a b c@d", b'("a b c" NIL "MISSING_MAILBOX" "MISSING_DOMAIN")'),
        (b"N <a@b", b'("N" NIL "a" "SYNTAX_ERROR")'),
        (b"<>", b'(NIL NIL "MISSING_MAILBOX" "MISSING_DOMAIN")'),
        (b"a@[1.2.3.4]", b'(NIL NIL "a" "[1.2.3.4]")'),
        (b"a..b@c", b'(NIL NIL "a..b" "c")'),
        (b"a@b(", b'(NIL NIL "a" "MISSING_DOMAIN")'),
    ],
)
def test_addresses(value: bytes, expected: bytes) -> None:
    message = b"To: " + value + b"\r\n\r\n"
    assert envelope(parse(message), message) == b"(NIL NIL NIL NIL NIL (" + expected + b") NIL NIL NIL NIL)"


def test_a_multipart_without_parts_shows_an_empty_one() -> None:
    message = b"Content-Type: multipart/mixed\r\n\r\n--x\r\n\r\none\r\n--x--\r\n"
    assert structure(message, extended=False) == b'(("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 0 0) "mixed")'
    assert section(message, b"1") is None


def test_nul_never_reaches_the_wire() -> None:
    message = b"Subject: a\0b\r\n\r\nx\0y\r\n"
    assert section(message, b"") == b"Subject: a\x80b\r\n\r\nx\x80y\r\n"
    assert b"\0" not in envelope(parse(message), message)


PIECES = [
    b"Content-Type: multipart/mixed; boundary=b\r\n", b"Content-Type: message/rfc822\r\n", b"Content-Type: text/plain; ",
    b"boundary=\"\"", b"From: ", b"a@b", b"<", b">", b"(", b")", b'"', b"\\", b",", b":", b";", b"=", b"*0*=", b"\r\n", b"\n",
    b"\r\n\r\n", b"--b\r\n", b"--b--\r\n", b" ", b"\0", b"\xff", b"x", b"--", b"/", b"[", b"@",
]  # fmt: skip


@given(st.one_of(st.binary(max_size=400), st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)))
def test_no_mail_makes_anything_raise(message: bytes) -> None:
    root = parse(message)
    envelope(root, message)
    body(root, message, extended=True)
    body(root, message, extended=False)
    for part in root.walk():
        assert 0 <= part.start <= part.body <= part.end <= len(message)
    for text in (b"", b"HEADER", b"TEXT", b"1", b"1.MIME", b"2.HEADER", b"1.2.TEXT"):
        section(message, text)


@given(st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join))
def test_header_and_text_make_up_the_message(message: bytes) -> None:
    whole = message.replace(b"\0", b"\x80")
    assert (section(message, b"HEADER") or b"") + (section(message, b"TEXT") or b"") == whole


HOSTILE = {
    "boundaries": lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * n,
    "almost boundaries": lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--x\r\n" * n,
    "nested": lambda n: b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" * n,
    "nested messages": lambda n: b"Content-Type: message/rfc822\r\n\r\n" * n,
    "comments": lambda n: b"From: " + b"(" * n + b")" * n + b"\r\n\r\n",
    "open comments": lambda n: b"From: " + b"a (" * n + b"\r\n\r\n",
    "addresses": lambda n: b"From: " + b"a@b, " * n + b"\r\n\r\n",
    "broken addresses": lambda n: b"From: " + b"a <b" * n + b"\r\n\r\n",
    "words": lambda n: b"From: " + b"a " * n + b"\r\n\r\n",
    "dots": lambda n: b"From: " + b"." * n + b"\r\n\r\n",
    "quotes": lambda n: b"From: " + b'"' * n + b"\r\n\r\n",
    "parameters": lambda n: b"Content-Type: text/plain" + b"; a=b" * n + b"\r\n\r\n",
    "folds": lambda n: b"Subject: x" + b"\r\n y" * n + b"\r\n\r\n",
    "fields": lambda n: b"A: b\r\n" * n,
    "white": lambda n: b"Subject: " + b" " * n + b"\r\n\r\n",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_mail_is_read_in_linear_time(kind: str) -> None:
    def seconds(count: int) -> float:
        message = HOSTILE[kind](count)
        started = time.process_time()  # of this process alone: what else the machine does changes nothing
        root = parse(message)
        envelope(root, message)
        body(root, message, extended=True)
        return time.process_time() - started

    small = min(seconds(2000) for _ in range(3))
    assert seconds(32000) < 64 * small + 0.5  # 16 times the size; quadratic would be 256 times the time


NAMES = [b"to", b"from", b"content-type", b"x"]


@given(
    st.lists(st.sampled_from([*PIECES, b"To", b"X:", b"content-type", b"\r", b"\n ", b"\t:"]), max_size=40).map(
        b"".join
    )
)
def test_named_fields_are_those_among_all_fields(message: bytes) -> None:
    end = header_end(message, 0)
    assert list(named(message, NAMES, 0, end)) == [
        found for found in fields(message, 0, end) if found.name.lower() in NAMES
    ]


def seconds_of(action: Callable[[], object]) -> float:
    started = time.process_time()
    action()
    return time.process_time() - started


def test_lines_that_are_no_known_field_go_by_at_c_speed() -> None:
    message = b"Content-Type: message/rfc822\r\n\r\n" * 98 + b"x\r\n" * 1_000_000
    taken = min(seconds_of(lambda: list(fields(message, 98 * 32))) for _ in range(2))
    assert min(seconds_of(lambda: parse(message)) for _ in range(2)) < taken / 4


def test_parts_whose_headers_never_end_are_read_once() -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\nx\r\n" * 50_000
    assert len(parse(message).children) == MAX_PARTS - 1
    assert seconds_of(lambda: parse(message)) < 2  # each header read to the end of the mail: minutes


def test_one_envelope_reads_so_many_octets_of_addresses() -> None:
    message = (b"To: " + b"a@b, " * 150_000 + b"\r\n") * 3 + b"Cc: c@d\r\n\r\n"
    text = envelope(parse(message), message)
    assert 200_000 < text.count(b'"a"') <= 210_000
    assert b'"c" "d"' not in text
    assert len(parse(b"To: a\r\n" * (MAX_FIELDS + 5)).envelope[b"to"]) == MAX_FIELDS
