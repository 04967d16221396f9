"""Packets of the milter protocol and the changes that they make in a message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.milter import protocol
from mta.milter.edits import Edits
from mta.milter.protocol import ALL_ACTIONS, Action, Command, Packet, ProtocolError, Reader, strings


def test_packets() -> None:
    assert Packet(b"H", b"x\0").encode() == b"\0\0\0\3Hx\0"
    assert protocol.connect("a.example", "192.0.2.1", 25).data == b"a.example\x004\x00\x19192.0.2.1\0"
    assert protocol.connect("a.example", "2001:db8::1", 25).data == b"a.example\x006\x00\x19IPv6:2001:db8::1\0"
    assert protocol.connect("unknown", "", 0).data == b"unknown\0U"
    assert protocol.envelope(Command.MAIL, "<a@b>", ["SIZE=1"]).data == b"<a@b>\0SIZE=1\0"
    assert protocol.macros(Command.RCPT, [("i", "QID")]).data == b"Ri\0QID\0"
    assert strings("a\0b") == b"ab\0", "a value cannot begin another field"


@given(st.binary(max_size=200), st.integers(1, 20))
def test_any_octets_are_packets_or_a_protocol_error(octets: bytes, size: int) -> None:
    reader = Reader()
    try:
        for start in range(0, len(octets), size):
            for packet in reader.feed(octets[start : start + size]):
                assert len(packet.letter) == 1
    except ProtocolError:
        pass


@given(
    st.lists(st.tuples(st.sampled_from([b"c", b"h", b"y"]), st.binary(max_size=30)), max_size=10), st.integers(1, 30)
)
def test_packets_survive_any_cut(packets: list[tuple[bytes, bytes]], size: int) -> None:
    octets = b"".join(Packet(letter, data).encode() for letter, data in packets)
    reader, found = Reader(), []
    for start in range(0, len(octets), size):
        found += reader.feed(octets[start : start + size])
    assert [(packet.letter, packet.data) for packet in found] == packets


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 11,
        struct.pack(">III", 99, 0, 0),
        struct.pack(">III", 6, 1 << 20, 0),
        struct.pack(">III", 6, 0, 1 << 25),
    ],
)
def test_a_negotiation_that_asks_for_more_than_was_offered(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.parse_options(data)


OWN = b"Received: by us\r\n"
MAIL = OWN + b"Subject: one\r\nX-Multi: 1\r\nX-Multi: 2\r\n\r\nbody\r\n"


def position(number: int) -> bytes:
    return struct.pack(">I", number)


CHANGES = [
    (b"h", strings("X-New", "yes"), OWN + b"Subject: one\r\nX-Multi: 1\r\nX-Multi: 2\r\nX-New: yes\r\n\r\nbody\r\n"),
    (
        b"h",
        strings("X-New", "a\nb"),
        OWN + b"Subject: one\r\nX-Multi: 1\r\nX-Multi: 2\r\nX-New: a\r\n\tb\r\n\r\nbody\r\n",
    ),
    (b"i", position(0) + strings("X-New", "yes"), OWN + b"X-New: yes\r\n" + MAIL[len(OWN) :]),
    (b"i", position(1) + strings("X-New", "yes"), OWN + b"X-New: yes\r\n" + MAIL[len(OWN) :]),
    (b"i", position(2) + strings("X-New", "yes"), MAIL.replace(b"X-Multi: 1", b"X-New: yes\r\nX-Multi: 1")),
    (b"i", position(99) + strings("X-New", "yes"), MAIL.replace(b"\r\n\r\n", b"\r\nX-New: yes\r\n\r\n")),
    (b"m", position(1) + strings("Subject", "two"), MAIL.replace(b"one", b"two")),
    (b"m", position(2) + strings("x-multi", ""), MAIL.replace(b"X-Multi: 2\r\n", b"")),
    (b"m", position(1) + strings("X-None", "new"), MAIL.replace(b"\r\n\r\n", b"\r\nX-None: new\r\n\r\n")),
    (b"m", position(1) + strings("X-None", ""), MAIL),
    (b"b", b"new body\r\n", MAIL.replace(b"body", b"new body")),
]


@pytest.mark.parametrize(("letter", "data", "content"), CHANGES)
def test_changes(letter: bytes, data: bytes, content: bytes) -> None:
    edits = Edits(MAIL, "a@b", [], len(OWN))
    edits.apply(Packet(letter, data), ALL_ACTIONS)
    edits.finish()
    assert edits.content == content


def test_changes_of_the_envelope() -> None:
    edits = Edits(MAIL, "a@b", [])
    for letter, data in ((b"+", strings("<c@d>")), (b"2", strings("<e@f>", "NOTIFY=NEVER")), (b"-", strings("g@h"))):
        edits.apply(Packet(letter, data), ALL_ACTIONS)
    edits.apply(Packet(b"e", strings("<>")), ALL_ACTIONS)
    edits.apply(Packet(b"q", strings("because")), ALL_ACTIONS)
    assert edits.added == [("c@d", ""), ("e@f", "NOTIFY=NEVER")]
    assert (edits.removed, edits.new_sender, edits.hold) == (["g@h"], "", True)


@pytest.mark.parametrize(
    ("letter", "data"),
    [(b"h", b"X"), (b"h", strings("X")), (b"h", strings("X Y", "z")), (b"h", strings("", "z")), (b"i", b"\0"), (b"Z", b""),
     (b"m", position(1) + b"no end"), (b"h", strings("X:\r\nY", "z"))],
)  # fmt: skip
def test_malformed_changes(letter: bytes, data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Edits(MAIL, "a@b", []).apply(Packet(letter, data), ALL_ACTIONS)


def test_a_change_that_was_not_negotiated() -> None:
    with pytest.raises(ProtocolError, match="not negotiated"):
        Edits(MAIL, "a@b", []).apply(Packet(b"b", b"x"), Action.ADD_HEADER)
