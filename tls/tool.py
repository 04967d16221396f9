"""`hardmail ca`: create the lab's certificate authority, issue, renew and show certificates."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tls.authority import Authority, Credentials
from tls.errors import TLSConfigError
from tls.fingerprint import certificate_fingerprint, public_key_fingerprint

_EXAMPLES = """\
examples:
  hardmail ca create ./ca
  hardmail ca issue ./ca mail.example.org 127.0.0.2      a server's certificate, for all these names
  hardmail ca issue ./ca --client alice@example.org      a client's certificate
  hardmail ca renew ./ca --within 30                     whatever has less than 30 days left
  hardmail ca revoke ./ca ./ca/client-alice.pem          ca-crl.pem, for ssl_ca; without names: the same list anew
  hardmail ca show ./ca --json
  openssl verify -CAfile ./ca/ca.pem ./ca/server-mail.example.org.pem
"""


def main(argv: Sequence[str]) -> int:
    """Run the tool; returns its exit status (sysexits.h: 64 usage, 73 cannot create, 78 unusable authority)."""
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as end:
        return os.EX_USAGE if end.code else os.EX_OK
    try:
        options.run(options)
    except TLSConfigError as error:
        print(f"hardmail ca: {error}", file=sys.stderr)
        return os.EX_CONFIG
    except OSError as error:
        print(f"hardmail ca: {error.filename or options.directory}: {error.strerror}", file=sys.stderr)
        return os.EX_CANTCREAT
    return os.EX_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hardmail ca",
        description="The lab's certificate authority (ECDSA P-256). Keys have mode 0600, the directory 0700.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="create|issue|renew|revoke|show")

    create = commands.add_parser("create", help="make an authority in a new directory")
    create.add_argument("--name", default="hardmail lab CA", help="its common name (default: %(default)s)")
    create.add_argument("--days", type=_days, default=3650, help="its life in days (default: %(default)s)")
    create.set_defaults(run=_create)

    issue = commands.add_parser("issue", help="make a key and a certificate")
    issue.add_argument("--client", action="store_true", help="for a client: one name, such as a mail address")
    issue.add_argument("--days", type=_days, default=397, help="its life in days (default: %(default)s)")
    issue.set_defaults(run=_issue)

    renew = commands.add_parser("renew", help="give certificates, and the authority, a new life; keys stay")
    renew.add_argument(
        "--within", type=_days, default=30, help="if less days than that are left (default: %(default)s)"
    )
    renew.set_defaults(run=_renew)

    revoke = commands.add_parser("revoke", help="write the authority with a list of certificates that no longer count")
    revoke.set_defaults(run=_revoke)

    show = commands.add_parser("show", help="list the authority and what it has issued")
    show.add_argument("--json", action="store_true", help="for programs")
    show.set_defaults(run=_show)

    for command in (create, issue, renew, revoke, show):
        command.add_argument("directory", type=Path)
    issue.add_argument("names", nargs="+", metavar="NAME")
    revoke.add_argument("certificates", nargs="*", type=Path, metavar="CERTIFICATE")
    return parser


def _days(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 5):
        raise argparse.ArgumentTypeError(f"not a number of days: {text!r}")
    return int(text)


def _create(options: argparse.Namespace) -> None:
    print(Authority.create(options.directory, options.name, options.days).certificate_file)


def _issue(options: argparse.Namespace) -> None:
    authority = Authority.load(options.directory)
    if options.client and len(options.names) > 1:
        raise TLSConfigError("a client's certificate has one name")
    issued = (
        authority.issue_client(options.names[0], options.days)
        if options.client
        else authority.issue_server(options.names, options.days)
    )
    print(issued.certificate_file, issued.key_file, sep="\n")


def _renew(options: argparse.Namespace) -> None:
    authority = Authority.load(options.directory)
    renewed = authority.renew_root(options.within)
    if renewed is not authority:
        print(renewed.certificate_file)
    for credentials in renewed.issued():
        if renewed.renew(credentials, options.within) is not credentials:
            print(credentials.certificate_file)


def _revoke(options: argparse.Namespace) -> None:
    try:
        certificates = [x509.load_pem_x509_certificate(path.read_bytes()) for path in options.certificates]
    except ValueError as error:
        raise TLSConfigError("not a usable certificate") from error
    print(Authority.load(options.directory).revoke(*certificates))


def _show(options: argparse.Namespace) -> None:
    authority = Authority.load(options.directory)
    root = Credentials(authority.certificate_file, authority.directory / "ca.key", authority.certificate)
    entries = [_entry(root, "authority")]
    entries += [_entry(found, "server" if found.is_server else "client") for found in authority.issued()]
    if options.json:
        print(json.dumps(entries, indent=2))
        return
    for entry in entries:
        print(f"{entry['kind']}: {entry['subject']}")
        for key in ("file", "names", "serial", "not_after", "days_left", "sha256", "public_key_sha256"):
            value = entry[key]
            print(f"  {key.replace('_', ' ')}: {', '.join(value) if isinstance(value, list) else value}")


def _entry(credentials: Credentials, kind: str) -> dict[str, str | int | list[str]]:
    certificate = credentials.certificate
    der = certificate.public_bytes(Encoding.DER)
    return {
        "kind": kind,
        "subject": certificate.subject.rfc4514_string(),
        "file": str(credentials.certificate_file),
        "names": credentials.names,
        "serial": f"{certificate.serial_number:x}",
        "not_after": credentials.not_after.isoformat(),
        "days_left": int(credentials.days_left()),
        "sha256": certificate_fingerprint(der),
        "public_key_sha256": public_key_fingerprint(der),
    }
