"""hardmail_authentication_results in a session; and check_policy_service with our own policy server."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from mta.policyd import Checker
from mta.policyd.policy import Policy
from mta.policyd.service import PolicyServer

ZONE = "example.org TXT v=spf1 ip4:127.0.0.2 -all\n_dmarc.example.org TXT v=DMARC1; p=reject"
MAIL = """
    C: EHLO client.example.org
    S: 250-*
    C: MAIL FROM:<joe@example.org>
    S: 250 *
    C: RCPT TO:<alice@example.com>
    S: 250 *
    C: DATA
    S: 354 *
    C: Authentication-Results: mx.example.com; spf=pass smtp.mailfrom=forged
    C: Authentication-Results: other.example; none
    C: From: joe@example.org
    C:
    C: Hi.
    C: .
    S: 250 *
"""


async def test_results_come_on_top_and_forged_ones_go(start) -> None:
    site = await start("hardmail_authentication_results = yes", dns=ZONE)
    await site.say(MAIL, source="127.0.0.2")
    (message,) = site.queue.messages
    assert message.content.startswith(
        b"Authentication-Results: mx.example.com; spf=pass smtp.mailfrom=joe@example.org;\r\n"
        b"\tdkim=none;\r\n\tdmarc=pass (p=reject) header.from=example.org\r\nReceived: "
    )
    assert b"forged" not in message.content
    assert b"\r\nAuthentication-Results: other.example; none\r\n" in message.content


async def test_our_own_clients_get_no_judgement_and_nobody_does_by_default(start) -> None:
    site = await start("hardmail_authentication_results = yes", dns=ZONE)
    await site.say(MAIL)
    assert site.queue.messages[0].content.startswith(b"Authentication-Results: mx.example.com; none\r\nReceived: ")
    site = await start(dns=ZONE)
    await site.say(MAIL, source="127.0.0.2")
    assert site.queue.messages[0].content.startswith(b"Received: ")


async def test_each_message_of_a_session_gets_its_received_spf(start, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "policy"))
    listener.listen()
    listener.setblocking(False)
    restrictions = "smtpd_recipient_restrictions = reject_unauth_destination, check_policy_service unix:policy"
    site = await start(restrictions, dns=ZONE)
    server = PolicyServer(Policy(Checker(site.server.peers.resolver), "mx.example.com"))
    await server.listen([listener])
    try:
        client = await site.say(MAIL, source="127.0.0.2")
        two = "C: RCPT TO:<bob@example.com>\n    S: 250 *\n    C: DATA"
        await client.say(MAIL.replace("C: DATA", two))
        refused = await site.connect("127.0.0.3")
        await refused.reply()
        until_rcpt = MAIL.partition("    S: 250 *\n    C: DATA")[0]
        await refused.say(
            until_rcpt
            + "    S: 550 5.7.23 <alice@example.com>: Recipient address rejected: Message rejected due to: SPF fail*"
        )
    finally:
        await server.close()
        await asyncio.sleep(0)
    assert [message.content.count(b"Received-SPF: pass ") for message in site.queue.messages] == [1, 1]
