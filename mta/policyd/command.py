"""`hardmail policyd`: the policy server on standard input and output, as spawn(8) of any Postfix starts it."""

from __future__ import annotations

import argparse
import asyncio
import os
import stat
import sys
from pathlib import Path
from typing import Final

from mta.config import ConfigErrors, MainConfig
from mta.policyd.protocol import ProtocolError
from mta.policyd.service import converse, policy_of

EXAMPLE: Final = """\
In master.cf of a Postfix:
  policyd-spf  unix  -  n  n  -  0  spawn user=nobody argv=/usr/local/bin/hardmail policyd
and in main.cf, behind reject_unauth_destination:
  check_policy_service unix:private/policyd-spf
"""


def main(argv: list[str]) -> int:
    """Serve one connection; exit status 0 at its end."""
    parser = argparse.ArgumentParser(
        prog="hardmail policyd",
        description="Answer Postfix policy requests (SPF) on standard input.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", metavar="CONFDIR", type=Path, default=Path("/etc/postfix"), help="where main.cf is")
    options = parser.parse_args(argv)
    kind = os.fstat(sys.stdin.fileno()).st_mode
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or sys.stdin.isatty()):
        print("policyd: standard input has to be a pipe or a socket", file=sys.stderr)
        return os.EX_USAGE
    try:
        policy = policy_of(MainConfig.load(options.c))
    except (ConfigErrors, OSError) as error:
        print(f"policyd: {error}", file=sys.stderr)
        return os.EX_CONFIG

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout)
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await converse(policy, reader, writer)
        finally:
            writer.close()

    try:
        asyncio.run(serve())
    except (ProtocolError, ConnectionError) as error:
        print(f"policyd: {error}", file=sys.stderr)
        return os.EX_PROTOCOL
    return os.EX_OK
