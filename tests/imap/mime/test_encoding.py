"""Content-Transfer-Encoding, whole and broken; every expectation was seen from Dovecot 2.3.19."""

from __future__ import annotations

import base64
import quopri

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.mime import encoding, parse


@pytest.mark.parametrize(
    ("text", "octets", "whole"),
    [
        (b"aGVsbG8gd29ybGQ=\r\n", b"hello world", True),
        (b"aGVs bG8g\td29y\r\nbGQ=\r\n\r\n", b"hello world", True),
        (b"aGVsbG8gd29ybGR=\r\n", b"hello world", True),
        (b"", b"", True),
        (b"aGVsbG8gd29ybGQ\r\n", b"hello world", False),
        (b"aGVsbG8gd29ybGQ==", b"hello world", False),
        (b"aGVsbG8gd29ybGQ=\r\ntrailer", b"hello world", False),
        (b"aGVsbG8-gd29ybGQ=", b"hello", False),
        (b"aGVs*bG8gd29ybGQ=", b"hel", False),
        (b"aGVsbG8gd29yb", b"hello wor", False),
        (b"aGVsbG8=\r\naGVsbG8=", b"hello", False),
        (b"=", b"", False),
    ],
)
def test_base64_is_read_as_far_as_it_goes(text: bytes, octets: bytes, whole: bool) -> None:
    assert encoding.decode(text, b"base64") == (octets, whole)


@pytest.mark.parametrize(
    ("text", "octets", "whole"),
    [
        (b"hello=20world\r\n", b"hello world\r\n", True),
        (b"hello=\r\nworld", b"helloworld", True),
        (b"hello= \r\nworld", b"helloworld", True),
        (b"hello=c3=a4", b"hello\xc3\xa4", True),
        (b"hello world  \r\nx", b"hello world\r\nx", True),
        (b"hello=2world", b"hello=2world", False),
        (b"hello=XXworld", b"hello=XXworld", False),
        (b"h=\thello", b"h=\thello", False),
        (b"hello=", b"hello", False),
        (b"hello=2", b"hello", False),
    ],
)
def test_quoted_printable_keeps_what_is_no_quote(text: bytes, octets: bytes, whole: bool) -> None:
    assert encoding.decode(text, b"quoted-printable") == (octets, whole)


@given(st.binary())
def test_what_others_encode_is_decoded(octets: bytes) -> None:
    assert encoding.decode(base64.encodebytes(octets), b"base64") == (octets, True)
    assert encoding.decode(quopri.encodestring(octets), b"quoted-printable").whole


@given(st.binary(), st.sampled_from(sorted(encoding.KNOWN)))
def test_nothing_raises(octets: bytes, name: bytes) -> None:
    assert len(encoding.decode(octets, name).octets) <= len(octets)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        (b"", b"7bit"),
        (b"Content-Transfer-Encoding: BASE64 (c)\r\n", b"base64"),
        (b"Content-Transfer-Encoding: x\r\nContent-Transfer-Encoding: 8bit\r\n", b"8bit"),
        (b"Content-Transfer-Encoding: base64 junk\r\n", b""),
        (b"Content-Transfer-Encoding:\r\n", b""),
    ],
)
def test_the_last_field_counts_with_or_without_mime_version(fields: bytes, name: bytes) -> None:
    message = fields + b"\r\nbody\r\n"
    assert encoding.declared(parse(message), message) == name
