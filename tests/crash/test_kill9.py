"""SIGKILL at random moments, to the supervisors and to each service in turn, and a full disk: nothing answered 250 is lost.

A duplicate is no fault: when a process dies between the last octet of a mail and its 250, or between a delivery and the
note of it, nobody can know more than that the mail may have to be sent again (RFC 5321 section 4.2.5). They are counted by place.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
from collections import Counter
from pathlib import Path

import pytest

from tests.crash.havoc import LOOK_AGAIN_SECONDS, SERVICES, Arrived, Disk, Load, Stack, havoc

MAILS, CONNECTIONS = 2000, 20
ALL_SECONDS = 300.0
# So long no further mail may arrive before the rest counts as lost.
PATIENCE_SECONDS = 30

SOAK_MAILS, SOAK_KILLS, SOAK_FULL, SOAK_SECONDS = 20_000, 200, 2, 1500.0
FULL_SECONDS = 4.0
DISK = "size=1500m,mode=755"


async def storm(stack: Stack, seed: int, mails: int, kills: int, disk: Disk | None = None) -> tuple[Load, Counter[str]]:
    """Clients send and processes die until there were enough of both; the disk is filled up in between."""
    load, dice, full = Load(stack), random.Random(seed), False
    struck: Counter[str] = Counter()

    def done(killed: Counter[str]) -> bool:
        struck.update(killed - struck)
        return len(load.accepted) >= mails and killed.total() >= kills and set(killed) >= SERVICES and not full

    async def fill_up() -> None:
        nonlocal full
        for turn in range(1, SOAK_FULL + 1):
            while struck.total() < kills * turn // (SOAK_FULL + 1):
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
            full, refused = True, load.replies.total()
            assert disk is not None
            await disk.fill_up(FULL_SECONDS, lambda before=refused: load.replies.total() >= before + CONNECTIONS)
            full = False

    over = asyncio.Event()

    def allowed() -> float:
        # The mail is spread over the kills.
        return mails * (struck.total() + 1) / kills if kills and not full else math.inf

    senders = [asyncio.create_task(load.send(over.is_set, allowed)) for _ in range(CONNECTIONS)]
    filling = asyncio.create_task(fill_up()) if disk else None
    killed = await havoc(stack, dice, done, spare=lambda: full)
    over.set()
    await asyncio.gather(*senders, *([filling] if filling else []))
    return load, killed


async def settled(stack: Stack, mail_root: Path, load: Load) -> tuple[list[str], Arrived]:
    """What is lost once everything is delivered, or nothing moves for a while."""
    lab = stack.lab or await stack.start()
    await lab.hardmail("postqueue", "-c", str(stack.directory / "nullclient"), "-f")
    patience, before = 0.0, -1
    while True:
        arrived = Arrived.read(mail_root)
        lost = [token for token in load.accepted if token not in arrived.copies]
        patience = patience + 1 if len(lost) == before else 0
        if not lost or patience > PATIENCE_SECONDS:
            return lost, arrived
        before = len(lost)
        await asyncio.sleep(1)


def report(seed: int, load: Load, killed: Counter[str], lost: list[str], arrived: Arrived) -> str:
    """The figures, for people."""
    return (
        f"\nkill -9 (seed {seed}): {len(load.accepted)} mails answered 250, {killed.total()} processes killed "
        f"{dict(killed)}, lost {len(lost)}, duplicates {dict(arrived.duplicates())}, refusals {dict(load.replies)}"
    )


@pytest.mark.slow
async def test_no_accepted_mail_is_lost(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.randrange(1 << 32)
    stack = Stack(place / "lab")
    await stack.start()
    try:
        async with asyncio.timeout(ALL_SECONDS):
            load, killed = await storm(stack, seed, MAILS, 0)
            lost, arrived = await settled(stack, stack.directory / "var/mailhost/mail", load)
    finally:
        await stack.stop()
    with capsys.disabled():
        print(report(seed, load, killed, lost, arrived))
    assert len(load.accepted) >= MAILS
    assert not lost


@pytest.mark.soak
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts file systems")
async def test_nothing_is_lost_in_the_long_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20,000 mails, 200 kills, the disk full twice: `pytest -m soak tests/crash` (about five minutes)."""
    seed = random.randrange(1 << 32)
    async with Disk.mounted(place, DISK) as disk:
        options = (
            "--set",
            "nullclient/main.cf:message_size_limit = 51200",
        )  # little is kept free: the disk itself runs full
        stack = Stack(place / "lab", *options, prefix=disk.prefix)
        await stack.start()
        try:
            async with asyncio.timeout(SOAK_SECONDS):
                load, killed = await storm(stack, seed, SOAK_MAILS, SOAK_KILLS, disk)
                lost, arrived = await settled(stack, disk.directory / "lab/var/mailhost/mail", load)
        finally:
            await stack.stop()
    with capsys.disabled():
        print(report(seed, load, killed, lost, arrived))
    assert len(load.accepted) >= SOAK_MAILS
    assert killed.total() >= SOAK_KILLS
    assert not lost
