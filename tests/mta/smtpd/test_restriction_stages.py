"""When a restriction list is asked, and what its answer does to the session and to the message."""

from __future__ import annotations

from typing import Any

import pytest

from tests.mta.smtpd.dialogues import envelope


async def test_without_delay_every_stage_answers_for_itself(start: Any) -> None:
    site = await start(
        """
        smtpd_delay_reject = no
        smtpd_client_restrictions = check_client_access inline:{{127.0.0.3 = REJECT not you}}
        smtpd_helo_restrictions = reject_non_fqdn_helo_hostname
        smtpd_sender_restrictions = reject_non_fqdn_sender
        """
    )
    await site.say(
        """
        C: EHLO localhost
        S: 504 5.5.2 <localhost>: Helo command rejected: need fully-qualified hostname
        C: EHLO a.example
        S: 250-*
        C: MAIL FROM:<a>
        S: 504 5.5.2 <a>: Sender address rejected: need fully-qualified address
        C: MAIL FROM:<a@b.example>
        S: 250 *
        """
    )
    client = await site.connect("127.0.0.3")
    await client.say(
        """
        S: 554 5.7.1 <unknown[127.0.0.3]>: Client host rejected: not you
        C: EHLO a.example
        S: 503 5.7.0 Error: access denied for unknown[127.0.0.3]
        C: QUIT
        S: 221 2.0.0 Bye
        """
    )


async def test_421_and_521_hang_up(start: Any) -> None:
    table = "inline:{{four@b.example = 421 4.3.0 closing}, {five@b.example = 521 go}}"
    site = await start(f"smtpd_sender_restrictions = {table}")
    for sender, reply in (("four", "421 4.3.0 *: closing"), ("five", "521 5.7.1 *: go")):
        client = await site.say(f"{envelope(f'{sender}@b.example')}C: RCPT TO:<alice@example.com>\nS: {reply}")
        assert await client.closed()


async def test_data_and_end_of_data(start: Any) -> None:
    site = await start(
        """
        smtpd_data_restrictions = reject_multi_recipient_bounce
        smtpd_end_of_data_restrictions = reject
        """
    )
    client = await site.say(
        """
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: RCPT TO:<bob@example.com>
        S: 250 *
        C: DATA
        S: 550 5.5.3 <DATA>: Data command rejected: Multi-recipient bounce
        C: RSET
        S: 250 *
        C: MAIL FROM:<>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 554 5.7.1 <END-OF-MESSAGE>: End-of-data rejected: Access denied
        C: QUIT
        S: 221 *
        """
    )
    assert await client.closed()
    assert site.queue.messages == []


async def test_what_end_of_data_refuses_stays_open(start: Any) -> None:
    """As in smtpd(8): MAIL stands until RSET, but a mail goes to none of the recipients that were refused."""
    site = await start("smtpd_end_of_data_restrictions = check_recipient_access inline:{alice@example.com=REJECT}")
    await site.say(
        """
        C: EHLO x
        S: 250-*
        C: MAIL FROM:<a@b.example>
        S: 250 *
        C: RCPT TO:<alice@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 554 5.7.1 <alice@example.com>: Recipient address rejected: Access denied
        C: MAIL FROM:<a@b.example>
        S: 503 5.5.1 Error: nested MAIL command
        C: RCPT TO:<bob@example.com>
        S: 250 *
        C: DATA
        S: 354 *
        C: .
        S: 250 *
        """
    )
    assert [recipient.address for recipient in site.queue.messages[0].recipients] == ["bob@example.com"]
    client = await site.say(f"{envelope()}C: RCPT TO:<alice@example.com>\nS: 250 *")
    await client.send(b"BDAT 0 LAST\r\nRCPT TO:<bob@example.com>\r\nBDAT 0 LAST\r\n")
    assert [(await client.reply())[:3] for _ in range(3)] == ["554", "503", "554"]
    assert len(site.queue.messages) == 1


async def test_early_talkers(start: Any) -> None:
    site = await start("smtpd_data_restrictions = reject_unauth_pipelining")
    client = await site.say(f"{envelope()}C: RCPT TO:<alice@example.com>\nS: 250 *")
    await client.send(b"DATA\r\nSubject: early\r\n")
    assert await client.reply() == "503 5.5.0 <DATA>: Data command rejected: Improper use of SMTP command pipelining"


async def test_what_tables_can_ask_for_beside_a_verdict(start: Any) -> None:
    site = await start(
        """
        smtpd_sender_restrictions = inline:{
            {hold@b.example = HOLD}, {discard@b.example = DISCARD}, {filter@b.example = FILTER smtp:[127.0.0.1]:10025},
            {redirect@b.example = REDIRECT bob@example.com}, {bcc@b.example = BCC bob@example.com},
            {prepend@b.example = PREPEND X-Seen: yes}, {warn@b.example = WARN look}}
        """
    )
    for sender in ("hold", "discard", "filter", "redirect", "bcc", "prepend", "warn"):
        await site.say(
            f"""
            C: EHLO x
            S: 250-*
            C: MAIL FROM:<{sender}@b.example>
            S: 250 *
            C: RCPT TO:<alice@example.com>
            S: 250 *
            C: DATA
            S: 354 *
            C: Subject: {sender}
            C: .
            S: 250 2.0.0 Ok: queued as *
            """
        )
    queued = {message.sender.partition("@")[0]: message for message in site.queue.messages}
    assert set(queued) == {"hold", "filter", "redirect", "bcc", "prepend", "warn"}
    assert queued["hold"].hold
    assert queued["filter"].filter == "smtp:[127.0.0.1]:10025"
    assert [each.address for each in queued["redirect"].recipients] == ["bob@example.com"]
    assert {each.address for each in queued["bcc"].recipients} == {"alice@example.com", "bob@example.com"}
    assert queued["prepend"].content.startswith(b"X-Seen: yes\r\nReceived: ")


@pytest.mark.parametrize(
    ("networks", "reply"),
    [("", "250"), ("192.0.2.0/24", "250"), ("198.51.100.0/24", "554"), ("!192.0.2.25, 192.0.2.0/24", "554")],
)
async def test_a_backup_only_for_those_whose_primary_is_listed(start: Any, networks: str, reply: str) -> None:
    site = await start(
        "mynetworks = 192.0.2.99\nsmtpd_recipient_restrictions = permit_mx_backup, reject_unauth_destination\n"
        f"smtpd_relay_restrictions =\npermit_mx_backup_networks = {networks}",
        dns="far.example MX 10 mx1.far.example\nfar.example MX 20 backup.example.com\n"
        "mx1.far.example A 192.0.2.25\nbackup.example.com A 127.0.0.1",
    )
    await site.say(
        f"C: HELO x\nS: 250 *\nC: MAIL FROM:<a@b.example>\nS: 250 *\nC: RCPT TO:<u@far.example>\nS: {reply} *"
    )
