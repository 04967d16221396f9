"""virtual(8): mailboxes by table."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mta.address import Resolver
from mta.config import MainConfig
from mta.delivery.host.virtual import Virtual, VirtualSettings
from tests.mta.delivery.host.letters import ME, request


async def deliver(
    place: Path, *recipients: str, content: bytes = b"Subject: x\r\n\r\nFrom y\r\n", **more: str
) -> list[tuple[str, str]]:
    base = place / "base"
    base.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(base, ME.uid, ME.gid)
    given = {
        "virtual_mailbox_domains": "v.example",
        "virtual_mailbox_base": str(base),
        "virtual_mailbox_maps": "inline:{joe@v.example=joe, ann@v.example=ann/, up@v.example=../up, @w.example=all}",
        "virtual_uid_maps": f"static:{ME.uid}",
        "virtual_gid_maps": f"static:{ME.gid}",
        "virtual_minimum_uid": str(min(ME.uid, 100)),
        "recipient_delimiter": "+",
        **more,
    }
    (place / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in given.items()))
    config = MainConfig.load(place)
    agent = Virtual(VirtualSettings.from_config(config), Resolver(config).search)
    return [(r.steps[0].dsn, r.steps[0].reason) for r in await agent.reports(request(*recipients, content=content))]


async def test_mailbox_and_maildir(place: Path) -> None:
    told = await deliver(place, "Joe@v.example", "joe+x@v.example", "ann@v.example", "any@w.example")
    assert told == [("2.0.0", f"delivered to {kind}") for kind in ("mailbox", "mailbox", "maildir", "mailbox")]
    text = (place / "base/joe").read_text()
    assert text.count("\nDelivered-To: ") == 2
    assert "\n>From y\n\n" in text
    [message] = (place / "base/ann/new").iterdir()
    assert "\nFrom y\n" in message.read_text()


@pytest.mark.parametrize(
    ("who", "settings", "outcome"),
    [
        ("no@v.example", {}, ("5.1.1", 'unknown user: "no@v.example"')),
        ("up@v.example", {}, ("4.3.5", "mail system configuration error")),
        ("joe@v.example", {"virtual_minimum_uid": "70000"}, ("4.3.5", "mail system configuration error")),
        ("joe@v.example", {"virtual_uid_maps": ""}, ("4.3.5", "mail system configuration error")),
        ("joe@v.example", {"virtual_gid_maps": "static:0"}, ("4.3.5", "mail system configuration error")),
        ("joe@v.example", {"virtual_uid_maps": "static:12x"}, ("4.3.5", "mail system configuration error")),
        ("joe@v.example", {"virtual_mailbox_maps": "hash:/no/such"}, ("4.3.5", "mail system configuration error")),
    ],
)
async def test_what_does_not_end_in_a_mailbox(
    place: Path, who: str, settings: dict[str, str], outcome: tuple[str, str]
) -> None:
    assert await deliver(place, who, **settings) == [outcome]


async def test_loops_end(place: Path) -> None:
    told = await deliver(place, "joe@v.example", content=b"Delivered-To: JOE@v.example\r\n\r\n")
    assert told == [("5.4.6", "mail forwarding loop for joe@v.example")]


async def test_a_base_that_is_not_there_keeps_the_mail(place: Path) -> None:
    [(dsn, reason)] = await deliver(place, "joe@v.example", virtual_mailbox_base="/no/such/base")
    assert dsn == "4.2.0"
    assert reason.startswith(
        "cannot update mailbox /no/such/base/joe for user joe@v.example. unable to create lock file"
    )


async def test_a_limit_below_one_message_is_a_mistake(place: Path) -> None:
    with pytest.raises(ValueError, match="smaller than message_size_limit"):
        await deliver(place, "joe@v.example", virtual_mailbox_limit="1000")
