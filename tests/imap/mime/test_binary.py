"""Binary parts in base64: the other octets stay as they are."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from imap.mime import parse
from imap.mime.binary import without_binary

MIXED = (
    b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    b"--b\r\nContent-Type: text/plain\r\n\r\ntext\n\r\n"
    b"--b\r\nX: 1\r\nContent-Transfer-Encoding: BINARY \r\nContent-Type: image/png\r\n\r\n%b\r\n--b--\r\n"
)


def test_only_the_binary_part_changes() -> None:
    assert without_binary(MIXED % b"\0\n\r") == (MIXED % b"AAoN").replace(
        b"Content-Transfer-Encoding: BINARY \r\n", b"Content-Transfer-Encoding: base64\r\n"
    )
    assert without_binary(b"Subject: x\r\n\r\nbinary") == b"Subject: x\r\n\r\nbinary"


@given(st.binary(max_size=300).filter(lambda octets: b"--b" not in octets))
def test_what_was_binary_comes_back(octets: bytes) -> None:
    message = without_binary(MIXED % octets)
    part = parse(message).children[1]
    encoded = message[part.body : part.end]
    assert base64.b64decode(encoded) == octets
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


@given(st.binary(max_size=300))
def test_anything_else_is_no_worse_for_it(message: bytes) -> None:
    assert without_binary(without_binary(message)) == without_binary(message)
