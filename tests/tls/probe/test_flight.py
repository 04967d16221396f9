"""The answer to a ClientHello: read whole and octet by octet, from real servers and from nobody in particular."""

from __future__ import annotations

import base64
import ssl
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tls.authority import Authority, Credentials
from tls.context import server_context
from tls.policy import Policy, Version
from tls.probe import SUITES, TLS13, Answer, Flight, FlightError, Hello, Weakness, name_of, ssl2_hello, weaknesses
from tls.probe.flight import FLIGHT_OCTETS


def answered(context: ssl.SSLContext, hello: bytes) -> bytes:
    """What a real server says to these octets."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with pytest.raises(ssl.SSLError):  # it wants more, or refuses
        server.do_handshake()
    return outgoing.read()


def read(octets: bytes) -> Answer:
    """Fed whole and octet by octet, with the same outcome."""
    whole, slowly = Flight(), Flight()
    whole.feed(octets)
    for octet in octets:
        if not slowly.done:
            slowly.feed(bytes([octet]))
    assert whole.answer == slowly.answer
    return whole.answer


def record(kind: int, content: bytes, version: int = 0x0301) -> bytes:
    return struct.pack(">BHH", kind, version, len(content)) + content


def server_hello(version: int, suite: int, compression: int = 0, extensions: bytes | None = None) -> bytes:
    body = struct.pack(">H", version) + bytes(32) + b"\0" + struct.pack(">HB", suite, compression)
    if extensions is not None:
        body += struct.pack(">H", len(extensions)) + extensions
    return b"\2" + len(body).to_bytes(3, "big") + body


ALL = Policy(frozenset({Version.TLSv1, Version.TLSv1_1, Version.TLSv1_2, Version.TLSv1_3}), "ALL:@SECLEVEL=0")

OAKLEY_GROUP_2 = int(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B"
    "302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE6"
    "49286651ECE65381FFFFFFFFFFFFFFFF",
    16,
)
"""1024 bits, RFC 2409 section 6.2."""


@pytest.mark.parametrize("version", [Version.TLSv1, Version.TLSv1_1, Version.TLSv1_2, Version.TLSv1_3])
def test_a_real_server_chooses_a_version_and_a_suite(server: Credentials, version: Version) -> None:
    context = server_context(server.certificate_file, server.key_file, ALL)
    offered = [number for number in SUITES if (number in TLS13) == (version is Version.TLSv1_3)]
    answer = read(answered(context, Hello(version, offered, "mail.example.org").octets()))
    assert (answer.version, answer.alert) == (version, None)
    assert answer.suite in offered
    assert "_anon_" in name_of(answer.suite) or version is Version.TLSv1_3 or answer.certificates
    if version is not Version.TLSv1_3:
        assert answer.secure_renegotiation
        assert not answer.compressed


def test_certificate_and_curve_are_told(server: Credentials, authority: Authority) -> None:
    context = server_context(server.certificate_file, server.key_file, ALL)
    answer = read(answered(context, Hello(Version.TLSv1_2, [0xC02B, 0xC02C]).octets()))
    assert ssl.DER_cert_to_PEM_cert(answer.certificates[0]) in server.certificate_file.read_text()
    assert answer.curve == 29


def test_the_size_of_a_diffie_hellman_group_is_told(server: Credentials, tmp_path: Path) -> None:
    group = tmp_path / "dh.pem"
    prime = b"\2\x81\x81\0" + OAKLEY_GROUP_2.to_bytes(128, "big")  # PKCS #3: SEQUENCE { INTEGER p, INTEGER g }
    der = b"\x30\x81" + bytes([len(prime) + 3]) + prime + b"\2\1\2"
    pem = base64.encodebytes(der).decode()
    group.write_text(f"-----BEGIN DH PARAMETERS-----\n{pem}-----END DH PARAMETERS-----\n")
    context = server_context(server.certificate_file, server.key_file, ALL, dh_parameters=group)
    answer = read(answered(context, Hello(Version.TLSv1_2, [0x0034]).octets()))  # DH_anon, AES
    assert (answer.dh_bits, answer.dh_prime) == (1024, OAKLEY_GROUP_2)


def test_refusals_are_alerts(server: Credentials) -> None:
    context = server_context(server.certificate_file, server.key_file, Policy())
    assert read(answered(context, Hello(Version.TLSv1, [0xC013]).octets())).alert == 70  # protocol_version
    assert read(answered(context, Hello(Version.TLSv1_2, [0x0005]).octets())).alert == 40  # handshake_failure
    assert read(answered(context, Hello(Version.SSLv3, [0x0005]).octets())).suite is None
    assert read(answered(context, ssl2_hello())).suite is None


def test_ssl_2_is_recognised() -> None:
    body = b"\4\0\1\0\2" + struct.pack(">HHH", 0, 3, 16) + b"\7\0\300" + bytes(16)
    answer = read(struct.pack(">H", 0x8000 | len(body)) + body)
    assert (answer.version, answer.suite) == (2, 0)


def test_compression_and_missing_renegotiation_info_are_told() -> None:
    answer = read(record(22, server_hello(0x0301, 0x002F, compression=1)))
    assert (answer.compressed, answer.secure_renegotiation) == (True, False)


def test_messages_may_be_spread_over_records() -> None:
    message = server_hello(0x0303, 0xC02F) + b"\13\0\0\6\0\0\3\0\0\0" + b"\16\0\0\0"
    pieces = b"".join(record(22, message[start : start + 7]) for start in range(0, len(message), 7))
    assert read(pieces).suite == 0xC02F


@pytest.mark.parametrize(
    "octets",
    [
        b"220 not TLS at all\r\n",
        record(22, b"\2\0\0\3\3\3\0"),
        record(21, b"\2"),
        struct.pack(">BHH", 22, 0x0301, 0xFFFF),
        record(22, server_hello(0x0303, 0xC02F, extensions=b"\0\0\0\x10")),
    ],
)
def test_what_is_no_answer_is_an_error(octets: bytes) -> None:
    with pytest.raises(FlightError):
        Flight().feed(octets)


def test_an_answer_without_end_is_given_up() -> None:
    flight = Flight()
    endless = record(22, b"\13\xff\xff\xff" + bytes(16000))
    with pytest.raises(FlightError, match="without end"):
        for _ in range(FLIGHT_OCTETS // len(endless) + 1):
            flight.feed(endless)


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4))
def test_nothing_but_its_own_error_escapes(octets: bytes, changes: list[tuple[int, int]]) -> None:
    good = bytearray(record(22, server_hello(0x0303, 0xC02F, extensions=b"\xff\x01\0\1\0")))
    for at, value in changes:
        good[at % len(good)] = value
    for attempt in (octets, record(22, octets), bytes(good) + octets):
        flight = Flight()
        try:
            for octet in attempt:
                if flight.done:
                    break
                flight.feed(bytes([octet]))
        except FlightError:
            pass


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", set()),
        ("TLS_AES_128_GCM_SHA256", set()),
        ("TLS_DHE_RSA_WITH_AES_128_CBC_SHA", {Weakness.CBC}),
        ("TLS_RSA_WITH_AES_128_CBC_SHA", {Weakness.STATIC, Weakness.CBC}),
        ("TLS_RSA_WITH_NULL_SHA", {Weakness.STATIC, Weakness.NULL}),
        ("TLS_RSA_EXPORT_WITH_RC4_40_MD5", {Weakness.STATIC, Weakness.EXPORT, Weakness.RC4}),
        ("TLS_RSA_WITH_DES_CBC_SHA", {Weakness.STATIC, Weakness.DES, Weakness.CBC}),
        ("TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA", {Weakness.BLOCK64, Weakness.CBC}),
        ("TLS_DH_anon_WITH_AES_128_CBC_SHA", {Weakness.ANONYMOUS, Weakness.CBC}),
        ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", {Weakness.RC4}),
    ],
)
def test_weaknesses_are_read_from_the_name(name: str, expected: set[Weakness]) -> None:
    number = next(number for number, known in SUITES.items() if known == name)
    assert weaknesses(number) == expected
