"""Dialogues with the LMTP server over a real socket."""

import asyncio
import re
import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from imap.lmtp.session import BAD_COMMAND_LIMIT, LINE_LIMIT
from imap.lmtp.settings import LmtpSettings
from tls.authority import Authority
from tls.context import server_context
from tls.policy import Policy

from .conftest import Server

SETTINGS = LmtpSettings("mail.example", "ready.")


async def test_lhlo(server: Server) -> None:
    await server.start()
    say = await server.connect()
    assert await say("EHLO x") == "500 5.5.1 Unknown command"
    assert await say("HELO x") == "500 5.5.1 Unknown command"
    assert await say("LHLO") == "501 Missing hostname"
    assert await say("LHLO x") == "\n".join(
        ["250-mail.example", "250-8BITMIME", "250-CHUNKING", "250-ENHANCEDSTATUSCODES", "250 PIPELINING"]
    )


async def test_a_mail_arrives_with_its_headers(server: Server) -> None:
    await server.start()
    say = await server.begin("alice@example.test")
    assert await say("DATA") == "354 OK"
    reply = await say(b"Subject: x\r\n\r\n..dot\r\n.\r\n")
    session = re.fullmatch(r"250 2\.0\.0 <alice@example\.test> (\S+) Saved", reply)
    assert session
    (mail,) = server.mails("alice")
    assert re.fullmatch(
        rb"Return-Path: <s@example\.org>\r\nDelivered-To: alice@example\.test\r\n"
        rb"Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby mail\.example with LMTP\r\n\tid "
        + re.escape(session[1].encode())
        + rb"\r\n\t\(envelope-from <s@example\.org>\)\r\n\tfor <alice@example\.test>; [^\r\n]+\r\n"
        rb"Subject: x\r\n\r\n\.dot\r\n",
        mail,
    )
    assert await say("QUIT") == "221 2.0.0 Bye"
    assert await say.reply() == ""


async def test_one_reply_per_recipient_in_order(server: Server) -> None:
    await server.start()
    say = await server.begin("bob@x", "alice@x", "bob@x")
    assert await say("RCPT TO:<nobody@x>") == "550 5.1.1 <nobody@x> User doesn't exist: nobody@x"
    assert await say("RCPT TO:<down@x>") == "451 4.3.0 <down@x> Temporary internal error"
    await say("DATA")
    replies = await say(b"Subject: y\r\n\r\n.\r\n", replies=3)
    assert re.findall(r"<(\S+)> \S+ Saved", replies) == ["bob@x", "alice@x", "bob@x"]
    assert (len(server.mails("alice")), len(server.mails("bob"))) == (1, 1), "named twice, delivered once"
    assert b"alice" not in server.mails("bob")[0], "the other recipients stay unnamed"


async def test_sequence(server: Server) -> None:
    await server.start()
    say = await server.connect()
    await say("LHLO x")
    assert await say("RCPT TO:<alice@x>") == "503 5.5.0 MAIL needed first"
    assert await say("DATA") == "503 5.5.0 MAIL needed first"
    assert await say("MAIL FROM:<>") == "250 2.1.0 OK"
    assert await say("MAIL FROM:<>") == "503 5.5.0 MAIL already given"
    assert await say("DATA") == "503 5.5.0 No valid recipients"
    assert await say("RSET") == "250 2.0.0 OK"
    assert await say("RCPT TO:<alice@x>") == "503 5.5.0 MAIL needed first"
    assert await say("VRFY x") == "252 2.3.3 Try RCPT instead"
    assert await say("RSET x") == "501 5.5.4 Invalid parameters"
    assert await say("MAIL FROM:<a@b> SIZE=1") == "555 5.5.4 Unsupported parameters"
    assert await say("MAIL FROM:<a@b> BODY=BINARYMIME") == "555 5.5.4 Unsupported mail BODY type"


async def test_pipelining_to_the_end_of_the_connection(server: Server) -> None:
    """Everything in one segment and the sending side closed: aiosmtpd alone would answer nothing."""
    await server.start()
    say = await server.connect()
    say.writer.write(
        b"LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@x>\r\nDATA\r\nSubject: z\r\n\r\n.\r\nNOOP\r\nQUIT\r\n"
    )
    say.writer.write_eof()
    replies = [await say.reply() for _ in range(7)]
    assert [reply[:3] for reply in replies] == ["250", "250", "250", "354", "250", "250", "221"]
    assert len(server.mails("alice")) == 1


