"""One connection to one filter, with its time limits (milter_connect_timeout, _command_timeout, _content_timeout)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mta.config.lines import split_list
from mta.milter import protocol
from mta.milter.protocol import Action, Command, Packet, ProtocolError, Step

READ_CHUNK = 65536


class LinkFailed(Exception):
    """The filter cannot be asked: no connection, no answer in time, a broken answer."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a filter listens, and how it is treated."""

    title: str
    """As main.cf writes it, for the log."""
    path: str
    host: str
    port: int
    connect_timeout: float
    command_timeout: float
    content_timeout: float
    default_action: str

    @classmethod
    def parse(cls, text: str, base: Path, defaults: Endpoint) -> Endpoint:
        """`unix:path`, `inet:host:port` or `{ inet:host:port, default_action=accept, ... }`. Raises ValueError."""
        words = split_list(text[1:-1]) if text.startswith("{") else [text]
        if not words:
            raise ValueError("a filter without an address")
        options = dict(_option(word) for word in words[1:])
        kind, _, rest = words[0].partition(":")
        path, host, port = "", "", 0
        if kind in ("unix", "local") and rest:
            path = str(base / rest)
        elif kind in ("inet", "inet6"):
            host, _, number = rest.rpartition(":")
            if not host or not (number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536):
                raise ValueError(f"bad filter address: {words[0]}")
            host, port = host.strip("[]"), int(number)
        else:
            raise ValueError(f"bad filter address: {words[0]}")

        def seconds(name: str, default: float) -> float:
            value = options.pop(name, "")
            return float(_seconds(value)) if value else default

        endpoint = cls(
            words[0],
            path,
            host,
            port,
            seconds("connect_timeout", defaults.connect_timeout),
            seconds("command_timeout", defaults.command_timeout),
            seconds("content_timeout", defaults.content_timeout),
            options.pop("default_action", defaults.default_action).lower(),
        )
        options.pop("protocol", "")
        if options:
            raise ValueError(f"unknown filter option: {', '.join(sorted(options))}")
        if endpoint.default_action not in ("accept", "reject", "tempfail", "quarantine", "shutdown"):
            raise ValueError(f"bad default_action: {endpoint.default_action}")
        return endpoint


def _option(word: str) -> tuple[str, str]:
    name, equals, value = word.strip("{} ").partition("=")
    if not equals:
        raise ValueError(f"bad filter option: {word}")
    return name.strip(), value.strip()


def _seconds(text: str) -> int:
    from mta.config.values import seconds

    return int(seconds(text, "s"))


class Link:
    """The connection. Requests are made one after the other."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.actions = Action(0)
        self.steps = Step(0)
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._packets = protocol.Reader()
        self._waiting: list[Packet] = []

    async def open(self) -> None:
        """Connect and negotiate. Raises LinkFailed."""
        endpoint = self.endpoint
        try:
            async with asyncio.timeout(endpoint.connect_timeout):
                if endpoint.path:
                    self._reader, self._writer = await asyncio.open_unix_connection(endpoint.path)
                else:
                    self._reader, self._writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        except (OSError, TimeoutError) as error:
            raise LinkFailed(f"connect to Milter service {endpoint.title}: {str(error) or 'time limit'}") from error
        answer = await self.ask([protocol.options()], endpoint.command_timeout)
        if answer.letter != Command.OPTIONS.value:
            raise self._broken("no negotiation")
        try:
            self.actions, self.steps = protocol.parse_options(answer.data)
        except ProtocolError as error:
            raise self._broken(str(error)) from error

    def wants(self, command: Command) -> bool:
        return not (command in protocol.UNWANTED and protocol.UNWANTED[command] in self.steps)

    def answers(self, command: Command) -> bool:
        return not (command in protocol.UNANSWERED and protocol.UNANSWERED[command] in self.steps)

    async def ask(self, packets: Sequence[Packet], timeout: float) -> Packet:
        """Send, and wait for the next packet that is no sign of progress. Raises LinkFailed."""
        await self.tell(packets, timeout)
        while (answer := await self._next(timeout)).letter == b"p":
            pass
        return answer

    async def more(self, timeout: float) -> Packet:
        """The next packet of an answer that has several. Raises LinkFailed."""
        while (answer := await self._next(timeout)).letter == b"p":
            pass
        return answer

    async def tell(self, packets: Sequence[Packet], timeout: float) -> None:
        """Send something that is not answered. Raises LinkFailed."""
        if self._writer is None:
            raise LinkFailed(f"{self.endpoint.title}: not connected")
        try:
            async with asyncio.timeout(timeout):
                self._writer.write(b"".join(packet.encode() for packet in packets))
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise self._broken(str(error) or "time limit") from error

    async def _next(self, timeout: float) -> Packet:
        assert self._reader is not None
        while not self._waiting:
            try:
                async with asyncio.timeout(timeout):
                    octets = await self._reader.read(READ_CHUNK)
                self._waiting += self._packets.feed(octets)
            except (OSError, TimeoutError, ProtocolError) as error:
                raise self._broken(str(error) or "time limit") from error
            if not octets:
                raise self._broken("the filter has hung up")
        return self._waiting.pop(0)

    def _broken(self, reason: str) -> LinkFailed:
        self.close()
        return LinkFailed(f"milter {self.endpoint.title}: {reason}")

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
