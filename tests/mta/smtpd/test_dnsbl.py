"""Lists in the DNS: which answers count, what the refusal says, and that an outage refuses nobody."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.smtpd.access.dnsbl import Zone, parse_zone, question
from mta.smtpd.access.lists import BadRestriction

MAIL = "C: EHLO {0}\nS: 250-*\nC: MAIL FROM:<{1}>\nS: 250 *\nC: RCPT TO:<alice@example.com>\nS: {2}"


def test_questions() -> None:
    assert question("192.0.2.99", "bl.example") == "99.2.0.192.bl.example"
    assert question("2001:db8::1", "bl.example").startswith("1.0.0.0.0.0")
    assert question("2001:db8::1", "bl.example").endswith("8.b.d.0.1.0.0.2.bl.example")


@pytest.mark.parametrize(
    ("spec", "yes", "no"),
    [
        ("bl.example", ["127.0.0.2", "127.9.9.9"], []),
        ("bl.example=127.0.0.2", ["127.0.0.2"], ["127.0.0.3", "127.0.1.2"]),
        ("bl.example=127.0.[0;2].[2..4;9]", ["127.0.0.2", "127.0.2.4", "127.0.0.9"], ["127.0.1.2", "127.0.0.5"]),
    ],
)
def test_filters(spec: str, yes: list[str], no: list[str]) -> None:
    zone = parse_zone(spec)
    assert all(zone.matches(address) for address in yes)
    assert not any(zone.matches(address) for address in no)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "=127.0.0.2",
        "b=127.0.0",
        "b=127.0.0.256",
        "b=127.0.0.x",
        "b=127.0.0.[]",
        "b=1.2.3.4.5",
        "b=1.2.3.[1..]",
        "b=",
    ],
)
def test_bad_filters(spec: str) -> None:
    with pytest.raises(BadRestriction):
        parse_zone(spec)


@given(st.text(max_size=40))
def test_any_filter_is_a_zone_or_a_mistake(spec: str) -> None:
    with contextlib.suppress(BadRestriction):
        assert isinstance(parse_zone(spec), Zone)


DNS = """
    2.0.0.127.bl.example A 127.0.0.2
    2.0.0.127.bl.example TXT listed <for> testing
    2.0.0.127.good.example A 127.0.0.9
    3.0.0.127.bl.example A 127.0.0.2
    bad.example.dbl.example A 127.0.1.2
    2.0.0.127.in-addr.arpa PTR client.example.org
    client.example.org A 127.0.0.2
    down.example SERVFAIL
"""


async def test_a_listed_client(start: Any) -> None:
    site = await start("smtpd_client_restrictions = reject_rbl_client bl.example", dns=DNS)
    reply = "554 5.7.1 Service unavailable; Client host [127.0.0.2] blocked using bl.example; listed *for* testing"
    await site.say(MAIL.format("x", "a@b.example", reply), source="127.0.0.2")
    await site.say(MAIL.format("x", "a@b.example", "250 *"), source="127.0.0.9")


async def test_an_outage_blocks_nobody(start: Any) -> None:
    site = await start("smtpd_client_restrictions = reject_rbl_client down.example", dns=DNS)
    await site.say(MAIL.format("x", "a@b.example", "250 *"), source="127.0.0.2")


async def test_a_list_of_good_clients_comes_first(start: Any) -> None:
    lists = "permit_dnswl_client good.example=127.0.0.9, reject_rbl_client bl.example"
    site = await start(f"smtpd_client_restrictions = {lists}", dns=DNS)
    await site.say(MAIL.format("x", "a@b.example", "250 *"), source="127.0.0.2")
    await site.say(MAIL.format("x", "a@b.example", "554 *"), source="127.0.0.3")


async def test_lists_of_domains(start: Any) -> None:
    site = await start(
        "smtpd_sender_restrictions = reject_rhsbl_sender dbl.example, reject_rhsbl_helo dbl.example", dns=DNS
    )
    reply = "554 5.7.1 Service unavailable; Sender address [a@bad.example] blocked using dbl.example"
    await site.say(MAIL.format("x", "a@bad.example", reply))
    reply = "554 5.7.1 Service unavailable; Helo command [bad.example] blocked using dbl.example"
    await site.say(MAIL.format("bad.example", "a@b.example", reply))


async def test_the_site_words_its_own_refusal(start: Any) -> None:
    site = await start(
        """
        smtpd_client_restrictions = reject_rbl_client bl.example
        rbl_reply_maps = inline:{{bl.example = 521 4.7.9 At $$client_name, $$rbl_what$${rbl_reason?: $$rbl_reason}}}
        """,
        dns=DNS,
    )
    reply = "521 5.7.9 At client.example.org, 127.0.0.2: listed *for* testing"
    client = await site.say(MAIL.format("x", "a@b.example", reply), source="127.0.0.2")
    assert await client.closed()
