"""`hardmail tlswrap`: puts TLS before a plain daemon, or before a plain client, with the options of stunnel 3."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import pwd
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tls.context import client_context, server_context
from tls.errors import TLSConfigError
from tls.policy import Policy
from tls.wrapper import Endpoint, Program, Wrapper

LOOPBACK = "127.0.0.1"
_EXAMPLES = """\
examples:
  hardmail tlswrap -p mail.pem -d 995 -r 110                  TLS on 127.0.0.1:995, plain POP3 behind it
  hardmail tlswrap -p mail.pem -d 0.0.0.0:pop3s -l /usr/sbin/popd
  hardmail tlswrap -c -d 1430 -r mail.example.org:993 -A ca.pem -v 2
                                                              for a mail program that has no TLS

Without a host, -d and -r mean 127.0.0.1 (stunnel listens on every address). With -c the server's certificate is always
verified, by its name, unless -v 0 says that it shall not be.
"""


class UsageError(Exception):
    """What was asked for cannot be done; the text says why."""


def main(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status (sysexits.h: 64 usage, 78 certificate; 1 port taken)."""
    parser = _parser()
    arguments, program = _split(list(argv))
    try:
        options = parser.parse_args(arguments)
        wrapper = _wrapper(options, program)
    except SystemExit as end:
        return os.EX_USAGE if end.code else os.EX_OK
    except UsageError as error:
        return _failed(error, os.EX_USAGE)
    except TLSConfigError as error:
        return _failed(error, os.EX_CONFIG)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="tlswrap: %(message)s")
    try:
        sockets = _listen(options.accept)
    except OSError as error:
        return _failed(f"{options.accept}: {os.strerror(error.errno) if error.errno else error}", 1)
    try:
        if options.user:
            _become(options.user)
        asyncio.run(_run(wrapper, sockets, f"{options.accept} -> {program or options.remote}"))
    except UsageError as error:
        return _failed(error, os.EX_USAGE)
    finally:
        for sock in sockets:
            sock.close()
    return os.EX_OK


def _failed(why: object, status: int) -> int:
    print(f"hardmail tlswrap: {why}", file=sys.stderr)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hardmail tlswrap",
        usage="hardmail tlswrap -p FILE -d [HOST:]PORT (-r [HOST:]PORT | -l PROGRAM [-- NAME ARGUMENT ...])\n"
        "       hardmail tlswrap -c -d [HOST:]PORT -r HOST:PORT [-A FILE]",
        description="A TLS wrapper with stunnel's options: TLS on one side, the same octets in the clear on the other.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-p", dest="pem", type=Path, metavar="FILE", help="certificate chain and key (PEM)")
    parser.add_argument("-d", dest="accept", type=_endpoint, metavar="[HOST:]PORT", required=True, help="listen here")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("-r", dest="remote", type=_endpoint, metavar="[HOST:]PORT", help="connect clients to this")
    target.add_argument("-l", dest="program", metavar="PROGRAM", help="start this for each client, as inetd does")
    parser.add_argument("-c", dest="client", action="store_true", help="the other way round: TLS to the remote side")
    parser.add_argument(
        "-A", dest="ca_file", type=Path, metavar="FILE", help="authorities to trust (with -c, by default the system's)"
    )
    parser.add_argument(
        "-v", dest="verify", type=int, choices=(0, 1, 2), metavar="LEVEL",
        help="2: the other side must prove itself (default with -c); 1: if it has a certificate; 0: it need not",
    )  # fmt: skip
    parser.add_argument("-s", dest="user", metavar="USER", help="become this user once the port is bound")
    return parser


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
    """Options, and what stands behind `--`: the name and the arguments of the program."""
    if "--" not in argv:
        return argv, []
    at = argv.index("--")
    return argv[:at], argv[at + 1 :]


def _endpoint(text: str) -> Endpoint:
    host, colon, port = text.rpartition(":")
    if not colon:
        host = LOOPBACK
    number = int(port) if port.isascii() and port.isdigit() and len(port) <= 5 else -1
    if number < 0:
        try:
            number = socket.getservbyname(port, "tcp")
        except (OSError, UnicodeError):
            raise argparse.ArgumentTypeError(f"{port!r} is no port and no service of services(5)") from None
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port")
    return Endpoint(host.strip("[]"), number)


def _wrapper(options: argparse.Namespace, program: list[str]) -> Wrapper:
    """Raises UsageError, TLSConfigError."""
    target: Endpoint | Program = options.remote
    if options.program:
        if not os.access(options.program, os.X_OK):
            raise UsageError(f"{options.program}: not a program")
        target = Program(options.program, program or [Path(options.program).name])
    elif program:
        raise UsageError("arguments behind -- belong to a program (-l)")
    if options.client:
        if options.program:
            raise UsageError("-c goes to a remote server (-r)")
        verified = options.verify != 0
        context = client_context(
            Policy(),
            ca_file=options.ca_file,
            verify="name" if verified else "none",
            certificate_file=options.pem,
            system_authorities=verified and options.ca_file is None,
        )
        return Wrapper(target, connecting=context)
    if options.pem is None:
        raise UsageError("a server needs its certificate and key (-p)")
    if options.pem.is_file() and options.pem.stat().st_mode & 0o077:
        raise UsageError(f"{options.pem}: others can read the key (chmod 600)")
    return Wrapper(
        target,
        accepting=server_context(
            options.pem,
            options.pem,
            Policy(),
            client_ca=options.ca_file,
            request_client_certificate=bool(options.verify),
            require_client_certificate=options.verify == 2,
        ),
    )


def _listen(endpoint: Endpoint) -> list[socket.socket]:
    """Bound sockets, one for each address of the host. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for family, *_, address in socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM):
            sockets.append(socket.create_server(address[:2], family=family, reuse_port=False))
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _become(name: str) -> None:
    """Give root up for good. Raises UsageError."""
    try:
        user = pwd.getpwnam(name)
        os.initgroups(name, user.pw_gid)
        os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
        os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)
    except (KeyError, PermissionError) as error:
        raise UsageError(f"-s {name}: {getattr(error, 'strerror', None) or 'no such user'}") from None


async def _run(wrapper: Wrapper, sockets: Sequence[socket.socket], title: str) -> None:
    drain = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, drain.set)
    serving = asyncio.create_task(wrapper.serve(sockets, drain))
    ports = ", ".join(str(Endpoint(*sock.getsockname()[:2])) for sock in sockets)
    with contextlib.suppress(BrokenPipeError):
        print(f"tlswrap: {title}, listening on {ports}", flush=True)
    await serving
