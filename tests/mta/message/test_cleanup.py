"""The pipeline with main.cf's rules: what is submitted, and what goes into the queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mta.config import MainConfig
from mta.message import Cleanup, Rejected, Submission
from mta.message.rewriting import masquerade
from mta.message.settings import rules_from
from mta.queue import NewMessage, Notify, Recipient

MAIN_CF = """
compatibility_level = 3.6
myhostname = mx.example.com
mydomain = example.com
myorigin = $mydomain
mydestination = $myhostname, $mydomain
alias_maps =
alias_database =
"""
RECEIVED = b"Received: from x (y [192.0.2.1])\r\n\tby mx.example.com (Postfix) with ESMTP id QID;\r\n\tdate\r\n"


@pytest.fixture
def process(tmp_path: Path) -> Any:
    async def run(
        settings: str = "", content: bytes = b"Subject: x\r\n\r\nbody\r\n", **submission: Any
    ) -> NewMessage | None:
        (tmp_path / "main.cf").write_text(f"queue_directory = {tmp_path}\n{MAIN_CF}\n{settings}\n")
        cleanup = Cleanup(rules_from(MainConfig.load(tmp_path)), clock=lambda: 1_800_000_000.0)
        values: dict[str, Any] = {
            "sender": "a@b.example",
            "recipients": [Recipient("alice@example.com")],
            "local": False,
        }
        return await cleanup.process(Submission("QID", content=content, received=RECEIVED, **{**values, **submission}))

    return run


MULTIPART = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n%b\r\n\r\n%b\r\n--b--\r\n"
"""Takes a field of the part's header and its body."""


async def test_remote_mail_is_only_traced(process: Any) -> None:
    message = await process(content=b"From: x\r\nTo: y\r\n\r\nbody\r\n")
    assert message.content == RECEIVED + b"From: x\r\nTo: y\r\n\r\nbody\r\n"
    assert message.recipients == [Recipient("alice@example.com", "alice@example.com", "rfc822;alice@example.com")]


async def test_local_mail_is_completed(process: Any) -> None:
    message = await process(content=b"From: A Person <alice>\r\nTo: bob, carol@host.example\r\n\r\n", local=True)
    header = message.content.removeprefix(RECEIVED)
    assert header.startswith(b"From: A Person <alice@example.com>\r\nTo: bob@example.com,")
    assert b"\r\nMessage-Id: <20270115080000.QID@mx.example.com>\r\nDate: " in header


async def test_fields_of_which_nothing_changes_stay_as_they_were_written(process: Any) -> None:
    written = b'To:   "Doe,  J" <j@d.example> (comment),\r\n\tk@d.example\r\n'
    message = await process(content=written + b"\r\n", local=True)
    assert written in message.content


async def test_quoted_local_parts_stay_quoted(process: Any) -> None:
    message = await process(content=b'To: bob, "b c"@example.com\r\n\r\n', local=True)
    assert b'To: bob@example.com,\r\n\t"b c"@example.com\r\n' in message.content


async def test_private_fields_are_dropped(process: Any) -> None:
    message = await process(content=b"Bcc: secret@b.example\r\nReturn-Path: <x>\r\nContent-Length: 5\r\nTo: y\r\n\r\n")
    assert message.content == RECEIVED + b"To: y\r\n\r\n"


async def test_stray_carriage_returns_become_blanks(process: Any) -> None:
    message = await process(content=b"Subject: a\rb\r\n\r\nc\rd\r\r\n")
    assert message.content.endswith(b"Subject: a b\r\n\r\nc d \r\n")


async def test_prepended_fields_stand_above_received(process: Any) -> None:
    message = await process(prepend=["X-One: 1", "X-Two: 2"])
    assert message.content.startswith(b"X-One: 1\r\nX-Two: 2\r\nReceived: ")


async def test_eight_bits_are_declared(process: Any) -> None:
    assert (await process(content=b"Content-Transfer-Encoding: 8bit\r\n\r\n\xfc\r\n")).body == "8BITMIME"
    assert (await process(body="7BIT")).body == "7BIT"


