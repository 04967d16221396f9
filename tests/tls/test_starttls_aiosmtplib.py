"""Answers injected behind the reply to STARTTLS, into the SMTP client that delivers our mail (aiosmtplib)."""

from __future__ import annotations

import asyncio
import ssl

import aiosmtplib
import pytest
import uvloop

from tls.starttls_asyncio import upgrade_server

INJECTED = b"250-injected.example\r\n250 AUTH PLAIN\r\n"


class Server:
    """A few lines of SMTP whose reply to STARTTLS is followed by `behind`, and whose EHLO under TLS offers SIZE."""

    def __init__(self, context: ssl.SSLContext, behind: bytes, *, under_tls: bytes = b"") -> None:
        self.context = context
        self.behind = behind
        self.under_tls = under_tls

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example.org ESMTP\r\n")
        secure = False
        while line := await reader.readline():
            verb = line.split()[0].upper()
            if verb == b"STARTTLS":
                go_ahead = b"220 ready\r\n" + self.behind
                await upgrade_server(reader, writer, self.context, go_ahead=go_ahead, timeout=10)
                writer.write(self.under_tls)
                secure = True
            elif verb == b"EHLO":
                writer.write(b"250-mail.example.org\r\n" + (b"250 SIZE 1000\r\n" if secure else b"250 STARTTLS\r\n"))
        writer.close()


async def features_under_tls(server: Server, client_side: ssl.SSLContext) -> dict[str, str]:
    """What the client believes after STARTTLS and EHLO."""
    listener = await asyncio.start_server(server, "127.0.0.1", 0)
    async with listener:
        host, port = listener.sockets[0].getsockname()
        client = aiosmtplib.SMTP(hostname=host, port=port, start_tls=False, timeout=10)
        await client.connect()
        await client.ehlo()
        assert client.supports_extension("STARTTLS")
        await client.starttls(server_hostname="localhost", tls_context=client_side)
        await client.ehlo()
        features = dict(client.esmtp_extensions)
        client.close()
        return features


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("behind", [b"", INJECTED, INJECTED[:-1], b"250", b"x" * 8000])
def test_injected_answers_are_dropped(
    server_side: ssl.SSLContext, client_side: ssl.SSLContext, loop: object, behind: bytes
) -> None:
    """aiosmtplib 5 clears its buffer; if a later version stops doing so, this fails and we gate the client as well."""
    with asyncio.Runner(loop_factory=loop) as runner:
        features = runner.run(features_under_tls(Server(server_side, behind), client_side))
    assert features == {"size": "1000"}


def test_the_probe_sees_answers_that_are_believed(server_side: ssl.SSLContext, client_side: ssl.SSLContext) -> None:
    """The same bytes sent under TLS are taken for the answer to EHLO: the test above could have failed."""
    server = Server(server_side, b"", under_tls=INJECTED)
    with asyncio.Runner() as runner:
        assert "auth" in runner.run(features_under_tls(server, client_side))
