"""MAIL and RCPT arguments, with Dovecot's words for what is wrong."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.lmtp.syntax import Address, CommandError, parse


@pytest.mark.parametrize(
    ("argument", "reply"),
    [
        ("ua", "501 5.5.4 Invalid parameters"),
        ("FROM:<a>", "501 5.5.4 Invalid parameters"),
        ("TO:", "501 5.5.4 Invalid TO: Path is empty string"),
        ("TO:ua", "501 5.5.4 Invalid TO: Missing '<' at beginning of path"),
        ("TO: <ua>", "501 5.5.4 Invalid TO: Unexpected whitespace before path"),
        ("TO:<>", "501 5.5.4 Invalid TO: Null path not allowed"),
        ("TO:<@x>", "501 5.5.4 Invalid TO: Missing ':' at end of source route"),
        ("TO:<a@b@c>", "501 5.5.4 Invalid TO: Missing '>' at end of path"),
        ("TO:<a@b", "501 5.5.4 Invalid TO: Missing '>' at end of path"),
        ("TO:<a b@c>", "501 5.5.4 Invalid TO: Invalid character in localpart"),
        ("TO:<a@b>x", "501 5.5.4 Invalid parameters"),
        ("TO:<a@b> =x", "501 5.5.4 Invalid parameters"),
    ],
)
def test_refused(argument: str, reply: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse(argument, "TO", null_allowed=False)
    assert str(caught.value) == reply


@pytest.mark.parametrize(
    ("argument", "address"),
    [
        ("to:<a@b>", Address("a", "b")),
        ("TO:<ua>", Address("ua")),
        ('TO:<"a b"@x.example>', Address("a b", "x.example")),
        (r'TO:<"a\"\\"@x>', Address('a"\\', "x")),
        ("TO:<a@[IPv6:::1]>", Address("a", "[IPv6:::1]")),
        ("TO:<@x,@y.example:a@b>", Address("a", "b")),
    ],
)
def test_accepted(argument: str, address: Address) -> None:
    assert parse(argument, "TO", null_allowed=False).address == address


def test_parameters() -> None:
    command = parse("FROM:<> BODY=8BITMIME smtputf8", "FROM", null_allowed=True)
    assert command.address == Address()
    assert command.parameters == {"BODY": "8BITMIME", "SMTPUTF8": None}


@given(st.text(st.characters(codec="ascii"), max_size=60))
def test_only_the_typed_error_escapes(text: str) -> None:
    for argument in (text, "TO:" + text, "TO:<" + text + ">"):
        with contextlib.suppress(CommandError):
            command = parse(argument, "TO", null_allowed=True)
            again = parse(f"TO:<{command.address}>", "TO", null_allowed=True)
            assert again.address == command.address
