"""proxymap's messages on the wire."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.proxymap.protocol import ATTRIBUTE_LIMIT, MESSAGE_LIMIT, ProtocolError, Reader, encode, number

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
MESSAGE = st.dictionaries(TEXT.filter(bool), TEXT, max_size=6)


def test_the_bytes_are_those_of_postfix() -> None:
    request = {"request": "lookup", "table": "texthash:/t", "flags": "16448", "key": "a"}
    assert encode(request) == b"request\0lookup\0table\0texthash:/t\0flags\x0016448\0key\0a\0\0"
    assert Reader().feed(b"status\x000\0value\0b\0\0status\x001\0value\0\0\0") == [
        {"status": "0", "value": "b"},
        {"status": "1", "value": ""},
    ]


@given(st.lists(MESSAGE, max_size=4), st.data())
def test_messages_survive_any_cut(messages: list[dict[str, str]], data: st.DataObject) -> None:
    stream = b"".join(map(encode, messages))
    reader, found, at = Reader(), list[dict[str, str]](), 0
    while at < len(stream):
        step = data.draw(st.integers(1, 12))
        found += reader.feed(stream[at : at + step])
        at += step
    assert found == messages


@given(st.binary(max_size=200))
def test_only_the_typed_error_escapes(stream: bytes) -> None:
    outcomes = []
    for size in (1, 3, max(1, len(stream))):
        reader, found = Reader(), list[dict[str, str]]()
        try:
            for at in range(0, len(stream), size):
                found += reader.feed(stream[at : at + size])
        except ProtocolError:
            outcomes.append(None)
        else:
            outcomes.append(found)
    assert outcomes[0] == outcomes[1] == outcomes[2]


def test_limits() -> None:
    with pytest.raises(ProtocolError):
        Reader().feed(b"x" * (MESSAGE_LIMIT + 1))
    with pytest.raises(ProtocolError):
        Reader().feed(b"n\0v\0" * (ATTRIBUTE_LIMIT + 1))
    with pytest.raises(ProtocolError):
        Reader().feed(b"a\0b\0a\0c\0\0")
    with pytest.raises(ValueError, match="NUL"):
        encode({"key": "a\0b"})
    with pytest.raises(ValueError, match="larger"):
        encode({"key": "x" * MESSAGE_LIMIT})
    for text in (None, "", "-1", "1" * 11, "١"):
        with pytest.raises(ProtocolError):
            number(text)
