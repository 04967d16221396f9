"""Filters in a session: what they are told, what their answers mean, and what happens when they fail."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from mta.config import ConfigErrors, MainConfig
from mta.milter import Chain, Edits, Filters, Verdict
from mta.milter.protocol import Packet, Step, strings

MAIL = b"Subject: one\r\nTo: x\r\n\r\nbody\r\n"


@pytest.fixture
def filters(tmp_path: Path) -> Any:
    def build(*words: str, settings: str = "") -> Filters:
        text = f"queue_directory = {tmp_path}\nmyhostname = mx.example.com\nsmtpd_milters = {', '.join(words)}\n{settings}\n"
        (tmp_path / "main.cf").write_text(text)
        return Filters.from_config(MainConfig.load(tmp_path), "smtpd_milters")

    return build


async def session(chain: Chain, content: bytes = MAIL) -> tuple[Verdict | None, Edits]:
    """A whole session; the first verdict ends it."""
    edits = Edits(content, "a@b", ["c@d"])
    verdict = (
        await chain.connect("host", "192.0.2.1", 25)
        or await chain.helo("helo")
        or await chain.mail("a@b", ["SIZE=1"])
        or await chain.rcpt("c@d", [])
        or await chain.data()
        or await chain.content(edits)
    )
    await chain.close()
    return verdict, edits


async def test_events_in_order(filters: Any, content_filter: Any) -> None:
    chain = filters(f"inet:127.0.0.1:{content_filter.port}").chain({"i": "QID", "j": "mx"}.get)
    verdict, _ = await session(chain)
    assert verdict is None
    while content_filter.letters()[-1:] != "Q":
        await asyncio.sleep(0)
    assert content_filter.letters().replace("D", "") == "OCHMRTLLNBEQ"
    assert (b"L", b"Subject\0one\0") in [(letter, data.replace(b"\0 ", b"\0")) for letter, data in content_filter.seen]
    assert (b"B", b"body\r\n") in content_filter.seen
    assert (b"D", b"Cj\0mx\0") in content_filter.seen


async def test_unwanted_events_are_not_told(filters: Any, content_filter: Any) -> None:
    content_filter.steps = int(Step.NO_CONNECT | Step.NO_HELO | Step.NO_HEADERS | Step.NO_BODY | Step.NR_MAIL)
    content_filter.answers[b"M"] = b""
    verdict, _ = await session(filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None))
    assert verdict is None
    assert content_filter.letters().replace("Q", "") == "OMRTNE"


ANSWERS = [
    (b"r", b"", Verdict(550, "5.7.1", "Command rejected")),
    (b"t", b"", Verdict(451, "4.7.1", "Service unavailable - try again later")),
    (b"4", b"", Verdict(421, "4.7.0", "Server closing connection")),
    (b"d", b"", Verdict(discard=True)),
    (b"y", strings("554 5.9.9 custom 100%% text"), Verdict(554, "5.9.9", "custom 100% text")),
    (b"y", strings("450 plain"), Verdict(450, "", "plain")),
    (b"y", strings("550-5.7.1 one\r\n550 5.7.1 two"), Verdict(550, "5.7.1", "one\ntwo")),
    (b"y", strings("250 no refusal"), Verdict(451, "4.7.1", "Service unavailable - try again later")),
    (b"Z", b"", Verdict(451, "4.7.1", "Service unavailable - try again later")),
]


@pytest.mark.parametrize("event", [b"C", b"H", b"M", b"R", b"T", b"L", b"N", b"B", b"E"])
@pytest.mark.parametrize(("letter", "data", "wanted"), ANSWERS)
async def test_answers(
    filters: Any, content_filter: Any, event: bytes, letter: bytes, data: bytes, wanted: Verdict
) -> None:
    content_filter.answers[event] = Packet(letter, data).encode()
    verdict, _ = await session(filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None))
    assert verdict == wanted


async def test_accept_ends_the_session_or_the_message(filters: Any, content_filter: Any) -> None:
    content_filter.answers[b"R"] = Packet(b"a").encode()
    chain = filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None)
    await session(chain)
    assert content_filter.letters().replace("Q", "") == "OCHMR"
    content_filter.seen.clear()
    content_filter.answers = {b"H": Packet(b"a").encode()}
    await session(filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None))
    assert content_filter.letters().replace("Q", "") == "OCH"


async def test_changes_and_signs_of_progress(filters: Any, content_filter: Any) -> None:
    change = Packet(b"p").encode() + Packet(b"h", strings("X-New", "yes")).encode() + Packet(b"b", b"new\r\n").encode()
    content_filter.answers[b"E"] = change + Packet(b"c").encode()
    verdict, edits = await session(filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None))
    assert verdict is None
    assert edits.content == b"Subject: one\r\nTo: x\r\nX-New: yes\r\n\r\nnew\r\n"


async def test_a_later_filter_sees_what_an_earlier_one_made(filters: Any, content_filter: Any) -> None:
    content_filter.answers[b"E"] = Packet(b"h", strings("X-New", "yes")).encode() + Packet(b"c").encode()
    twice = f"inet:127.0.0.1:{content_filter.port}"
    _, edits = await session(filters(twice, twice).chain(lambda name: None))
    assert edits.content.count(b"X-New: yes") == 2
    assert sum(letter == b"L" and data.startswith(b"X-New") for letter, data in content_filter.seen) == 1


@pytest.mark.parametrize(
    ("action", "wanted"),
    [
        ("accept", None),
        ("tempfail", Verdict(451, "4.7.1", "Service unavailable - try again later")),
        ("reject", Verdict(550, "5.5.0", "Service unavailable")),
        ("quarantine", Verdict(hold=True)),
    ],
)
async def test_a_filter_that_is_down(
    filters: Any, action: str, wanted: Verdict | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    chain = filters(f"{{ unix:no/such/socket, default_action={action} }}").chain(lambda name: None)
    assert await chain.connect("host", "192.0.2.1", 25) == wanted
    assert await chain.mail("a@b", []) == wanted, "it stands for the whole session"
    await chain.close()


async def test_a_filter_that_dies_amid_a_message(filters: Any, content_filter: Any) -> None:
    content_filter.answers[b"B"] = None
    verdict, _ = await session(filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None))
    assert verdict == Verdict(451, "4.7.1", "Service unavailable - try again later")


async def test_a_filter_that_does_not_answer_in_time(filters: Any, content_filter: Any) -> None:
    content_filter.answers[b"H"] = b""
    address = f"{{ inet:127.0.0.1:{content_filter.port}, command_timeout=1s }}"
    verdict, _ = await session(filters(address).chain(lambda name: None))
    assert verdict == Verdict(451, "4.7.1", "Service unavailable - try again later")


async def test_a_transaction_that_is_given_up(filters: Any, content_filter: Any) -> None:
    chain = filters(f"inet:127.0.0.1:{content_filter.port}").chain(lambda name: None)
    await chain.abort()
    await chain.mail("a@b", [])
    await chain.abort()
    await chain.abort()
    await chain.close()
    while content_filter.letters()[-1:] != "Q":
        await asyncio.sleep(0)
    assert content_filter.letters() == "OMAQ"


@pytest.mark.parametrize(
    "word",
    ["nonsense", "inet:host", "inet:host:x", "unix:", "{ inet:h:1, colour=red }", "{ inet:h:1, default_action=x }"],
)
def test_mistakes_in_the_configuration(filters: Any, word: str) -> None:
    with pytest.raises(ConfigErrors, match="smtpd_milters"):
        filters(word)
