"""IMAP before a user has logged in: what is announced, how one logs in, and what strangers may not do."""

from __future__ import annotations

from typing import Any


async def test_the_greeting_lists_the_capabilities(connect: Any) -> None:
    client = await connect(user=None)
    greeting = client.greeting
    assert greeting.startswith(
        b"* OK [CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH="
    )
    assert await client.lines("CAPABILITY") == [
        "* CAPABILITY IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=CRAM-MD5",
        "OK Pre-login capabilities listed, post-login capabilities have more.",
    ]


async def test_wrong_password(connect: Any) -> None:
    client = await connect(user=None)
    for _ in range(15):  # on one connection as many as a client likes: the auth service slows them down
        assert await client.lines("LOGIN alice wrong") == ["NO [AUTHENTICATIONFAILED] Authentication failed."]
    assert (await client.lines("LOGIN alice testpass"))[-1].endswith("Logged in")


async def test_sasl_with_and_without_initial_response(connect: Any) -> None:
    client = await connect(user=None)
    assert await client.send(b"a AUTHENTICATE PLAIN\r\n") == b"+ \r\n"
    assert b"a OK [CAPABILITY" in await client.send(b"AGFsaWNlAHRlc3RwYXNz\r\n")
    other = await connect(user=None)
    assert b" OK [CAPABILITY" in await other.command("AUTHENTICATE PLAIN AGFsaWNlAHRlc3RwYXNz")


async def test_sasl_is_cancelled_by_a_star_and_refuses_garbage(connect: Any) -> None:
    client = await connect(user=None)
    await client.send(b"a AUTHENTICATE PLAIN\r\n")
    assert await client.send(b"*\r\n") == b"a BAD Authentication aborted by client.\r\n"
    await client.send(b"b AUTHENTICATE PLAIN\r\n")
    assert (await client.send(b"!!\r\n")).startswith(b"b NO [ALERT] ")
    assert (await client.command("AUTHENTICATE XYZZY")).startswith(
        b"t1 NO [ALERT] Unsupported authentication mechanism."
    )


async def test_plaintext_is_refused_without_tls_from_elsewhere(mail: Any, connect: Any) -> None:
    client = await connect(user=None, wire=mail.wire(remote=("127.0.0.2", 9)))
    assert b"LOGINDISABLED AUTH=CRAM-MD5]" in client.greeting
    lines = await client.lines("LOGIN alice testpass")
    assert lines[0].startswith("* BAD [ALERT] Plaintext authentication not allowed without SSL/TLS")
    assert lines[1].startswith("NO [PRIVACYREQUIRED] ")
    assert (await client.lines("AUTHENTICATE PLAIN AGFsaWNlAHRlc3RwYXNz"))[0].startswith("NO [PRIVACYREQUIRED]")


async def test_the_weakened_twin_takes_the_password(mail: Any, connect: Any) -> None:
    client = await connect(user=None, wire=mail.wire(remote=("127.0.0.2", 9)), disable_plaintext_auth=False)
    assert b"LOGINDISABLED" not in client.greeting
    assert (await client.lines("LOGIN alice testpass"))[-1].endswith("Logged in")


async def test_three_bad_commands_before_login_end_the_connection(connect: Any) -> None:
    client = await connect(user=None)
    assert await client.lines("FOO") == ["BAD Error in IMAP command received by server."]
    assert await client.lines("BAR") == ["BAD Error in IMAP command received by server."]
    assert await client.command("BAZ") == b"* BYE Too many invalid IMAP commands.\r\n"
    assert client.wire.closed


async def test_no_big_literal_before_login(connect: Any) -> None:
    client = await connect(user=None)
    assert await client.send(b"a LOGIN {5}\r\n") == b"+ OK\r\n"
    other = await connect(user=None)
    assert await other.send(b"a LOGIN {100000}\r\n") == b"* BYE Literal size too large\r\n"
    assert other.wire.closed


async def test_no_long_line_before_login(connect: Any) -> None:
    client = await connect(user=None)
    assert await client.send(b"a LOGIN " + b"x" * 5000 + b" y\r\n") == b"* BYE Too long argument.\r\n"
