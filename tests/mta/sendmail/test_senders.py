"""local_login_sender_maps: the patterns, as postdrop(1) of Postfix 3.7 understands them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.config import MainConfig
from mta.queue.tool import Fatal
from mta.sendmail import command, senders

NOBODY = pwd.getpwnam("nobody").pw_uid
MAPS = "inline:{ {nobody=me@example.com, @dom.example <> plain}, {root=*}, {uid:4000000=x} }"


@pytest.mark.parametrize(
    ("sender", "uid", "may"),
    [
        ("me@example.com", NOBODY, True),
        ("ME@Example.com", NOBODY, True),
        ("me+x@example.com", NOBODY, True),
        ("you@example.com", NOBODY, False),
        ("a@dom.example", NOBODY, True),
        ("a@sub.dom.example", NOBODY, False),
        ("", NOBODY, True),
        ("plain", NOBODY, True),
        ("plain+x", NOBODY, True),
        ("plain@mx.example.com", NOBODY, False),
        ("nobody", NOBODY, False),
        ("who@ever.example", 0, True),
        ("x", 4000000, True),
        ("y", 4000000, False),
        ("y", 4000001, False),
    ],
)
async def test_patterns(confdir: Callable[..., Path], sender: str, uid: int, may: bool) -> None:
    config = MainConfig.load(confdir(local_login_sender_maps=MAPS, recipient_delimiter="+"))
    if may:
        await senders.check(config, sender, uid)
        return
    with pytest.raises(Fatal, match="not authorized to use sender="):
        await senders.check(config, sender, uid)


def test_sendmail_asks(confdir: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(confdir(local_login_sender_maps="static:@dom.example"))
    assert command.main(["-C", directory, "-bv", "-f", "you@example.com", "x@y.example"]) == os.EX_TEMPFAIL
    refusal = f"sendmail: fatal: you@example.com({os.getuid()}): not authorized to use sender='you@example.com'\n"
    assert capsys.readouterr().err == refusal
    assert command.main(["-C", directory, "-bv", "-f", "you@dom.example", "x@y.example"]) == os.EX_OK


async def test_everybody_may_say_anything_where_nothing_is_set(confdir: Callable[..., Path]) -> None:
    await senders.check(MainConfig.load(confdir()), "who@ever.example", NOBODY)
