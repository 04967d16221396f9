"""All filters of a session in order, and what their answers mean for the client and for the message."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.milter import protocol
from mta.milter.edits import Edits
from mta.milter.link import Endpoint, Link, LinkFailed
from mta.milter.macros import MacroNames
from mta.milter.protocol import Command, Packet, ProtocolError

log = logging.getLogger("postfix.smtpd")

MacroValues = Callable[[str], str | None]
"""The value of a macro by its name, None where it has none."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a filter wants; `code` is 0 for hold and discard, which refuse nothing."""

    code: int = 0
    status: str = ""
    text: str = ""
    hold: bool = False
    discard: bool = False


TEMPFAIL: Final = Verdict(451, "4.7.1", "Service unavailable - try again later")
REJECT: Final = Verdict(550, "5.7.1", "Command rejected")
SHUTDOWN: Final = Verdict(421, "4.7.0", "Server closing connection")
UNAVAILABLE: Final = Verdict(550, "5.5.0", "Service unavailable")
HOLD: Final = Verdict(hold=True)
DISCARD: Final = Verdict(discard=True)

_ANSWERS: Final = {b"r": REJECT, b"t": TEMPFAIL, b"4": SHUTDOWN, b"d": DISCARD}
MISCONFIGURED: Final = Verdict(451, "4.3.5", "Server configuration problem - try again later")
_DEFAULTS: Final = {"tempfail": TEMPFAIL, "reject": UNAVAILABLE, "shutdown": MISCONFIGURED, "quarantine": HOLD}
"""milter_default_action; Postfix 3.7 documents `shutdown` and does not know it."""
_REPLY: Final = re.compile(r"([45]\d\d)[ -](?:([45]\.\d{1,3}\.\d{1,3}) ?)?(.*)", re.DOTALL)


class Filters:
    """The filters of one parameter; false when there are none."""

    def __init__(self, endpoints: Sequence[Endpoint], names: MacroNames) -> None:
        self.endpoints = tuple(endpoints)
        self.names = names

    def __bool__(self) -> bool:
        return bool(self.endpoints)

    @classmethod
    def from_config(cls, config: MainConfig, parameter: str) -> Filters:
        """Raises ConfigErrors for every address or option that cannot be understood."""
        return cls.of(config, parameter, config.list(parameter))

    @classmethod
    def of(cls, config: MainConfig, parameter: str, words: Sequence[str]) -> Filters:
        """The filters that words name; raises ConfigErrors that blame the parameter."""
        defaults = Endpoint(
            "",
            "",
            "",
            0,
            config.seconds("milter_connect_timeout"),
            config.seconds("milter_command_timeout"),
            config.seconds("milter_content_timeout"),
            config.str("milter_default_action").lower(),
        )
        endpoints, errors = [], []
        for word in words:
            try:
                endpoints.append(Endpoint.parse(word, Path(config.str("queue_directory")), defaults))
            except ValueError as error:
                errors.append(ConfigError(config.where(parameter), f"{parameter}: {error}"))
        if errors:
            raise ConfigErrors(errors)
        return cls(endpoints, MacroNames.from_config(config))

    def chain(self, values: MacroValues, *, brackets: bool = True) -> Chain:
        """`brackets`: addresses are told as in SMTP, `<user@example.com>`."""
        return Chain([_Filter(Link(endpoint)) for endpoint in self.endpoints], self.names, values, brackets)


@dataclass(slots=True)
class _Filter:
    """One filter in one session."""

    link: Link
    opened: bool = False
    done_with_session: bool = False
    done_with_message: bool = False
    failure: Verdict | None = None
    """What is answered for a filter that cannot be asked any more."""

    @property
    def active(self) -> bool:
        return not (self.done_with_session or self.done_with_message)