async def test_too_many_hops(process: Any) -> None:
    with pytest.raises(Rejected, match=r"554 5\.4\.0 Error: too many hops"):
        await process("hopcount_limit = 3", b"Received: 1\r\nReceived: 2\r\n\r\n")
    assert await process("hopcount_limit = 4", b"Received: 1\r\nReceived: 2\r\n\r\n")


def addresses(message: NewMessage) -> list[tuple[str, str]]:
    return [(recipient.address, recipient.original) for recipient in message.recipients]


async def test_virtual_aliases(process: Any) -> None:
    maps = "virtual_alias_maps = inline:{{team@example.com = bob, carol@far.example}, {bob@example.com = robert}}"
    message = await process(maps, recipients=[Recipient("team@example.com"), Recipient("robert@example.com")])
    assert addresses(message) == [
        ("robert@example.com", "team@example.com"),
        ("carol@far.example", "team@example.com"),
        ("robert@example.com", "robert@example.com"),
    ]


async def test_expanded_aliases_are_told_of(process: Any) -> None:
    """RFC 3461 section 5.2.7: an alias that is expanded ends the sender's wish to hear of success."""
    maps = "virtual_alias_maps = inline:{{team@example.com = bob, carol@far.example}}"
    asked = [Recipient("team@example.com", notify=Notify.SUCCESS), Recipient("dave@example.com", notify=Notify.SUCCESS)]
    message = await process(maps, recipients=asked)
    assert [(each.address, each.notify) for each in message.recipients] == [
        ("bob@example.com", Notify.NEVER),
        ("carol@far.example", Notify.NEVER),
        ("dave@example.com", Notify.SUCCESS),
    ]
    assert [each.address for each in message.expanded] == ["team@example.com"]


async def test_canonical_forms(process: Any) -> None:
    settings = """
canonical_maps = inline:{{al@example.com = alice@example.com}}
sender_canonical_maps = inline:{{bo@example.com = bob@example.com}}
recipient_canonical_maps = inline:{{bo@example.com = robert@example.com}}
"""
    content = b"From: bo\r\nTo: bo, al\r\n\r\n"
    message = await process(
        settings, content, sender="bo@example.com", recipients=[Recipient("bo"), Recipient("al")], local=True
    )
    assert message.sender == "bob@example.com"
    assert [recipient.address for recipient in message.recipients] == ["robert@example.com", "alice@example.com"]
    header = message.content.removeprefix(RECEIVED).replace(b"\r\n\t", b" ")
    assert header.startswith(b"From: bob@example.com\r\nTo: robert@example.com, alice@example.com\r\n")


async def test_masquerading(process: Any) -> None:
    message = await process(
        "masquerade_domains = example.com", b"From: a@host.example.com\r\n\r\n", sender="a@host.example.com", local=True
    )
    assert message.sender == "a@example.com"
    assert b"From: a@example.com\r\n" in message.content


@pytest.mark.parametrize("exceptions", ["root, Keep", "inline:{keep=x}"])
async def test_masquerading_has_exceptions(process: Any, exceptions: str) -> None:
    message = await process(
        f"masquerade_domains = example.com\nmasquerade_exceptions = {exceptions}",
        b"From: Keep@host.example.com, a@host.example.com\r\n\r\n",
        local=True,
    )
    assert b"From: Keep@host.example.com,\r\n\ta@example.com\r\n" in message.content


@pytest.mark.parametrize(
    ("address", "result"),
    [
        ("a@b.foo.example", "a@foo.example"),
        ("a@foo.example", "a@foo.example"),
        ("a@xfoo.example", "a@xfoo.example"),
        ("a@c.host.example", "a@c.host.example"),
        ("plain", "plain"),
    ],
)
def test_masquerade_rules(address: str, result: str) -> None:
    assert masquerade(address, ["foo.example", "!host.example"]) == result


