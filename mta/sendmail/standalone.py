"""sendmail -bs: the SMTP server on standard input and output, for programs that know no other way (smtpd(8) -S)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from typing import Final

from mta.config import MainConfig
from mta.queue.tool import open_queue
from mta.smtpd.connection import Connection
from mta.smtpd.server import Server

OPEN: Final = {
    # The caller could as well use sendmail -t: there is nothing to protect from it (sendmail(1) -bs).
    "smtpd_client_restrictions": "",
    "smtpd_helo_restrictions": "",
    "smtpd_sender_restrictions": "",
    "smtpd_relay_restrictions": "permit",
    "smtpd_recipient_restrictions": "permit",
    "smtpd_data_restrictions": "",
    "smtpd_end_of_data_restrictions": "",
    "smtpd_etrn_restrictions": "",
    "smtpd_delay_reject": "yes",
    "smtpd_helo_required": "no",
    "smtpd_tls_security_level": "none",
    "smtpd_tls_wrappermode": "no",
    "smtpd_sasl_auth_enable": "no",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "smtpd_client_message_rate_limit": "0",
    "smtpd_client_recipient_rate_limit": "0",
    "local_header_rewrite_clients": "static:all",
}
CHUNK: Final = 64 * 1024


async def serve_stdin(config: MainConfig) -> int:
    """Speak SMTP with whoever holds the other ends of standard input and output, until QUIT or end of file."""
    loop = asyncio.get_running_loop()
    queue = open_queue(config)
    try:
        server = Server.from_config(config.with_overrides(OPEN), queue)
        inner, outer = socket.socketpair()
        outer.setblocking(False)
        await loop.create_connection(lambda: Connection(server), sock=inner)
        copying_in = asyncio.create_task(_copy_in(outer))
        try:
            await _copy_out(outer)
        finally:
            copying_in.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await copying_in
            outer.close()
    finally:
        queue.close()
    return os.EX_OK


async def _copy_in(target: socket.socket) -> None:
    """Standard input may be a file, which no event loop can wait for: it is read in a thread."""
    loop = asyncio.get_running_loop()
    while octets := await loop.run_in_executor(None, os.read, sys.stdin.fileno(), CHUNK):
        await loop.sock_sendall(target, octets)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


async def _copy_out(source: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    with contextlib.suppress(ConnectionError):
        while octets := await loop.sock_recv(source, CHUNK):
            sys.stdout.buffer.write(octets)
            sys.stdout.buffer.flush()
