"""The IMAP probe: tagged commands, untagged responses with literals, STARTTLS and LOGIN (RFC 3501)."""

from __future__ import annotations

import asyncio
import re
import ssl
from dataclasses import dataclass

from lab.wire.connection import Connection, WireClosed, WireError

LITERAL = re.compile(rb"\{([0-9]{1,9})\}$")
RESPONSE_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Response:
    """The tagged status of a command (OK, NO, BAD), its text, and the untagged responses before it (octets)."""

    status: str
    text: str
    untagged: tuple[bytes, ...]

    @property
    def code(self) -> str | None:
        """The response code, such as NONEXISTENT or PRIVACYREQUIRED."""
        match = re.match(r"\[([^ \]]+)", self.text)
        return match.group(1) if match else None

    def __str__(self) -> str:
        return f"{self.status} {self.text}"


class IMAP(Connection):
    """An IMAP client that does only what it is told."""

    greeting: str

    async def _opened(self) -> None:
        self._tag = 0
        self.greeting = await self.read_line()

    async def read_response(self) -> bytes:
        """One response with its literals."""
        whole = line = await self.read_octets_line()
        while match := LITERAL.search(line):
            self.spend(int(match.group(1)))
            try:
                async with asyncio.timeout(self.timeout):
                    literal = await self.reader.readexactly(int(match.group(1)))
            except (asyncio.IncompleteReadError, TimeoutError) as error:
                raise WireClosed("a literal that did not arrive whole") from error
            self.transcript.server(literal, tls=self.tls)
            line = await self.read_octets_line()
            whole += b"\r\n" + literal + line
        return whole

    async def command(self, line: str, *, shown: str | None = None) -> Response:
        """Send one tagged command and read until its tagged response."""
        self._tag += 1
        tag = f"a{self._tag}"
        await self.send(f"{tag} {line}", shown=None if shown is None else f"{tag} {shown}")
        return await self.response(tag)

    async def response(self, tag: str) -> Response:
        """Everything up to the tagged response to `tag`."""
        untagged: list[bytes] = []
        for _ in range(RESPONSE_LINES):
            response = await self.read_response()
            if response.startswith(tag.encode() + b" "):
                _, _, rest = response.decode("utf-8", "surrogateescape").partition(" ")
                status, _, text = rest.partition(" ")
                return Response(status.upper(), text, tuple(untagged))
            untagged.append(response)
        raise WireError("a command without end")

    async def capabilities(self) -> frozenset[str]:
        """What CAPABILITY lists, upper case."""
        response = await self.command("CAPABILITY")
        lines = [line.decode("utf-8", "surrogateescape").upper().split() for line in response.untagged]
        return frozenset(word for line in lines if line[:2] == ["*", "CAPABILITY"] for word in line[2:])

    async def starttls(self, context: ssl.SSLContext, server_name: str | None = None) -> Response:
        """STARTTLS and the handshake, if the server agrees."""
        response = await self.command("STARTTLS")
        if response.status == "OK":
            await self.handshake(context, server_name)
        return response

    async def login(self, user: str, password: str) -> Response:
        """LOGIN with quoted strings."""
        return await self.command(f"LOGIN {quoted(user)} {quoted(password)}", shown=f'LOGIN "{user}" <the password>')


def quoted(text: str) -> str:
    """`text` as an IMAP quoted string (RFC 3501 section 4.3)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
