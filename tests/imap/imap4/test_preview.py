"""PREVIEW and BINARY of odd messages; every expectation was seen from Dovecot 2.3.19."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.imap4.binary import decoded, size
from imap.imap4.errors import No
from imap.imap4.preview import preview
from imap.mime import Section, parse


def shown(message: bytes) -> str:
    return preview(message, parse(message)).decode()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"> quoted\r\nreply\r\n", "reply"),
        (b"> a\r\n>> b\r\n> > c\r\n", ">a > b > c"),
        (b" > a\r\nb", "> a b"),
        (b"a\tb\x0bc\x00d", "a b cd"),
        (b"\xc2\xa0x", "\xa0x"),
        (b"a\xff\xfeb", "a\ufffdb"),
        (b"word " * 80, ("word " * 40).strip()),
        (b"> q\r\n" * 150, ">" + ("q " * 100).strip()),
        (b"", ""),
    ],
)
def test_preview_of_text(body: bytes, text: str) -> None:
    assert shown(b"Subject: x\r\n\r\n" + body) == text


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"<p>html <b>here</b></p>", "html here"),
        (b"<head><title>T</title></head><body>B<br>C<!-- c -->D", "T B CD"),
        (b"<style>x{}</style><SCRIPT>y</SCRIPT>z", "z"),
        (b"<blockquote>q<blockquote>r</blockquote>s</blockquote>t", "t"),
        (b"<blockquote>q1</blockquote><blockquote>q2</blockquote>", ">q1 q2"),
        (b"a<!-- x -- > y -->b", "a y -->b"),
        (b"a<x y='>'>b<x y=\">\">c", "a b c"),
        (b"a<![CDATA[x]]>b", "axb"),
        (b"&lt;&#65;&#x42;&#X43;&eacute;&nosuch;&#0;&#1114112;", "<AB\xe9"),
        (b"a & b &c; d &lt", "a b d lt"),
        (b"a<b", "a"),
    ],
)
def test_preview_of_html(body: bytes, text: str) -> None:
    assert shown(b"Content-Type: text/html\r\n\r\n" + body) == text


def test_preview_looks_into_no_other_message() -> None:
    inner = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ninner\r\n"
    assert shown(inner) == ""
    mixed = b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + inner
    assert shown(mixed + b"--b\r\n\r\nouter\r\n--b--\r\n") == "outer"


@pytest.mark.parametrize("field", [b"Content-Type: text", b"Content-Type: a/b", b"Content-Transfer-Encoding: x"])
def test_no_preview_of_what_is_no_text(field: bytes) -> None:
    assert shown(field + b"\r\n\r\ntext\r\n") == ""


@given(st.binary(), st.sampled_from([b"text/plain", b"text/html"]))
def test_preview_never_raises(body: bytes, kind: bytes) -> None:
    text = shown(b"Content-Type: " + kind + b"\r\n\r\n" + body)
    assert len(text) <= 200
    assert "\0" not in text


@pytest.mark.parametrize(
    "piece", [b"<", b"<!--", b"&", b"<a '", b'<a "', b"<script>", b"<![CDATA[", b"<blockquote>", b"--"]
)
def test_preview_takes_linear_time(piece: bytes) -> None:
    message = b"Content-Type: text/html\r\n\r\n" + piece * (1 << 16)
    started = time.process_time()
    shown(message)
    assert time.process_time() - started < 2


MIXED = (
    b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    b"--b\r\nContent-Transfer-Encoding: %b\r\nSubject: kept\r\n\r\naGk=\r\n"
    b"--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Transfer-Encoding: base64\r\n\r\nYQ==\r\n--b--\r\n"
)


def test_binary_of_the_whole_decodes_every_part() -> None:
    message = MIXED % b"base64"
    root = parse(message)
    assert decoded(message, root, Section.parse(b"")) == (
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nSubject: kept\r\nContent-Transfer-Encoding: binary\r\n\r\nhi\r\n"
        b"--b\r\nContent-Type: message/rfc822\r\n\r\nContent-Transfer-Encoding: binary\r\n\r\na\r\n--b--\r\n"
    )
    assert decoded(message, root, Section.parse(b"2")) == b"Content-Transfer-Encoding: binary\r\n\r\na"
    assert decoded(message, root, Section.parse(b"2.1")) == b"a"
    assert size(message, root, Section.parse(b"3")) == 0


def test_binary_size_asks_for_all_parts() -> None:
    message = MIXED % b"x"
    root = parse(message)
    assert decoded(message, root, Section.parse(b"2.1")) == b"a"
    with pytest.raises(No) as refused:
        size(message, root, Section.parse(b"2.1"))
    assert refused.value.code == "UNKNOWN-CTE"


def test_binary_of_broken_data_is_refused() -> None:
    message = b"Content-Transfer-Encoding: base64\r\n\r\n*\r\n"
    with pytest.raises(No) as refused:
        decoded(message, parse(message), Section.parse(b"1"))
    assert refused.value.code == "PARSE"