async def test_automatic_copies(process: Any) -> None:
    settings = """
always_bcc = archive@example.com
sender_bcc_maps = inline:{{a@b.example = boss@b.example}}
recipient_bcc_maps = inline:{{@example.com = log@example.com}}
"""
    message = await process(settings)
    assert {(each.address, each.notify) for each in message.recipients} == {
        ("alice@example.com", Notify.DEFAULT),
        ("archive@example.com", Notify.NEVER),
        ("boss@b.example", Notify.NEVER),
        ("log@example.com", Notify.NEVER),
    }


async def test_checks_decide_about_the_message(process: Any) -> None:
    assert await process("header_checks = regexp:{{/^Subject: x/ DISCARD}}") is None
    assert (await process("header_checks = regexp:{{/^Subject: x/ HOLD}}")).hold
    assert (await process("header_checks = regexp:{{/^Subject: x/ FILTER f:x}}")).filter == "f:x"
    redirected = await process("body_checks = regexp:{{/^body/ REDIRECT bob@example.com}}")
    assert addresses(redirected) == [("bob@example.com", "alice@example.com")]
    with pytest.raises(Rejected, match=r"550 5\.7\.1 message content rejected"):
        await process("body_checks = regexp:{{/^body/ REJECT}}")


async def test_what_passes_is_not_inspected_further(process: Any) -> None:
    passing = (
        "header_checks = regexp:{{/^Subject: x/ PASS}, {/^X-Bad/ REJECT}}\nbody_checks = regexp:{{/^body/ REJECT}}"
    )
    assert await process(passing, b"Subject: x\r\nX-Bad: 1\r\n\r\nbody\r\n")
    with pytest.raises(Rejected):
        await process(passing, b"Subject: y\r\n\r\nbody\r\n")


@pytest.mark.parametrize(
    ("setting", "content", "complaint"),
    [
        ("strict_7bit_headers", b"Subject: gr\xfcn\r\n\r\n", "8-bit data in message header"),
        ("strict_7bit_headers", b"Subject: x\r\n\r\ngr\xfcn\r\n", None),
        ("strict_8bitmime_body", b"Subject: gr\xfcn\r\n\r\n", None),
        ("strict_8bitmime_body", b"Subject: x\r\n\r\ngr\xfcn\r\n", "8-bit data in message body"),
        ("strict_8bitmime", b"Subject: x\r\n\r\ngr\xfcn\r\n", "8-bit data in message body"),
        ("strict_8bitmime_body", b"Content-Transfer-Encoding: 8bit\r\n\r\ngr\xfcn\r\n", None),
        ("strict_8bitmime_body", MULTIPART % (b"Content-Transfer-Encoding: 8bit", b"gr\xfcn"), None),
        ("strict_8bitmime_body", MULTIPART % (b"X-Some: thing", b"gr\xfcn"), "8-bit data in message body"),
        ("strict_7bit_headers", MULTIPART % (b"Content-Description: gr\xfcn", b"x"), "8-bit data in message header"),
        ("strict_mime_encoding_domain", b"Content-Transfer-Encoding: base64\r\n" + MULTIPART % (b"", b""), "domain"),
        ("strict_mime_encoding_domain", b"Content-Transfer-Encoding: 8bit\r\n" + MULTIPART % (b"", b""), None),
    ],
)
async def test_strict_about_eight_bits(process: Any, setting: str, content: bytes, complaint: str | None) -> None:
    assert await process("", content)
    if complaint is None:
        assert await process(f"{setting} = yes", content)
    else:
        with pytest.raises(Rejected, match=f"550 5\\.6\\.0 i.*{complaint}"):
            await process(f"{setting} = yes", content)


async def test_characters_that_may_not_travel(process: Any) -> None:
    message = await process(r"message_strip_characters = \0", b"Subject: a\0b\r\n\r\n")
    assert b"Subject: ab\r\n" in message.content
    with pytest.raises(Rejected, match=r"550 5\.7\.1 disallowed character"):
        await process(r"message_reject_characters = \0", b"Subject: a\0b\r\n\r\n")
