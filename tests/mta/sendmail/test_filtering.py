"""non_smtpd_milters: what filters are told of mail by sendmail(1), and what becomes of their verdicts."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.milter.protocol import Packet
from mta.queue import QueueName
from mta.queue.message import NO_TRACE, Trace
from mta.queue.service import Service, make_plan
from mta.sendmail import maildrop
from mta.sendmail.maildrop import Drop
from tests.mta.milter.conftest import Filter

Confdir = Callable[..., Path]


@pytest.fixture
async def peer() -> AsyncIterator[Filter]:
    """A filter that likes everything until it is told otherwise."""
    made = Filter()
    listener = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listener.sockets[0].getsockname()[1]
    yield made
    listener.close()
    for writer in made.writers:
        writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)


@pytest.fixture
async def send(confdir: Confdir, peer: Filter) -> AsyncIterator[Callable[..., object]]:
    """`await send(setting=value)`: one mail by sendmail; the service whose queue it may be in, and its file."""
    made: list[Service] = []

    async def run(pickup: str = "", trace: Trace = NO_TRACE, **settings: str) -> tuple[Service, Path]:
        directory = confdir(**{"non_smtpd_milters": f"inet:127.0.0.1:{peer.port}", **settings})
        master = directory / "master.cf"
        master.write_text(master.read_text().replace("1 pickup\n", f"1 pickup {pickup}\n"))
        service = Service(make_plan(MainConfig.load(directory)))
        made.append(service)
        drop = Drop(
            "alice@example.org", ("bob@example.net", "carol@example.net"), b"Subject: x\n\nbody\n", trace=int(trace)
        )
        path = maildrop.write(service.queue.directory, drop)
        async with asyncio.timeout(10):
            while await service.manager._pickup():
                pass
        return service, path

    yield run
    for each in made:
        each.queue.close()


async def test_filters_are_told_of_a_client_that_is_this_host(send, peer: Filter) -> None:
    service, _ = await send()
    assert peer.letters().replace("D", "") == "OCHMRRTLLLLNBEQ"
    told = dict(peer.seen)
    assert told[b"C"] == b"localhost\x004\x00\x00127.0.0.1\x00"
    assert told[b"H"] == b"localhost\x00"
    assert told[b"M"] == b"alice@example.org\x00"
    assert [data for letter, data in peer.seen if letter == b"R"] == [
        b"bob@example.net\x00",
        b"carol@example.net\x00",
    ]
    macros = b"\x00".join(data for letter, data in peer.seen if letter == b"D")
    assert b"j\x00null.example.org\x00" in macros
    assert b"_\x00localhost [127.0.0.1]\x00" in macros
    assert b"{mail_addr}\x00alice@example.org\x00" in macros
    assert b"{rcpt_addr}\x00carol@example.net\x00" in macros
    assert b"{daemon_addr}\x00127.0.0.1\x00" in macros
    assert not any(data.startswith(b"Received\x00") for letter, data in peer.seen if letter == b"L")
    assert len(list(service.queue.messages())) == 1


async def test_a_filter_changes_the_message(send, peer: Filter) -> None:
    peer.answers[b"E"] = b"".join(
        Packet(letter, data).encode()
        for letter, data in (
            (b"h", b"X-Filter\0seen\0"),
            (b"-", b"<bob@example.net>\0"),
            (b"+", b"<dora@example.net>\0"),
            (b"q", b"look at it\0"),
            (b"c", b""),
        )
    )
    service, _ = await send()
    [message] = service.queue.messages()
    assert [each.recipient.address for each in message.recipients] == ["carol@example.net", "dora@example.net"]
    assert message.queue is QueueName.HOLD
    assert b"\r\nX-Filter: seen\r\n" in service.queue.content(message)


async def test_mail_that_a_filter_refuses_comes_back(send, peer: Filter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    peer.answers[b"B"] = Packet(b"y", b"550 5.7.1 no such mail here\0").encode()
    service, path = await send()
    [notice] = service.queue.messages()
    assert notice.sender == ""
    assert b"no such mail here" in service.queue.content(notice)
    assert not path.exists()
    assert any(
        line.endswith(
            "milter-reject: END-OF-MESSAGE from localhost[127.0.0.1]: 5.7.1 no such mail here; "
            "from=<alice@example.org> to=<bob@example.net>"
        )
        for line in caplog.messages
    )


@pytest.mark.parametrize("answer", [Packet(b"t").encode(), None])
async def test_mail_waits_while_a_filter_cannot_judge_it(send, peer: Filter, answer: bytes | None) -> None:
    peer.answers[b"M"] = answer
    service, path = await send()
    assert path.exists()
    assert list(service.queue.messages()) == []


async def test_a_single_recipient_cannot_be_refused(send, peer: Filter, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    peer.answers[b"R"] = Packet(b"r").encode()
    _, path = await send()
    assert path.exists()
    assert any("milter-reject: RCPT from localhost[127.0.0.1]: 5.7.1 Command rejected;" in m for m in caplog.messages)
    assert any(m.endswith("can't reject recipient in non-smtpd(8) submission") for m in caplog.messages)


async def test_the_default_action_may_be_to_go_on(send, peer: Filter) -> None:
    peer.answers[b"C"] = None
    service, _ = await send(milter_default_action="accept")
    assert len(list(service.queue.messages())) == 1


async def test_discarded_mail_is_gone(send, peer: Filter) -> None:
    peer.answers[b"E"] = Packet(b"d").encode()
    service, path = await send()
    assert not path.exists()
    assert list(service.queue.messages()) == []


async def test_probes_have_no_content_to_filter_but_a_report_changes_nothing(send, peer: Filter) -> None:
    await send(trace=Trace.USER_VERIFY)
    assert peer.letters() == ""
    await send(trace=Trace.RECORD)
    assert peer.letters().startswith("O")


async def test_pickup_can_do_without(send, peer: Filter) -> None:
    await send(receive_override_options="no_milters")
    assert peer.letters() == ""
    await send(pickup="-o non_smtpd_milters=")
    assert peer.letters() == ""


async def test_fields_that_filters_add_are_inspected(send, peer: Filter, confdir: Confdir) -> None:
    peer.answers[b"E"] = b"".join(
        Packet(letter, data).encode()
        for letter, data in (
            (b"h", b"X-Spam-Level\0****\0"),
            (b"h", b"X-Noise\0much\0"),
            (b"h", b"X-Old\0name\0"),
            (b"m", struct.pack(">I", 1) + b"Subject\0X-Noise\0"),
            (b"c", b""),
        )
    )
    checks = (
        "regexp:{{/^X-Spam-Level: \\*+$$/ HOLD spam}, {/X-Noise/ IGNORE}, {/^X-Old: (.*)/ REPLACE X-New: $$1}, "
        "{/^Received/ REJECT}}"
    )
    service, _ = await send(milter_header_checks=checks)
    [message] = service.queue.messages()
    content = service.queue.content(message)
    assert message.queue is QueueName.HOLD
    assert b"X-Spam-Level: ****\r\n" in content
    assert b"X-New: name\r\n" in content
    assert b"X-Noise" not in content
    assert b"Subject" not in content
