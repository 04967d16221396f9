"""saslpasswd2(8) and sasldblistusers2(8): the users of sasldb."""

from __future__ import annotations

import getopt
import getpass
import socket
import sys
from pathlib import Path

from .sasldb import DEFAULT_PATH, PROPERTY, Sasldb, SasldbError

USAGE = """\
saslpasswd2: usage: saslpasswd2 [-v] [-c [-p] [-n]] [-d] [-a appname] [-f sasldb] [-u DOM] userid
\t-p\tpipe mode -- no prompt, password read on stdin
\t-c\tcreate -- make the account if it is not there
\t-d\tdisable -- delete the account
\t-n\tno userPassword -- always so: the file never holds a clear-text password
\t-f sasldb\tuse given file as sasldb (default {path})
\t-a appname\ttaken and not used
\t-u DOM\tuse DOM for user domain

example: hardmail saslpasswd2 -c -u example.org alice
"""
# libsasl2's results (sasl.h) as exit statuses: SASL_FAIL, SASL_BADPARAM, SASL_NOUSER
FAIL, BADPARAM, NOUSER = 1, 7, 20


def main(argv: list[str]) -> int:
    """saslpasswd2; the exit status is libsasl2's result: 0, 1 failure, 7 bad parameter, 20 no such user."""
    usage = USAGE.format(path=DEFAULT_PATH)
    try:
        flags, rest = getopt.getopt(argv, "vpcdnf:u:a:h", ["help"])
    except getopt.GetoptError as error:
        print(f"saslpasswd2: {error.msg}\n{usage}", end="", file=sys.stderr)
        return FAIL
    values = dict(flags)
    if "-h" in values or "--help" in values:
        print(usage, end="")
        return 0
    if len(rest) != 1 or ("-c" in values and "-d" in values):
        print(usage, end="", file=sys.stderr)
        return FAIL
    name = rest[0] if "@" in rest[0] else f"{rest[0]}@{values.get('-u') or socket.getfqdn()}"
    if not name.isprintable() or ":" in name or name.startswith(("@", "#")):
        print("saslpasswd2: bad user name: it may not hold a colon or what cannot be printed", file=sys.stderr)
        return BADPARAM
    database = Sasldb(Path(values.get("-f", DEFAULT_PATH)))
    try:
        if "-d" in values:
            database.delete(name)
            return 0
        return _set(database, name, values)
    except SasldbError as error:
        print(f"saslpasswd2: generic failure: {error}", file=sys.stderr)
        return FAIL


def _set(database: Sasldb, name: str, values: dict[str, str]) -> int:
    if "-p" in values or not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\n")
    else:
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again (for verification): ") != password:
            print("saslpasswd2: passwords don't match; aborting", file=sys.stderr)
            return BADPARAM
    if not password:
        print("saslpasswd2: an empty password is none; -d deletes an account", file=sys.stderr)
        return BADPARAM
    if not database.set(name, password.encode("utf-8", "surrogateescape"), create="-c" in values):
        print(f"saslpasswd2: user not found: {name}; -c makes the account", file=sys.stderr)
        return NOUSER
    return 0


def list_main(argv: list[str]) -> int:
    """sasldblistusers2: one line for each user; 1 when the file cannot be read."""
    usage = "usage: sasldblistusers2 [-f sasldb]\n\nexample: hardmail sasldblistusers2\n"
    try:
        flags, rest = getopt.getopt(argv, "f:h", ["help"])
    except getopt.GetoptError as error:
        print(f"sasldblistusers2: {error.msg}\n{usage}", end="", file=sys.stderr)
        return FAIL
    values = dict(flags)
    if "-h" in values or "--help" in values:
        print(usage, end="")
        return 0
    path = Path(values["-f"] if "-f" in values else rest[0] if rest else DEFAULT_PATH)
    try:
        if not path.exists():
            raise SasldbError(f"{path}: No such file or directory")
        for name in Sasldb(path).users():
            print(f"{name}: {PROPERTY}")
    except SasldbError as error:
        print(f"listusers failed: {error}", file=sys.stderr)
        return FAIL
    return 0
