"""The STARTTLS gate for asyncio streams: no byte that came in the clear is read as if it had come under TLS."""

from __future__ import annotations

import asyncio
import ssl
from typing import cast

from tls.errors import TLSHandshakeError

_CHUNK = 1 << 16


async def upgrade_server(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext,
    *,
    go_ahead: bytes = b"",
    timeout: float,
    keep_plaintext: bool = False,
) -> int:
    """
    Drop what the client sent behind its STARTTLS, write `go_ahead`, shake hands; the same streams then carry TLS.

    `go_ahead` is the whole reply line ("220 2.0.0 Ready to start TLS"): what comes before it is written was sent too
    early and is dropped, what comes after it belongs to the handshake. A caller that has written the line itself must
    not have awaited anything since. Returns the number of bytes dropped, which is above zero only for a broken or a
    malicious client. Works for any protocol derived from asyncio.StreamReaderProtocol, on asyncio and on uvloop.

    `timeout` is in seconds, for the go-ahead and the handshake together. `keep_plaintext` leaves the gate open: the
    weakened twin, nothing else. Raises TLSHandshakeError, after which the connection is closed.
    Source: RFC 3207 section 4.2, CVE-2011-0411.
    """
    dropped = 0 if keep_plaintext else _drop_buffered(reader)
    # From here on nothing reaches the plain reader: loop.start_tls resumes reading when TLS is in place.
    _pause(writer)
    if go_ahead:
        writer.write(go_ahead)
    await _shake_hands(writer, context, None, timeout)
    return dropped


async def upgrade_client(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    context: ssl.SSLContext,
    *,
    server_hostname: str | None = None,
    timeout: float,
) -> None:
    """
    Shake hands after the server's go-ahead line was read; the same streams then carry TLS.

    A server has nothing to say between that line and the handshake. If more is there, somebody on the way has put it
    there to have it taken for the server's protected answers: the connection is refused. `server_hostname` is for
    SNI and, if the context verifies names, the name to verify. Raises TLSHandshakeError, after which the connection
    is closed. Source: RFC 3207 section 4.2.
    """
    injected = _drop_buffered(reader)
    if injected:
        writer.transport.abort()
        raise TLSHandshakeError(f"{injected} bytes of plaintext follow the reply to STARTTLS")
    _pause(writer)
    await _shake_hands(writer, context, server_hostname, timeout)


def _drop_buffered(reader: asyncio.StreamReader) -> int:
    """
    Empty the reader without letting the event loop run, so that no byte can slip in between; returns the count.

    StreamReader has no public call for that, but `read` answers at once while there is anything to read: taking one
    step of it tells the two cases apart.
    """
    dropped = 0
    while True:
        step = reader.read(_CHUNK)
        try:
            step.send(None)
        except StopIteration as finished:
            if not finished.value:
                return dropped  # end of file; the handshake will fail on it
            dropped += len(finished.value)
        except OSError as error:
            raise TLSHandshakeError(_reason(error)) from error
        else:
            step.close()  # it would wait: nothing is buffered
            return dropped


def _pause(writer: asyncio.StreamWriter) -> None:
    transport = cast("asyncio.Transport", writer.transport)  # uvloop's transports derive from nothing of asyncio's
    if not transport.is_closing():
        transport.pause_reading()


async def _shake_hands(
    writer: asyncio.StreamWriter, context: ssl.SSLContext, server_hostname: str | None, timeout: float
) -> None:
    try:
        async with asyncio.timeout(timeout):
            # The loop's own limit, a minute if not given, must not come before ours.
            await writer.start_tls(context, server_hostname=server_hostname, ssl_handshake_timeout=2 * timeout)
    except TimeoutError as error:
        writer.transport.abort()
        raise TLSHandshakeError(f"no TLS handshake within {timeout:g} seconds") from error
    except ssl.SSLCertVerificationError as error:
        raise TLSHandshakeError(_reason(error), verification=error.verify_message) from error
    except OSError as error:  # ssl.SSLError is one
        raise TLSHandshakeError(_reason(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return error.strerror or str(error) or "the peer closed the connection"
