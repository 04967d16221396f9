"""Modified UTF-7: one form per name, everything else refused (RFC 3501 section 5.1.3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store import InvalidName, mutf7


@pytest.mark.parametrize(
    ("wire", "name"),
    [
        (b"INBOX", "INBOX"),
        (b"a&-b", "a&b"),
        (b"&AOQ-", "ä"),
        (b"~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
        (b"&2D3cTA-", "\U0001f44c"),
    ],
)
def test_both_ways(wire: bytes, name: str) -> None:
    assert mutf7.decode(wire) == name
    assert mutf7.encode(name) == wire


@pytest.mark.parametrize(
    "wire",
    [
        b"&AOQ",  # not ended
        b"&AGE-",  # printable ASCII must not be shifted
        b"&AC8-etc",  # a slash in disguise
        b"&AC4ALg-",  # two dots in disguise
        b"&!!!-",
        b"&AOR-",  # odd bits
        b"&AOQ-&AOQ-",  # two shifts where one does
        b"&2AA-",  # half a surrogate pair
        b"a\x01b",
        b"a\x7fb",
        "ä".encode(),
        b"&AOQ=-",
    ],
)
def test_refused(wire: bytes) -> None:
    with pytest.raises(InvalidName) as caught:
        mutf7.decode(wire)
    assert caught.value.code is None
    assert caught.value.text == "Mailbox name is not valid mUTF-7"


@given(st.text())
def test_every_name_has_one_form(name: str) -> None:
    assert mutf7.decode(mutf7.encode(name)) == name


@given(st.binary(max_size=40))
def test_only_the_typed_error_escapes(wire: bytes) -> None:
    try:
        name = mutf7.decode(wire)
    except InvalidName:
        return
    assert mutf7.encode(name) == wire