class Chain:
    """The filters of one session."""

    def __init__(
        self, filters: Sequence[_Filter], names: MacroNames, values: MacroValues, brackets: bool = True
    ) -> None:
        self._filters = filters
        self._address = "<{}>" if brackets else "{}"
        self._names = names
        self._values = values
        self._in_message = False

    async def connect(self, name: str, address: str, port: int) -> Verdict | None:
        return await self._event(Command.CONNECT, [protocol.connect(name, address, port)])

    async def helo(self, name: str) -> Verdict | None:
        return await self._event(Command.HELO, [Packet(Command.HELO.value, protocol.strings(name))])

    async def mail(self, sender: str, parameters: Sequence[str]) -> Verdict | None:
        self._new_message()
        self._in_message = True
        return await self._event(
            Command.MAIL, [protocol.envelope(Command.MAIL, self._address.format(sender), parameters)]
        )

    async def rcpt(self, recipient: str, parameters: Sequence[str]) -> Verdict | None:
        return await self._event(
            Command.RCPT, [protocol.envelope(Command.RCPT, self._address.format(recipient), parameters)]
        )

    async def data(self) -> Verdict | None:
        return await self._event(Command.DATA, [Packet(Command.DATA.value)])

    async def unknown(self, line: str) -> Verdict | None:
        return await self._event(Command.UNKNOWN, [Packet(Command.UNKNOWN.value, protocol.strings(line))])

    async def content(self, edits: Edits) -> Verdict | None:
        """The whole message to each filter in turn; a later filter sees what an earlier one made of it."""
        self._in_message = False
        for each in self._filters:
            if not each.active and each.failure is None:
                continue
            verdict = each.failure or await self._guarded(each, self._message(each, edits))
            if verdict is not None and verdict.hold:
                edits.hold = True
            elif verdict is not None:
                return verdict
        return None

    async def abort(self) -> None:
        """The transaction is given up before its end; nothing happens where there is none."""
        for each in self._filters if self._in_message else ():
            if each.opened and each.active:
                await self._quietly(each, Packet(Command.ABORT.value))
        self._in_message = False
        self._new_message()

    async def close(self) -> None:
        for each in self._filters:
            if each.opened:
                await self._quietly(each, Packet(Command.QUIT.value))
            each.link.close()

    def _new_message(self) -> None:
        for each in self._filters:
            each.done_with_message = False

    async def _quietly(self, each: _Filter, packet: Packet) -> None:
        try:
            await each.link.tell([packet], each.link.endpoint.command_timeout)
        except LinkFailed:
            each.done_with_session = True

    async def _event(self, command: Command, packets: Sequence[Packet]) -> Verdict | None:
        """One event to every filter; the first that objects decides."""
        for each in self._filters:
            if not each.active and each.failure is None:
                continue
            verdict = each.failure or await self._guarded(each, self._single(each, command, packets))
            if verdict is not None:
                return verdict
        return None

    async def _guarded(self, each: _Filter, work: object) -> Verdict | None:
        """The work, or what milter_default_action says when the filter fails; that stands for the whole session."""
        try:
            return await work  # type: ignore[misc,no-any-return]
        except (LinkFailed, ProtocolError) as error:
            log.warning("%s", error)
            each.link.close()
            each.done_with_session = True
            each.failure = _DEFAULTS.get(each.link.endpoint.default_action)
            return each.failure

    async def _single(self, each: _Filter, command: Command, packets: Sequence[Packet]) -> Verdict | None:
        link = each.link
        if not each.opened:
            await link.open()
            each.opened = True
        told = [*self._macros(command), *packets]
        timeout = link.endpoint.command_timeout
        if not link.wants(command):
            if told[:-1]:
                await link.tell(told[:-1], timeout)
            return None
        if not link.answers(command):
            await link.tell(told, timeout)
            return None
        return self._meaning(each, command, await link.ask(told, timeout))

    def _macros(self, command: Command) -> list[Packet]:
        pairs = [(name, value) for name in self._names.of(command) if (value := self._values(name)) is not None]
        return [protocol.macros(command, pairs)] if pairs else []

    def _meaning(self, each: _Filter, command: Command, answer: Packet) -> Verdict | None:
        """What a packet that ends an event means. Raises ProtocolError."""
        match answer.letter:
            case b"c" | b"s":
                return None
            case b"a":
                if command in (Command.CONNECT, Command.HELO):
                    each.done_with_session = True
                else:
                    each.done_with_message = True
                return None
            case b"y":
                return _reply(answer.data)
            case b"f":
                each.done_with_session = True
                each.failure = TEMPFAIL
                return TEMPFAIL
            case letter if letter in _ANSWERS:
                return _ANSWERS[letter]
        raise ProtocolError(f"milter {each.link.endpoint.title}: unexpected answer {answer.letter!r}")

    async def _message(self, each: _Filter, edits: Edits) -> Verdict | None:
        """Headers, end of headers, body, end of message; then the filter's changes up to its verdict."""
        link, timeout = each.link, each.link.endpoint.content_timeout
        fields, body = edits.shown()
        if link.wants(Command.HEADER):
            for one in fields:
                if verdict := await self._step(each, Command.HEADER, _header(one.octets, link), timeout):
                    return verdict
                if not each.active:
                    return None
        if link.wants(Command.END_OF_HEADER):
            packet = Packet(Command.END_OF_HEADER.value)
            if verdict := await self._step(each, Command.END_OF_HEADER, packet, timeout):
                return verdict
            if not each.active:
                return None
        if link.wants(Command.BODY) and (verdict := await self._body(each, body, timeout)):
            return verdict
        if not each.active:
            return None
        answer = await link.ask([*self._macros(Command.END_OF_BODY), Packet(Command.END_OF_BODY.value)], timeout)
        while answer.letter not in (b"c", b"a", b"y", b"f", *_ANSWERS):
            if passed := await edits.inspected(answer):
                edits.apply(passed, link.actions)
            answer = await link.more(timeout)
        edits.finish()
        return self._meaning(each, Command.END_OF_BODY, answer)

    async def _step(self, each: _Filter, command: Command, packet: Packet, timeout: float) -> Verdict | None:
        told = [*(self._macros(command) if command is not Command.HEADER else ()), packet]
        if not each.link.answers(command):
            await each.link.tell(told, timeout)
            return None
        return self._meaning(each, command, await each.link.ask(told, timeout))

    async def _body(self, each: _Filter, body: bytes, timeout: float) -> Verdict | None:
        for start in range(0, len(body), protocol.BODY_CHUNK):
            packet = Packet(Command.BODY.value, body[start : start + protocol.BODY_CHUNK])
            if not each.link.answers(Command.BODY):
                await each.link.tell([packet], timeout)
                continue
            answer = await each.link.ask([packet], timeout)
            if answer.letter == b"s":
                return None
            verdict = self._meaning(each, Command.BODY, answer)
            if verdict is not None or not each.active:
                return verdict
        return None


def _header(octets: bytes, link: Link) -> Packet:
    name, _, value = octets[:-2].partition(b":")
    if protocol.Step.HEADER_LEADING_SPACE not in link.steps:
        value = value.removeprefix(b" ")
    return protocol.header(name, value.replace(b"\r\n", b"\n"))


def _reply(data: bytes) -> Verdict:
    """The filter's own words: a code, perhaps an enhanced one, a text; several lines are joined as they were."""
    text = protocol.split_strings(data)[0].replace("%%", "%")
    lines = text.replace("\r\n", "\n").split("\n")
    match = _REPLY.match(lines[0])
    if match is None:
        raise ProtocolError(f"malformed reply of a filter: {text[:40]!r}")
    code, status = int(match[1]), match[2] or ""
    words = [match[3]]
    for line in lines[1:]:
        further = _REPLY.match(line)
        words.append(further[3] if further else line)
    return Verdict(code, status, "\n".join(words))
