"""sendmail -t takes its recipients from the header, whatever stands there."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.sendmail.extract import ExtractError, arguments, recipients, sender


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("To: a@x\r\nCc: b@y\r\nBcc: c@z\r\n", ["a@x", "b@y", "c@z"]),
        ('To: "Doe, Jane" <jane@x>, (comment) bob@y\r\n', ["jane@x", "bob@y"]),
        ("To: a@x,\r\n\tb@y,\r\n c@z\r\n", ["a@x", "b@y", "c@z"]),
        ("TO: a@x\r\ncC: root\r\n", ["a@x", "root"]),
        ("To: friends: a@x, b@y;\r\n", ["a@x", "b@y"]),
        ("To: undisclosed-recipients:;\r\n", []),
        ("To: a@x\r\nResent-To: b@y\r\nResent-Cc: c@z\r\n", ["b@y", "c@z"]),
        ("To: a@x\r\nResent-From: b@y\r\n", []),
        ("Subject: To: evil@x\r\n", []),
        ('To: "two words"@x\r\n', ["two words@x"]),
    ],
)
def test_header(header: str, found: list[str]) -> None:
    assert recipients(f"{header}\r\nTo: body@x\r\n".encode()) == found


def test_the_body_is_never_looked_at() -> None:
    assert recipients(b"Subject: x\r\n\r\nTo: a@x\r\n") == []


def test_arguments_may_be_lists_and_names() -> None:
    assert arguments(["a@x,b@y", "Bob <c@z>", "root"]) == ["a@x", "b@y", "c@z", "root"]


@pytest.mark.parametrize(("text", "address"), [("a@x", "a@x"), ("<>", ""), ("", ""), ("Me <a@x>", "a@x")])
def test_sender(text: str, address: str) -> None:
    assert sender(text) == address


def test_there_is_a_limit() -> None:
    with pytest.raises(ExtractError):
        recipients(b"To: " + b"a@x, " * 300_000 + b"\r\n\r\n")


@given(st.binary(max_size=300))
def test_only_the_typed_error_escapes(content: bytes) -> None:
    with contextlib.suppress(ExtractError):
        for address in recipients(content):
            assert isinstance(address, str)


LOCAL = st.from_regex(r"[a-z][a-z0-9.+_-]{0,10}[a-z0-9]", fullmatch=True).filter(lambda text: ".." not in text)


@given(st.lists(st.tuples(LOCAL, st.sampled_from(["x.example", "y.example"])), min_size=1, max_size=5), st.data())
def test_what_is_written_is_found(pairs: list[tuple[str, str]], data: st.DataObject) -> None:
    addresses = [f"{local}@{domain}" for local, domain in pairs]
    forms = ["{}", "<{}>", "Name <{}>", '"Q, N" <{}>', "{} (comment)"]
    separators = [", ", ",\r\n\t", ",\r\n "]
    text = "".join(
        data.draw(st.sampled_from(forms)).format(address) + (data.draw(st.sampled_from(separators)) if n else "")
        for n, address in zip(range(len(addresses) - 1, -1, -1), addresses, strict=True)
    )
    assert recipients(f"To: {text}\r\n\r\n".encode()) == addresses
