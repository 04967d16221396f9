"""Early talkers: half a greeting, a pause, and what becomes of those who cannot wait (postscreen_greet_*)."""

from __future__ import annotations

import fnmatch
from typing import Any

import pytest

from mta.config import ConfigErrors

SETTINGS = "postscreen_greet_wait = 1s\npostscreen_greet_banner = mx.example.com wait\nmynetworks = 127.0.0.9\n"


async def screened(start: Any, settings: str) -> Any:
    site = await start(SETTINGS + settings)
    site.server.screened_ports = frozenset({site.port})
    return site


async def talk_early(site: Any, source: str = "127.0.0.2") -> Any:
    client = await site.connect(source)
    assert (await client.reader.readline()) == b"220-mx.example.com wait\r\n"
    await client.send(b"EHLO spammer.example\r\n")
    return client


async def test_who_waits_is_served_and_remembered(start: Any) -> None:
    site = await screened(start, "postscreen_greet_action = drop")
    client = await site.connect("127.0.0.2")
    await client.say("S: 220-mx.example.com wait|220 mx.example.com ESMTP Postfix\nC: EHLO x\nS: 250-*")
    again = await site.connect("127.0.0.2")
    await again.send(b"EHLO x\r\n")
    await again.say("S: 220 mx.example.com ESMTP Postfix\nS: 250-*")


async def test_who_talks_too_early_is_dropped(start: Any) -> None:
    site = await screened(start, "postscreen_greet_action = drop")
    client = await talk_early(site)
    assert await client.reply() == "521 5.5.1 Protocol error"
    assert await client.closed()


async def test_who_talks_too_early_gets_no_recipient(start: Any) -> None:
    site = await screened(start, "postscreen_greet_action = enforce")
    client = await talk_early(site)
    await client.say(
        """
        S: 220 mx.example.com ESMTP Postfix
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 550 5.5.1 Protocol error
        """
    )


async def test_the_weakened_twin_only_writes_it_down(start: Any) -> None:
    site = await screened(start, "postscreen_greet_action = ignore")
    client = await talk_early(site)
    await client.say(
        "S: 220 *\nS: 250-*\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<alice@example.com>\nS: 250 *"
    )


async def test_known_clients_need_not_wait(start: Any) -> None:
    site = await screened(
        start, "postscreen_access_list = permit_mynetworks, cidr:{{127.0.0.8 permit}, {127.0.0.7 reject}}"
    )
    for source in ("127.0.0.9", "127.0.0.8"):
        client = await site.connect(source)
        await client.say("S: 220 mx.example.com ESMTP Postfix")


@pytest.mark.parametrize(
    ("action", "reply"), [("drop", "521 5.3.2 Service currently unavailable"), ("ignore", "220 *")]
)
async def test_denied_clients(start: Any, action: str, reply: str) -> None:
    access = "postscreen_access_list = cidr:{{127.0.0.7 reject}}"
    site = await screened(start, f"{access}\npostscreen_denylist_action = {action}")
    client = await site.connect("127.0.0.7")
    await client.say(f"S: {reply}")


async def test_other_listeners_do_not_pause(start: Any) -> None:
    site = await start(SETTINGS)
    await (await site.connect("127.0.0.2")).say("S: 220 mx.example.com ESMTP Postfix")


DNS = """
2.0.0.127.bad.example A 127.0.0.2
2.0.0.127.worse.example A 127.0.0.11
3.0.0.127.bad.example A 127.0.0.2
4.0.0.127.bad.example A 127.0.0.2
4.0.0.127.good.example A 127.0.0.9
5.0.0.127.good.example A 127.0.0.9
down.example SERVFAIL
"""
LISTS = """
postscreen_dnsbl_sites = bad.example*2 worse.example=127.0.0.[10..12]*3, good.example*-4 down.example
postscreen_dnsbl_threshold = 2
postscreen_dnsbl_reply_map = inline:{{worse.example=a list}}
postscreen_dnsbl_action = ACTION
"""


@pytest.mark.parametrize(
    ("source", "action", "greeting", "rcpt"),
    [
        ("127.0.0.2", "enforce", "220 *", "550 5.7.1 Service unavailable; client [[]127.0.0.2] blocked using a list"),
        (
            "127.0.0.3",
            "enforce",
            "220 *",
            "550 5.7.1 Service unavailable; client [[]127.0.0.3] blocked using bad.example",
        ),
        ("127.0.0.3", "drop", "521 5.7.1 Service unavailable; client [[]127.0.0.3] blocked using bad.example", ""),
        ("127.0.0.3", "ignore", "220 *", "250 *"),
        ("127.0.0.4", "enforce", "220 *", "250 *"),
        ("127.0.0.6", "enforce", "220 *", "250 *"),
    ],
)
async def test_lists_in_the_dns(start: Any, source: str, action: str, greeting: str, rcpt: str) -> None:
    site = await start(f"{SETTINGS}postscreen_greet_banner =\n{LISTS.replace('ACTION', action)}", dns=DNS)
    site.server.screened_ports = frozenset({site.port})
    client = await site.connect(source)
    said = await client.reply()
    assert fnmatch.fnmatchcase(said, greeting), said
    if rcpt:
        await client.send(b"HELO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\n")
        said = [await client.reply() for _ in range(3)][-1]
        assert fnmatch.fnmatchcase(said, rcpt), said


async def test_a_client_with_a_good_name_may_talk_early(start: Any) -> None:
    settings = f"{LISTS.replace('ACTION', 'enforce')}\npostscreen_dnsbl_allowlist_threshold = -3\npostscreen_greet_action = drop"
    site = await start(f"{SETTINGS}\n{settings}", dns=DNS)
    site.server.screened_ports = frozenset({site.port})
    client = await talk_early(site, "127.0.0.5")
    await client.say("S: 220 mx.example.com ESMTP Postfix\nS: 250-*")


@pytest.mark.parametrize(
    "settings",
    [
        "postscreen_greet_action = shout",
        "postscreen_access_list = nosuchtype:x",
        "postscreen_dnsbl_action = shout",
        "postscreen_dnsbl_sites = bl.example*much",
        "postscreen_dnsbl_sites = bl.example=1.2.3",
    ],
)
async def test_mistakes(start: Any, settings: str) -> None:
    with pytest.raises(ConfigErrors, match="postscreen"):
        await start(settings)
