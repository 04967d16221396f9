"""lmtp(8): one reply for each recipient after the data, over TCP and unix-domain sockets."""

from __future__ import annotations

import pytest

from mta.queue.message import Recipient


async def test_each_recipient_has_a_reply_of_its_own(peer, agent, request_to, outcome) -> None:
    replies = ["250 2.0.0 <a@x> saved", "552 5.2.2 <b@x> over quota", "450 4.2.0 <c@x> busy"]
    server = await peer(lmtp=True, after_data=replies)
    results = await agent(prefix="lmtp").deliver(request_to(f"inet:127.0.0.1:{server.port}", "a@x", "b@x", "c@x"))
    said = "host 127.0.0.1[127.0.0.1] said: {} (in reply to end of DATA command)"
    assert outcome(results) == {
        "a@x": ("sent", "2.0.0", replies[0]),
        "b@x": ("bounced", "5.2.2", said.format(replies[1])),
        "c@x": ("deferred", "4.2.0", said.format(replies[2])),
    }
    assert server.commands[0] == "LHLO mx.here"


async def test_refused_recipients_get_no_second_reply(peer, agent, request_to, outcome) -> None:
    server = await peer(lmtp=True, replies={"RCPT TO:<gone": "550 5.1.1 unknown"})
    results = await agent(prefix="lmtp").deliver(request_to(f"inet:127.0.0.1:{server.port}", "gone@x", "a@x", "b@x"))
    assert {address: status for address, (status, _, _) in outcome(results).items()} == {
        "gone@x": "bounced",
        "a@x": "sent",
        "b@x": "sent",
    }


@pytest.mark.parametrize(
    ("keywords", "assume", "flags", "action", "delegated"),
    [
        ((), False, "", "relayed", False),
        ((), True, "", "delivered", False),  # lmtp_assume_final
        (("DSN",), True, "", "relayed", True),  # telling the sender is now the server's business
        (("DSN",), False, "X", "delivered", False),
    ],
)
async def test_what_a_sender_is_told(peer, agent, request_to, keywords, assume, flags, action, delegated) -> None:
    server = await peer(lmtp=True, keywords=keywords)
    lmtp = agent(prefix="lmtp", assume_final=assume, flags=frozenset(flags))
    [result] = await lmtp.deliver(request_to(f"inet:127.0.0.1:{server.port}"))
    assert (result.action, result.dsn.delegated) == (action, delegated)


@pytest.mark.parametrize("relative", [False, True])
async def test_unix_socket(peer, agent, request_to, outcome, tmp_path, relative) -> None:
    path = tmp_path / "lmtp"
    await peer(path, lmtp=True)
    smtp = agent(prefix="lmtp", queue_directory=str(tmp_path))
    results = await smtp.deliver(request_to("unix:lmtp" if relative else f"unix:{path}"))
    assert [status for status, _, _ in outcome(results).values()] == ["sent"]
    assert results[0].relay == f"mx.here[{'lmtp' if relative else path}]"


async def test_the_store_is_down(agent, request_to, outcome, tmp_path) -> None:
    results = await agent(prefix="lmtp").deliver(request_to(f"unix:{tmp_path}/lmtp"))
    assert outcome(results) == {
        "bob@example.net": (
            "deferred",
            "4.4.1",
            f"connect to mx.here[{tmp_path}/lmtp]: No such file or directory",
        )
    }
    assert results[0].site_failure is not None


async def test_the_store_goes_away_in_the_middle(peer, agent, request_to, outcome) -> None:
    server = await peer(lmtp=True, hang_up_at="DATA")
    results = await agent(prefix="lmtp").deliver(request_to(f"inet:127.0.0.1:{server.port}", "a@x", "b@x"))
    assert {status for status, _, _ in outcome(results).values()} == {"deferred"}


async def test_headers_for_a_final_delivery(peer, agent, request_to) -> None:
    server = await peer(lmtp=True)
    flags = frozenset("DORX")
    to = Recipient("bob@example.net", "root@example.net")
    await agent(prefix="lmtp", flags=flags).deliver(request_to(f"inet:127.0.0.1:{server.port}", to))
    await agent(prefix="lmtp", flags=flags).deliver(
        request_to(f"inet:127.0.0.1:{server.port}", "a@x", "b@x", sender="")
    )
    assert server.contents[0].startswith(
        b"Return-Path: <alice@example.org>\r\nX-Original-To: root@example.net\r\nDelivered-To: bob@example.net\r\nFrom:"
    )
    assert server.contents[1].startswith(b"Return-Path: <>\r\nFrom:")
