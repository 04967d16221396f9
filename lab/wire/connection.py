"""A recorded line connection over TCP or a unix socket, in the clear or inside TLS."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import ssl
from pathlib import Path
from types import TracebackType
from typing import Self

from lab.wire.transcript import Transcript

# Probes talk to servers on this machine: an answer that takes longer than this will not come.
TIMEOUT_SECONDS = 10.0
LINE_LIMIT_OCTETS = 1 << 20
# What a probe reads of one connection at most: a server that never stops talking is not worth more.
READ_LIMIT_OCTETS = 1 << 26


class WireError(Exception):
    """The dialogue could not go on."""


class Refused(WireError):
    """Nothing listens there (or the peer refused the TLS handshake)."""


class WireClosed(WireError):
    """The server closed the connection while an answer was awaited."""


class WireTimeout(WireError):
    """The server did not answer in time."""


class Connection:
    """A connection that records each line; base of the SMTP, IMAP and POP3 probes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transcript: Transcript, *, tls: bool
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.transcript = transcript
        self.tls = tls
        self.timeout = TIMEOUT_SECONDS
        self.allowance = READ_LIMIT_OCTETS

    @classmethod
    async def open(
        cls,
        address: str,
        port: int,
        *,
        source: str | None = None,
        tls: ssl.SSLContext | None = None,
        server_name: str | None = None,
        transcript: Transcript | None = None,
        timeout: float = TIMEOUT_SECONDS,
        allowance: int = READ_LIMIT_OCTETS,
    ) -> Self:
        """Connect to `address`:`port` from `source`, with implicit TLS if a context is given, and read the greeting.

        `timeout` (seconds) is for the connection and for each answer on it; `allowance` octets are read at most.
        Raises Refused where nothing listens or the handshake fails, WireTimeout, WireClosed, WireError.
        """
        transcript = Transcript() if transcript is None else transcript
        where = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        transcript.note(f"connect {where}" + (f" from {source}" if source else "") + (" with TLS" if tls else ""))
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    address,
                    port,
                    ssl=tls,
                    server_hostname=(server_name or "") if tls else None,
                    local_addr=(source, 0) if source else None,
                    limit=LINE_LIMIT_OCTETS,
                )
        except TimeoutError as error:
            transcript.note("no answer")
            raise WireTimeout(f"no connection to {where}") from error
        except (OSError, ssl.SSLError) as error:
            transcript.note(_reason(error))
            raise Refused(f"{where}: {_reason(error)}") from error
        return await cls._greeted(reader, writer, transcript, tls=tls is not None, timeout=timeout, allowance=allowance)

    @classmethod
    async def open_unix(cls, path: Path, *, transcript: Transcript | None = None) -> Self:
        """Connect to the unix socket at `path`. Raises Refused."""
        transcript = Transcript() if transcript is None else transcript
        transcript.note(f"connect unix:{path.name}")
        try:
            reader, writer = await asyncio.open_unix_connection(path, limit=LINE_LIMIT_OCTETS)
        except OSError as error:
            transcript.note(_reason(error))
            raise Refused(f"{path}: {_reason(error)}") from error
        return await cls._greeted(reader, writer, transcript, tls=False)

    @classmethod
    async def _greeted(
        cls,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        transcript: Transcript,
        *,
        tls: bool,
        timeout: float = TIMEOUT_SECONDS,
        allowance: int = READ_LIMIT_OCTETS,
    ) -> Self:
        connection = cls(reader, writer, transcript, tls=tls)
        connection.timeout, connection.allowance = timeout, allowance
        try:
            await connection._opened()
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _opened(self) -> None:
        """Read what the protocol's server says first; nothing by default."""

    async def send(self, line: str | bytes, *, shown: str | None = None) -> None:
        """Send `line` and CRLF; the transcript shows `shown` in its place where the line holds a secret."""
        data = line.encode() if isinstance(line, str) else line
        await self.send_raw(data + b"\r\n", shown=shown)

    async def send_raw(self, data: bytes, *, shown: str | None = None) -> None:
        """Send these octets and nothing else."""
        self.transcript.client(data if shown is None else shown.encode(), tls=self.tls)
        self.writer.write(data)
        # A server may have hung up on us already: its answer, not our write, tells the probe.
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def read_line(self) -> str:
        """The next line without its line end. Raises WireClosed, WireTimeout."""
        return (await self.read_octets_line()).decode("utf-8", "surrogateescape")

    async def read_octets_line(self) -> bytes:
        """The next line as octets, without its line end. Raises WireClosed, WireTimeout, WireError."""
        try:
            async with asyncio.timeout(self.timeout):
                line = await self.reader.readline()
        except TimeoutError as error:
            self.transcript.note("no answer")
            raise WireTimeout("no answer") from error
        except (OSError, ssl.SSLError) as error:
            self.transcript.note(_reason(error))
            raise WireClosed(_reason(error)) from error
        except ValueError as error:
            raise WireError("a line without end") from error
        if not line:
            self.transcript.note("closed by the server")
            raise WireClosed("closed by the server")
        self.spend(len(line))
        self.transcript.server(line, tls=self.tls)
        return line.rstrip(b"\r\n")

    def spend(self, octets: int) -> None:
        """Take so many octets off what may still be read of this connection. Raises WireError."""
        self.allowance -= octets
        if self.allowance < 0:
            raise WireError("the server does not stop talking")

    async def silence(self, seconds: float) -> bool:
        """Whether the server says nothing for `seconds` (a probe for an answer that must not come)."""
        try:
            async with asyncio.timeout(seconds):
                line = await self.reader.readline()
        except TimeoutError:
            return True
        if line:
            self.transcript.server(line, tls=self.tls)
        return not line

    async def handshake(self, context: ssl.SSLContext, server_name: str | None = None) -> None:
        """Start TLS on the open connection. Raises Refused if the handshake fails."""
        try:
            async with asyncio.timeout(self.timeout):
                await self.writer.start_tls(context, server_hostname=server_name or "")
        except TimeoutError as error:
            raise WireTimeout("no TLS handshake") from error
        except (OSError, ssl.SSLError) as error:
            self.transcript.note(f"TLS handshake refused: {_reason(error)}")
            raise Refused(f"TLS handshake refused: {_reason(error)}") from error
        self.tls = True
        session = self.writer.get_extra_info("ssl_object")
        self.transcript.note(f"{session.version()} with {session.cipher()[0]}")

    async def close(self) -> None:
        """Close the connection; a peer that is gone already is no error."""
        self.writer.close()
        with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
            async with asyncio.timeout(self.timeout):
                await self.writer.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _reason(error: Exception) -> str:
    """What went wrong, in the words of the system and without Python's decoration."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    if isinstance(error, OSError) and error.errno and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()  # asyncio puts the address into error.strerror
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    if isinstance(error, ConnectionResetError):  # asyncio's, at an end within the handshake
        return "closed by the server"
    return str(error) or type(error).__name__
