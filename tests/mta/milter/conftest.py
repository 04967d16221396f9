"""A content filter on a loopback port that answers as it is told and remembers what it was asked."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from mta.milter.protocol import Packet, Reader


class Filter:
    """`answers` by letter of the event; `b""` is no answer, None hangs up. `steps` is what it does not want."""

    def __init__(self) -> None:
        self.answers: dict[bytes, bytes | None] = {}
        self.steps = 0
        self.actions = 0x1FF
        self.seen: list[tuple[bytes, bytes]] = []
        self.writers: list[asyncio.StreamWriter] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        packets = Reader()
        while octets := await reader.read(65536):
            for packet in packets.feed(octets):
                self.seen.append((packet.letter, packet.data))
                answer = self.answer(packet)
                if answer is None:
                    writer.close()
                    return
                writer.write(answer)
        writer.close()

    def answer(self, packet: Packet) -> bytes | None:
        if packet.letter == b"O":
            return Packet(b"O", struct.pack(">III", 6, self.actions, self.steps)).encode()
        if packet.letter in (b"D", b"A", b"Q"):
            return b""
        return self.answers.get(packet.letter, Packet(b"c").encode())

    def letters(self) -> str:
        return b"".join(letter for letter, _ in self.seen).decode()


@pytest.fixture
async def content_filter() -> AsyncIterator[Filter]:
    peer = Filter()
    listener = await asyncio.start_server(peer.serve, "127.0.0.1", 0)
    peer.port = listener.sockets[0].getsockname()[1]
    yield peer
    listener.close()
    for writer in peer.writers:
        writer.transport.abort()
    for _ in range(3):
        await asyncio.sleep(0)
