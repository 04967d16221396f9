"""Clients that speak for others: XCLIENT, XFORWARD and the PROXY protocol."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtpd.haproxy import V2_SIGNATURE, Header, Malformed, parse


async def test_xclient_makes_the_client_another(start: Any) -> None:
    site = await start(
        """
        smtpd_authorized_xclient_hosts = 127.0.0.1
        smtpd_client_restrictions = inline:{{192.0.2.66 = REJECT bad client}, {bad.example = REJECT bad name}}
        smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination
        """
    )
    mail = "C: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<{0}>\nS: {1}\n"
    xclient = "C: EHLO x\nS: 250-*|250-XCLIENT NAME ADDR PROTO HELO REVERSE_NAME PORT LOGIN DESTADDR DESTPORT|*\n"
    greeted = "S: 220 mx.example.com ESMTP Postfix\n"
    await site.say(
        xclient
        + f"C: XCLIENT ADDR=192.0.2.66 NAME=c.example\n{greeted}"
        + mail.format("alice@example.com", "554 5.7.1 <c.example[192.0.2.66]>: Client host rejected: bad client")
        + "C: RSET\nS: 250 *\nC: XCLIENT ADDR=192.0.2.1\nS: 550 5.7.0 Error: insufficient authorization"
    )
    await site.say(
        xclient
        + f"C: XCLIENT ADDR=192.0.2.1 NAME=a.bad.example HELO=spike.example PROTO=SMTP\n{greeted}"
        + mail.format("alice@example.com", "554 5.7.1 *: Client host rejected: bad name")
    )
    await site.say(
        xclient
        + f"C: XCLIENT ADDR=IPV6:2001:db8::1 NAME=[UNAVAILABLE] LOGIN=alice\n{greeted}"
        + mail.format("x@far.example", "250 *")
        + "C: DATA\nS: 354 *\nC: .\nS: 250 *"
    )
    (message,) = site.queue.messages
    assert b"(unknown [IPv6:2001:db8::1])\r\n" in message.content
    assert message.attributes["sasl_username"] == "alice"


async def test_the_reverse_name_follows_a_name_that_is_known(start: Any) -> None:
    site = await start(
        """
        smtpd_authorized_xclient_hosts = 127.0.0.0/8
        smtpd_client_restrictions =
            check_reverse_client_hostname_access inline:{{a.example = REJECT a}, {b.example = REJECT b}}
        """
    )
    asked = "C: EHLO x\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<alice@example.com>\nS: {0}\n"
    reset = "C: RSET\nS: 250 *\n"
    await site.say(
        "C: EHLO x\nS: 250-*\nC: XCLIENT NAME=a.example\nS: 220 *\n"
        + asked.format("554 5.7.1 <a.example>: Unverified Client host rejected: a")
        + reset
        + "C: XCLIENT NAME=[UNAVAILABLE]\nS: 220 *\n"
        + asked.format("554 5.7.1 <a.example>: Unverified Client host rejected: a")
        + reset
        + "C: XCLIENT NAME=c.example REVERSE_NAME=b.example\nS: 220 *\n"
        + asked.format("554 5.7.1 <b.example>: Unverified Client host rejected: b"),
        source="127.0.0.2",
    )


async def test_xclient_refusals(start: Any) -> None:
    site = await start("smtpd_authorized_xclient_hosts = 127.0.0.1")
    await site.say(
        """
        C: EHLO x
        S: 250-*
        C: XCLIENT
        S: 501 5.5.4 Syntax: XCLIENT attribute=value...
        C: XCLIENT foo
        S: 501 5.5.4 Error: attribute=value expected
        C: XCLIENT FOO=bar
        S: 501 5.5.4 Bad XCLIENT attribute name: FOO
        C: XCLIENT NAME=bad!name
        S: 501 5.5.4 Bad NAME syntax: bad!name
        C: XCLIENT ADDR=nonsense
        S: 501 5.5.4 Bad ADDR syntax: nonsense
        C: XCLIENT ADDR=2001:db8::1
        S: 501 5.5.4 Bad ADDR syntax: 2001:db8::1
        C: XCLIENT PORT=x
        S: 501 5.5.4 Bad PORT syntax: x
        C: XCLIENT HELO=
        S: 501 5.5.4 Error: attribute=value expected
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: XCLIENT NAME=x.example
        S: 503 5.5.1 Error: MAIL transaction in progress
        """
    )
    await site.say(
        "C: EHLO x\nS: 250-*ETRN|250-ENHANCED*\nC: XCLIENT NAME=x.example\nS: 550 5.7.0 *", source="127.0.0.2"
    )


async def test_xforward_is_for_the_log(start: Any) -> None:
    site = await start("smtpd_authorized_xforward_hosts = 127.0.0.1")
    await site.say(
        """
        C: EHLO x
        S: 250-*|250-XFORWARD NAME ADDR PROTO HELO SOURCE PORT IDENT|*
        C: XFORWARD NAME=spike.example ADDR=192.0.2.9 IDENT=OTHER
        S: 250 2.0.0 Ok
        C: XFORWARD SOURCE=FOO
        S: 501 5.5.4 Bad SOURCE syntax: FOO
        C: XFORWARD NAME=a+zz
        S: 501 5.5.4 Bad NAME syntax: a+zz
        C: XFORWARD NAME=x@y<z>
        S: 501 5.5.4 Bad NAME syntax: x?y?z?
        C: XFORWARD PORT=x
        S: 501 5.5.4 Bad PORT syntax: x
        C: XFORWARD HELO=
        S: 501 5.5.4 Error: attribute=value expected
        C: XFORWARD HELO=x+0Ay
        S: 250 2.0.0 Ok
        C: XFORWARD addr=[unavailable]
        S: 250 2.0.0 Ok
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        """
    )
    attributes = site.queue.messages[0].attributes
    assert (attributes["log_client_name"], attributes["log_ident"]) == ("spike.example", "OTHER")
    assert attributes["client_address"] == "127.0.0.1"


@pytest.mark.parametrize(
    ("octets", "client"),
    [
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\r\n", ("192.0.2.1", 4711)),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 25\n", ("192.0.2.1", 4711)),
        (b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n", ("2001:db8::1", 1)),
        (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n", ("192.0.2.1", 1)),
        (b"PROXY  TCP4 192.0.2.1 192.0.2.2 4711 25 more\r\n", ("192.0.2.1", 4711)),
        (b"PROXY tcp4 192.0.2.1 192.0.2.2 4711 25\r\n", ("192.0.2.1", 4711)),
        (V2_SIGNATURE + b"\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\x12\x67\0\x19", ("192.0.2.1", 4711)),
        (V2_SIGNATURE + b"\x21\x21\0\x24" + bytes(15) + b"\1" + bytes(15) + b"\2" + b"\0\1\0\2", ("::1", 1)),
        (V2_SIGNATURE + b"\x21\x11\0\x0f\xc0\0\2\1\xc0\0\2\2\x12\x67\0\x19tlv", ("192.0.2.1", 4711)),
        (V2_SIGNATURE + b"\x20\0\0\0", None),
    ],
)
def test_proxy_headers(octets: bytes, client: tuple[str, int] | None) -> None:
    for cut in range(len(octets)):
        assert parse(octets[:cut]) is None
    header = parse(octets + b"EHLO x\r\n")
    assert header is not None
    assert (header.size, header.client) == (len(octets), client)


@pytest.mark.parametrize(
    "octets",
    [
        b"EHLO x\r\n",
        b"PROXY TCP4 192.0.2.1\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP4 x y 1 2\r\n",
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN whatever it says\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 99999 25\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 -1 25\r\n",
        b"PROXY UDP4 192.0.2.1 192.0.2.2 1 25\r\n",
        b"PROXY " + b"x" * 200,
        V2_SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
        V2_SIGNATURE + b"\x21\x11\0\x04" + bytes(4),
        V2_SIGNATURE + b"\x21\x31\0\x0c" + bytes(12),
        V2_SIGNATURE + b"\x21\x11\xff\xff",
    ],
)
def test_what_is_no_proxy_header(octets: bytes) -> None:
    with pytest.raises(Malformed):
        parse(octets)


@given(st.binary(max_size=60), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", V2_SIGNATURE, V2_SIGNATURE + b"\x21"]))
def test_any_octets_are_a_header_or_malformed(octets: bytes, start: bytes) -> None:
    try:
        header = parse(start + octets)
    except Malformed:
        return
    assert header is None or isinstance(header, Header)


async def test_a_proxied_session(start: Any) -> None:
    site = await start("smtpd_upstream_proxy_protocol = haproxy\nsmtpd_relay_restrictions = permit_mynetworks, reject")
    client = await site.connect()
    addresses = ipaddress.ip_address("192.0.2.1").packed + ipaddress.ip_address("192.0.2.2").packed
    await client.send(V2_SIGNATURE + b"\x21\x11\0\x0c" + addresses + struct.pack(">HH", 4711, 25) + b"EHLO x\r\n")
    await client.say(
        "S: 220 *\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<x@far.example>\nS: 554 5.7.1 *"
    )
    (connection,) = site.server.connections
    assert connection.session.label == "unknown[192.0.2.1]"
    assert connection.session.local == ("192.0.2.2", 25)


@pytest.mark.parametrize("sent", [b"EHLO x\r\n", b""])
async def test_no_session_without_a_header(start: Any, sent: bytes) -> None:
    site = await start("smtpd_upstream_proxy_protocol = haproxy\nsmtpd_upstream_proxy_timeout = 1s")
    client = await site.connect()
    await client.send(sent)
    assert await client.reply() == "421 4.3.0 mx.example.com Server local error"
    assert await client.closed()
