"""anvil(8): the statistics, the protocol whole and in pieces, and one count over many processes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.anvil import AnvilClient, Counters
from mta.anvil.protocol import RECORD_LIMIT, AnvilError, RecordReader, write
from mta.anvil.service import AnvilServer


def test_counts_and_rates() -> None:
    now = 0.0
    counters = Counters(60.0, lambda: now)
    assert counters.register("connect", "smtp:192.0.2.1") == (1, 1)
    assert counters.register("connect", "smtp:192.0.2.1") == (2, 2)
    assert counters.register("connect", "smtp:192.0.2.2") == (1, 1)
    counters.disconnect("smtp:192.0.2.1")
    counters.disconnect("smtp:192.0.2.9")
    assert counters.register("connect", "smtp:192.0.2.1") == (2, 3)
    now = 60.0
    assert counters.register("connect", "smtp:192.0.2.1") == (3, 1)


TEXT = st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), max_size=40)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,10}", fullmatch=True), TEXT, min_size=1, max_size=5), st.data())
def test_a_record_survives_every_cut(record: dict[str, str], data: st.DataObject) -> None:
    wire = write(**record)
    cut = data.draw(st.integers(0, len(wire)))
    reader = RecordReader()
    assert reader.feed(wire[:cut]) + reader.feed(wire[cut:]) == [record]


@given(st.binary(max_size=3 * RECORD_LIMIT))
def test_only_the_typed_error_escapes(octets: bytes) -> None:
    with suppress(AnvilError):
        RecordReader().feed(octets)


def test_a_record_without_end_is_not_kept() -> None:
    with pytest.raises(AnvilError):
        RecordReader().feed(b"request=" + b"x" * RECORD_LIMIT)


@asynccontextmanager
async def serving(place: Path) -> AsyncIterator[Path]:
    path = place / "anvil"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    listener.setblocking(False)
    server = AnvilServer(60.0)
    await server.listen([listener])
    try:
        yield path
    finally:
        server.close()


async def test_ten_are_ten_over_four_processes(place: Path) -> None:
    async with serving(place) as path:
        workers = [AnvilClient(path) for _ in range(4)]
        counts = await asyncio.gather(*(worker.register("connect", "smtp:a") for worker in workers for _ in range(10)))
        assert sorted(count.open for count in counts) == list(range(1, 41))
        for worker in workers:
            worker.close()


async def test_a_worker_that_dies_gives_its_connections_back(place: Path) -> None:
    async with serving(place) as path:
        dying, living = AnvilClient(path), AnvilClient(path)
        for _ in range(5):
            await dying.register("connect", "smtp:a")
        await living.register("connect", "smtp:a")
        dying.disconnect("smtp:a")
        assert (await living.register("connect", "smtp:a")).open == 6
        dying.close()
        while (await living.register("connect", "smtp:a")).open > 4:
            living.disconnect("smtp:a")
            await asyncio.sleep(0)
        living.close()


async def test_a_service_that_is_not_there_is_an_os_error(place: Path) -> None:
    with pytest.raises(OSError):
        await AnvilClient(place / "nothing").register("connect", "smtp:a")


async def test_nonsense_ends_the_connection(place: Path) -> None:
    async with serving(place) as path:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b"request=fly\nident=x\n\n")
        assert await reader.readuntil(b"\n\n") == b"status=-1\n\n"
        writer.write(b"nonsense\n\n")
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
