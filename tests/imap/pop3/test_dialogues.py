"""POP3 as a dialogue, as Dovecot answers it."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.pop3.commands import first_lines
from imap.pop3.maildrop import unique_id
from tests.imap.conftest import FakeMechanism

MAIL = b"Subject: one\r\n\r\nHello\r\n.\r\n..two\r\nend\r\n"
OTHER = b"Subject: two\r\n\r\nSecond\r\n"


@pytest.fixture
async def client(mail: Any, connect: Any) -> Any:
    """A client whose maildrop holds two messages."""
    mail.deliver("alice", MAIL, OTHER)
    return await connect()


async def test_capabilities_before_and_after_login(connect: Any) -> None:
    client = await connect(user=None)
    assert client.greeting == b"+OK Dovecot ready.\r\n"
    assert (await client.command("CAPA")).split("\r\n") == [
        "+OK", "CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "STLS", "USER", "SASL PLAIN CRAM-MD5", ".",
    ]  # fmt: skip
    await client.command("USER alice")
    await client.command("PASS testpass")
    assert (await client.command("CAPA")).split("\r\n") == [
        "+OK", "CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", ".",
    ]  # fmt: skip


async def test_plaintext_is_refused_without_tls_from_elsewhere(mail: Any, connect: Any) -> None:
    client = await connect(user=None, wire=mail.wire(remote=("127.0.0.2", 1)))
    assert (await client.command("USER alice")).startswith("-ERR [AUTH] Plaintext authentication disallowed")
    assert "USER" not in (await client.command("CAPA")).split("\r\n")
    assert (await client.command("AUTH PLAIN AGFsaWNlAHRlc3RwYXNz")).startswith("-ERR [AUTH]")


async def test_the_weakened_twin_takes_the_password(mail: Any, connect: Any) -> None:
    client = await connect(wire=mail.wire(remote=("127.0.0.2", 1)), disable_plaintext_auth=False)
    assert await client.command("STAT") == "+OK 0 0"


async def test_login_failures(connect: Any) -> None:
    client = await connect(user=None)
    assert await client.command("PASS testpass") == "-ERR No username given."
    await client.command("USER alice")
    assert await client.command("PASS wrong") == "-ERR [AUTH] Authentication failed."
    assert await client.command("APOP alice c4c9334bac560ecc979e58001b3e22fb") == "-ERR APOP not enabled."
    assert await client.command("AUTH") == "+OK\r\nPLAIN\r\nCRAM-MD5\r\n."
    assert await client.command("STAT") == "-ERR Unknown command."


async def test_apop(mail: Any, connect: Any) -> None:
    mail.auth.offered.append(FakeMechanism("APOP", frozenset({"private", "dictionary", "active"})))
    client = await connect(user=None)
    challenge = re.fullmatch(rb"\+OK Dovecot ready\. (<1f\.7\.[0-9a-f]+\.[^@<>]+@localhost>)\r\n", client.greeting)
    assert challenge is not None
    right = hashlib.md5(challenge[1] + b"testpass").hexdigest()
    for argument in ("", "alice", "alice 12", f"alice {right} ", f"alice {right}0"):
        assert await client.command(f"APOP {argument}") == "-ERR Invalid parameters."
    assert await client.command(f"APOP alice {'x' * 32}") == "-ERR Invalid characters in MD5 response."
    assert await client.command(f"APOP alice {'0' * 32}") == "-ERR [AUTH] Authentication failed."
    assert "APOP" not in await client.command("CAPA")
    assert await client.command(f"APOP alice {right}") == "+OK Logged in."


async def test_sasl(connect: Any) -> None:
    client = await connect(user=None)
    assert await client.send(b"AUTH PLAIN\r\n") == b"+ \r\n"
    assert await client.send(b"AGFsaWNlAHRlc3RwYXNz\r\n") == b"+OK Logged in.\r\n"


async def test_listing(client: Any) -> None:
    assert await client.command("STAT") == f"+OK 2 {len(MAIL) + len(OTHER)}"
    assert await client.command("LIST") == f"+OK 2 messages:\r\n1 {len(MAIL)}\r\n2 {len(OTHER)}\r\n."
    assert await client.command("LIST 2") == f"+OK 2 {len(OTHER)}"
    uidl = (await client.command("UIDL")).split("\r\n")
    assert uidl[1].startswith("1 00000001")
    assert len(uidl[1]) == 18
    assert await client.command("UIDL 1") == "+OK " + uidl[1]


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("LIST 3", "-ERR There's no message 3."),
        ("LIST 0", "-ERR There's no message 0."),
        ("LIST -1", "-ERR Invalid message number: -1"),
        ("RETR x", "-ERR Invalid message number: x"),
        ("RETR", "-ERR Invalid message number: "),
        ("RETR 1 2", "-ERR Noise after message number:  2"),
        ("DELE", "-ERR Invalid message number: "),
        ("DELE 99999999999999", "-ERR Noise after message number: 9999"),
        ("TOP 1", "-ERR Invalid message number: "),
        ("TOP 1 -1", "-ERR Invalid message number: -1"),
        ("FOO", "-ERR Unknown command: FOO"),
        ("USER x", "-ERR Unknown command: USER"),
    ],
)
async def test_what_is_refused(client: Any, command: str, answer: str) -> None:
    assert await client.command(command) == answer


async def test_retr_stuffs_dots(client: Any) -> None:
    stuffed = "Subject: one\r\n\r\nHello\r\n..\r\n...two\r\nend\r\n."
    assert await client.command("RETR 1") == f"+OK {len(MAIL)} octets\r\n" + stuffed
    assert await client.command("TOP 1 2") == "+OK\r\nSubject: one\r\n\r\nHello\r\n..\r\n."
    assert await client.command("LAST") == "-ERR Unknown command: LAST"  # unless pop3_enable_last


async def test_a_dot_at_any_place_cannot_end_the_message(mail: Any, connect: Any) -> None:
    """A chunk boundary must not hide a leading dot from the stuffing."""
    lines = [b"x" * (65536 - 40 + n) + b"\r\n.\r\n-ERR forged\r\n" for n in range(60)]
    mail.deliver("alice", *[b"Subject: x\r\n\r\n" + line for line in lines])
    client = await connect()
    for number in range(1, 61):
        body = (await client.command(f"RETR {number}")).split("\r\n")
        assert body.index(".") == len(body) - 1
        assert body[-2] == "-ERR forged"


async def test_deletion_happens_at_quit_only(mail: Any, client: Any, connect: Any) -> None:
    assert await client.command("DELE 1") == "+OK Marked to be deleted."
    assert await client.command("DELE 1") == "-ERR Message is deleted."
    assert await client.command("STAT") == f"+OK 1 {len(OTHER)}"
    client.session.lost()
    second = await connect()
    assert (await second.command("STAT")).startswith("+OK 2 ")
    await second.command("DELE 1")
    await second.command("RSET")
    assert (await second.command("STAT")).startswith("+OK 2 ")
    await second.command("DELE 1")
    assert await second.command("QUIT") == "+OK Logging out, messages deleted."
    assert second.wire.closed
    third = await connect()
    uidl = (await third.command("UIDL")).split("\r\n")
    assert uidl[1].startswith("1 00000002"), "the unique id of the other message stays"


async def test_order_and_uidl_of_another_server(mail: Any, connect: Any) -> None:
    """What Dovecot keeps in its uidlist of mail that was migrated, and how it numbers it."""
    maildir = mail.root / "alice" / "Maildir"
    for name in ("cur", "new", "tmp"):
        (maildir / name).mkdir(parents=True)
    fields = {1: "", 3: "Pold-3 ", 5: "O2 Pfive ", 6: "O1 ", 8: "Zq "}
    for uid in fields:
        (maildir / "cur" / f"170000000{uid}.M1P1.x:2,S").write_bytes(b"Subject: %d\n\n" % uid)
    lines = "".join(f"{uid} {extra}:170000000{uid}.M1P1.x\n" for uid, extra in fields.items())
    (maildir / "dovecot-uidlist").write_text("3 V1795344778 N9 Gec8597118ac9026b0d52000083ecc375\n" + lines)
    client = await connect()
    listed = (await client.command("UIDL")).split("\r\n")[1:-1]
    assert listed == ["1 000000066b02c98a", "2 five", "3 000000016b02c98a", "4 old-3", "5 000000086b02c98a"]


async def test_pipelining(client: Any) -> None:
    answer = await client.send(b"STAT\r\nRETR 2\r\nDELE 1\r\nNOOP\r\nQUIT\r\nNOOP\r\n")
    assert answer.endswith(b".\r\n+OK Marked to be deleted.\r\n+OK\r\n+OK Logging out, messages deleted.\r\n")


async def test_a_message_that_went_is_told(mail: Any, client: Any, connect: Any) -> None:
    other = await connect()
    await other.command("DELE 1")
    await other.command("QUIT")
    assert await client.command("RETR 1") == "-ERR Message 1 expunged."


async def test_attempts_of_one_connection_are_not_counted(connect: Any) -> None:
    client = await connect(None)
    for _ in range(15):
        assert await client.command("USER alice") == "+OK"
        assert await client.command("PASS wrong") == "-ERR [AUTH] Authentication failed."
    assert await client.command("USER alice") == "+OK"
    assert await client.command("PASS testpass") == "+OK Logged in."


async def test_too_many_bad_commands_before_a_log_in(connect: Any) -> None:
    client = await connect(None)
    assert (await client.send(b"FOO\r\n" * 30)).endswith(b"-ERR Too many invalid bad commands.\r\n")
    assert client.wire.closed


async def test_too_many_bad_commands(client: Any) -> None:
    answer = await client.send(b"FOO\r\n" * 30)
    assert answer.endswith(b"-ERR Too many bad commands.\r\n")
    assert client.wire.closed


@pytest.mark.parametrize(
    ("form", "value"),
    [("%08Xu%08Xv", "000000ff00000010"), ("%u.%v", "255.16"), ("%g", "1700.M1P1.host"), ("%f-%%", "1700.M1P1.host-%")],
)
def test_uidl_formats(form: str, value: str) -> None:
    assert unique_id(form, 255, 16, "1700.M1P1.host") == value


@given(st.binary(max_size=80), st.integers(0, 5))
def test_first_lines_is_a_prefix(data: bytes, count: int) -> None:
    assert data.startswith(first_lines(data, count))
