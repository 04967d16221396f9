"""`hardmail ca`: make a certificate authority, issue and renew server and client certificates."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tls.authority import Authority, Credentials
from tls.errors import TLSConfigError

EXAMPLE = """\
example:
  hardmail ca create ./ca
  hardmail ca server ./ca mail.example.com 127.0.0.2
  hardmail ca client ./ca alice@example.com
  hardmail ca renew ./ca --within 30
"""


def main(arguments: Sequence[str]) -> int:
    """Run one subcommand; 0, or 73 (EX_CANTCREAT) with one line if it cannot be done."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], None] = options.command
    try:
        command(options)
    except (TLSConfigError, OSError) as error:
        print(f"hardmail ca: {error}", file=sys.stderr)
        return os.EX_CANTCREAT
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hardmail ca",
        description="A certificate authority for a laboratory (ECDSA P-256).",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, command: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("directory", type=Path, metavar="DIR", help="directory of the authority")
        sub.set_defaults(command=command)
        return sub

    create = add("create", _create, "make an authority")
    create.add_argument("--name", default="hardmail lab CA", help="its common name (default: %(default)s)")
    server = add("server", _server, "issue a server certificate")
    server.add_argument("names", nargs="+", metavar="NAME", help="DNS names and IP addresses; the first is the subject")
    client = add("client", _client, "issue a client certificate")
    client.add_argument("name", metavar="NAME", help="a mail address, a host name or any word")
    renew = add("renew", _renew, "renew the certificates that end soon; their keys stay")
    renew.add_argument("--within", type=float, default=30, metavar="DAYS", help="end within DAYS (default: 30)")
    add("show", _show, "list the certificates with their names and ends")
    return parser


def _create(options: argparse.Namespace) -> None:
    print(Authority.create(options.directory, options.name).certificate_file)


def _server(options: argparse.Namespace) -> None:
    _tell(Authority.load(options.directory).issue_server(options.names))


def _client(options: argparse.Namespace) -> None:
    _tell(Authority.load(options.directory).issue_client(options.name))


def _renew(options: argparse.Namespace) -> None:
    authority = Authority.load(options.directory)
    for credentials in authority.issued():
        renewed = authority.renew(credentials, options.within)
        if renewed.not_after != credentials.not_after:
            print(f"{renewed.certificate_file}: valid until {renewed.not_after:%Y-%m-%d}")


def _show(options: argparse.Namespace) -> None:
    authority = Authority.load(options.directory)
    print(f"{authority.certificate_file}: {authority.certificate.subject.rfc4514_string()}")
    now = dt.datetime.now(dt.UTC)
    for credentials in authority.issued():
        kind = "server" if credentials.is_server else "client"
        days = credentials.days_left(now)
        print(f"{credentials.certificate_file}: {kind} {', '.join(credentials.names)}, {days:.0f} days left")


def _tell(credentials: Credentials) -> None:
    print(credentials.certificate_file)
    print(credentials.key_file)