@pytest.mark.parametrize("fake", [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r"])
async def test_no_smuggling(server: Server, fake: bytes) -> None:
    await server.start()
    say = await server.begin("alice@x")
    await say("DATA")
    smuggled = b"MAIL FROM:<evil@x>\r\nRCPT TO:<bob@x>\r\nDATA\r\nSubject: evil\r\n\r\n"
    reply = await say(b"Subject: a\r\n\r\nx" + fake + smuggled + b".\r\n")
    assert reply.startswith("250")
    assert await say("NOOP") == "250 2.0.0 OK"
    (mail,) = server.mails("alice")
    assert b"MAIL FROM:<evil@x>" in mail
    assert server.mails("bob") == []


async def test_chunks(server: Server) -> None:
    await server.start()
    say = await server.begin("alice@x")
    assert await say(b"BDAT 9\r\nSubject: ") == "250 2.0.0 Added 9 octets"
    assert (await say(b"BDAT 14 LAST\r\nx\r\n\r\n\r\n.\r\nok\r\n")).startswith("250 2.0.0 <alice@x>")
    assert await say("NOOP") == "250 2.0.0 OK"
    assert server.mails("alice")[0].endswith(b"Subject: x\r\n\r\n\r\n.\r\nok\r\n")
    assert await say("BDAT x") == "501 5.5.4 Invalid chunk size parameter"
    assert await say("BDAT 99999999999") == "501 5.5.4 Invalid chunk size parameter"
    assert await say("MAIL FROM:<a@b>") == "250 2.1.0 OK"
    assert await say("RCPT TO:<alice@x>") == "250 2.1.5 OK"
    assert await say("DATA") == "503 5.5.0 Previous data chunk failed, issue RSET first"
    assert await say("RSET") == "250 2.0.0 OK"
    assert await say("MAIL FROM:<a@b>") == "250 2.1.0 OK"
    assert await say(b"BDAT 2\r\nab") == "503 5.5.0 No valid recipients"
    assert await say(b"BDAT 2 LAST\r\nab") == "503 5.5.0 Previous data chunk failed, issue RSET first"
    assert await say("DATA") == "503 5.5.0 Previous data chunk failed, issue RSET first"


async def test_too_large(server: Server) -> None:
    await server.start(replace(SETTINGS, message_size_limit=100_000))
    say = await server.begin("alice@x")
    await say("DATA")
    assert await say(b"x" * 200_000 + b"\r\n.\r\n") == "552 5.3.4 <alice@x> Message size exceeds fixed limit"
    await say("MAIL FROM:<>")
    await say("RCPT TO:<alice@x>")
    assert await say(b"BDAT 200000 LAST\r\n" + b"x" * 200_000) == (
        "552 5.3.4 <alice@x> Message size exceeds fixed limit"
    )
    assert server.mails("alice") == []


async def test_bad_input_is_answered_and_ends(server: Server) -> None:
    await server.start()
    say = await server.connect()
    assert await say(b"x" * (LINE_LIMIT * 3) + b"\r\n") == "500 5.5.2 Invalid command syntax"
    assert await say(b"NO\0OP\r\n") == "500 5.5.2 Invalid command syntax"
    assert await say("MAIL FROM:<\xe4@b>") == "500 5.5.2 Invalid command syntax"
    assert await say("NOOP") == "250 2.0.0 OK"
    assert await say("RCPT TO:<x") == "503 5.5.0 MAIL needed first"
    assert await say("VRFY <x>") == "501 5.5.4 Invalid parameters"
    for _ in range(BAD_COMMAND_LIMIT - 2):
        assert await say("FOO") == "500 5.5.1 Unknown command"
    assert await say("FOO") == "421 4.7.0 Too many invalid commands."
    assert await say.reply() == ""


async def test_detail_mailbox(server: Server) -> None:
    settings = replace(
        SETTINGS, save_to_detail_mailbox=True, mailbox_autocreate=True, mailbox_autosubscribe=True,
        add_received_header=False, delivery_address="original",
    )  # fmt: skip
    await server.start(settings)
    say = await server.begin("alice+Box@x", "alice+../../etc@x", "alice+a/b@x", "alice+@x")
    await say("RCPT TO:<alice+two.levels@x> ORCPT=rfc822;orig+2Binal@y")
    await say("DATA")
    await say(b"Subject: d\r\n\r\n.\r\n", replies=5)
    assert server.mails("alice", "Box") == [b"Return-Path: <s@example.org>\r\nSubject: d\r\n\r\n"]
    assert len(server.mails("alice")) == 3, "a name that cannot be a mailbox goes to INBOX"
    with server.store("alice") as store:
        assert store.subscriptions() == ["Box", "two.levels"]


async def test_quota(server: Server) -> None:
    quota = {"quota": "count:User quota", "quota_rule": "*:storage=1K:messages=3", "quota_grace": "0"}
    server.mail = replace(server.mail, quota=quota)
    await server.start(replace(SETTINGS, check_quota_at_rcpt=True, add_received_header=False))
    say = await server.begin("alice@x")
    await say("DATA")
    full = "552 5.2.2 <alice@x> Quota exceeded (mailbox for user is full)"
    assert await say(b"x" * 1100 + b"\r\n.\r\n") == full
    for _ in range(3):
        await say("MAIL FROM:<>")
        await say("RCPT TO:<alice@x>")
        await say("DATA")
        assert (await say(b"small: y\r\n.\r\n")).startswith("250")
    await say("MAIL FROM:<>")
    assert await say("RCPT TO:<alice@x>") == full
    assert await say("RCPT TO:<bob@x>") == "250 2.1.5 OK"
    assert len(server.mails("alice")) == 3


async def test_nothing_private_in_replies(server: Server, tmp_path: Path) -> None:
    (tmp_path / "alice").write_text("a file where the home should be")
    await server.start()
    say = await server.begin("alice@x")
    await say("DATA")
    reply = await say(b"Subject: e\r\n\r\n.\r\n")
    assert reply.startswith("451 4.")
    assert str(tmp_path) not in reply


async def test_starttls_drops_what_came_in_the_clear(server: Server, tmp_path: Path) -> None:
    """The hole of CVE-2011-0411: commands pipelined behind STARTTLS must not be executed inside TLS."""
    authority = Authority.create(tmp_path / "ca")
    credentials = authority.issue_server(["mail.example"])
    server.context = server_context(
        credentials.certificate_file, credentials.key_file, Policy.from_dovecot(ssl_min_protocol="TLSv1.2")
    )
    await server.start()
    say = await server.begin("alice@x")
    assert await say(b"STARTTLS\r\nRSET\r\nMAIL FROM:<evil@x>\r\n") == "220 2.0.0 Begin TLS negotiation now."
    context = ssl.create_default_context(cafile=str(authority.certificate_file))
    await say.writer.start_tls(context, server_hostname="mail.example")
    assert await say("DATA") == "503 5.5.0 MAIL needed first"
    assert "STARTTLS" not in await say("LHLO x")
    for line in ("MAIL FROM:<s@x>", "RCPT TO:<alice@x>", "DATA"):
        await say(line)
    assert (await say(b"Subject: tls\r\n\r\n.\r\n")).startswith("250")
    assert b"with LMTPS" in server.mails("alice")[0]
    assert (await say("STARTTLS")).startswith("443")


async def test_many_at_once_lose_nothing(server: Server) -> None:
    await server.start()

    async def send(number: int) -> None:
        say = await server.begin("alice@x")
        for mail in range(5):
            await say("DATA")
            assert (await say(f"Subject: {number}-{mail}\r\n\r\n.".encode() + b"\r\n")).startswith("250")
            await say("MAIL FROM:<>")
            await say("RCPT TO:<alice@x>")

    await asyncio.gather(*(send(number) for number in range(10)))
    subjects = {re.search(rb"Subject: (\S+)", mail)[1] for mail in server.mails("alice")}  # type: ignore[index]
    assert len(subjects) == len(server.mails("alice")) == 50


async def test_drain_says_421_to_idle_connections(server: Server) -> None:
    await server.start()
    say = await server.connect()
    await say("LHLO x")
    for session in list(server.sessions):
        session.drain()
    assert await say.reply() == "421 4.3.2 Shutting down"
    assert await say.reply() == ""
