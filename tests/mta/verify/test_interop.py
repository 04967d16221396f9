"""Address verification beside real Postfix: the same next server, the same questions, the same replies."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.interop import realpostfix
from tests.mta.verify.conftest import MAIN, Stack

pytestmark = [
    pytest.mark.interop,
    pytest.mark.needs_root,
    pytest.mark.needs("postfix", "postfix"),
]

ADDRESSES = [
    *("yes@b.example", "no@b.example", "late@b.example", "alias@b.example", "pair@b.example"),
    *("error@error.example", "retry@retry.example", "gone@discard.example"),
]
ROUTES = (
    "address_verify_transport_maps = inline:{{error.example=error:5.1.2 no mail here}, "
    "{retry.example=retry:4.1.2 not now}, {discard.example=discard:nothing}}\n"
)


async def replies(port: int) -> dict[str, str]:
    """What is said to RCPT for each address, all asked at once."""

    async def rcpt(address: str) -> str:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO x\r\n")
        async with asyncio.timeout(30):
            while not (await reader.readline()).startswith(b"250 "):
                pass
            writer.write(f"MAIL FROM:<>\r\nRCPT TO:<{address}>\r\nQUIT\r\n".encode())
            lines = (await reader.read()).decode().split("\r\n")
        writer.close()
        return lines[1]

    return dict(zip(ADDRESSES, await asyncio.gather(*map(rcpt, ADDRESSES)), strict=True))


async def test_the_same_replies_as_postfix(
    stack_with: Callable[[str], Any],
    heard: tuple[list[str], int],
    tmp_path: Path,
    place: Path,
    peer: Callable[[str, str], str],
) -> None:
    ours: Stack = await stack_with(ROUTES)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = re.sub(
        r"(?m)^(?:compatibility_level|queue_directory|data_directory|inet_interfaces|alias_\w+) =.*\n", "", MAIN
    )
    main = settings.format(place=place, port=heard[1]) + ROUTES

    def started() -> Any:
        return realpostfix.running(
            peer("postfix", "postfix"), place / "real", f"127.0.0.1:{port} inet n - n - - smtpd\n", main
        )

    real = started()
    await asyncio.to_thread(real.__enter__)
    try:
        theirs = await replies(port)
        theirs = await replies(port) if any("in progress" in each for each in theirs.values()) else theirs
    finally:
        await asyncio.to_thread(real.__exit__, None, None, None)
    assert await replies(ours.port) == theirs
    assert theirs["yes@b.example"] == "250 2.1.5 Ok"
    assert "unverified address: host 127.0.0.1[127.0.0.1] said: 550 5.1.1 no such user" in theirs["no@b.example"]
    assert not any(line == "DATA" for line in heard[0])
