"""The POP3 probe: one-line and multi-line answers, STLS, USER and PASS (RFC 1939, RFC 2595)."""

from __future__ import annotations

import ssl

from lab.wire.connection import Connection


class POP3(Connection):
    """A POP3 client that does only what it is told."""

    greeting: str

    async def _opened(self) -> None:
        self.greeting = await self.read_line()

    async def command(self, line: str, *, shown: str | None = None) -> str:
        """Send one command; its status line."""
        await self.send(line, shown=shown)
        return await self.read_line()

    async def multiline(self, line: str) -> tuple[str, list[bytes]]:
        """Send a command with a multi-line answer; its status line and the lines, dots unstuffed."""
        status = await self.command(line)
        lines: list[bytes] = []
        if status.startswith("+OK"):
            while (data := await self.read_octets_line()) != b".":
                lines.append(data.removeprefix(b"."))
        return status, lines

    async def starttls(self, context: ssl.SSLContext, server_name: str | None = None) -> str:
        """STLS and the handshake, if the server agrees."""
        status = await self.command("STLS")
        if status.startswith("+OK"):
            await self.handshake(context, server_name)
        return status

    async def login(self, user: str, password: str) -> str:
        """USER and PASS; the status line that ended the attempt."""
        status = await self.command(f"USER {user}")
        if not status.startswith("+OK"):
            return status
        return await self.command(f"PASS {password}", shown="PASS <the password>")
