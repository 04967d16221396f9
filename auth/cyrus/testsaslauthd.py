"""testsaslauthd(8): tries a password on a saslauthd, ours or Cyrus SASL's."""

from __future__ import annotations

import getopt
import sys

from . import mux
from .saslauthd import DIRECTORY

USAGE = """\
usage: testsaslauthd -u username -p password
              [-r realm] [-s servicename]
              [-f socket path] [-R repeatnum]

example: hardmail testsaslauthd -u alice -p secret -f /run/saslauthd/mux
"""


def main(argv: list[str]) -> int:
    """Run the command; 0 for a good password, 255 for a bad one or no answer, 1 for wrong use: as the real one."""
    try:
        flags, rest = getopt.getopt(argv, "p:u:r:s:f:R:a:h", ["help"])
    except getopt.GetoptError as error:
        print(f"testsaslauthd: {error.msg}\n{USAGE}", end="", file=sys.stderr)
        return 1
    values = dict(flags)
    if "-h" in values or "--help" in values:
        print(USAGE, end="")
        return 0
    if rest or "-u" not in values or "-p" not in values or not values.get("-R", "1").isdigit():
        print(USAGE, end="", file=sys.stderr)
        return 1
    login, password, service, realm = (
        values.get(flag, default).encode("utf-8", "surrogateescape")
        for flag, default in (("-u", ""), ("-p", ""), ("-s", "imap"), ("-r", ""))
    )
    status = 0
    for number in range(min(int(values.get("-R", "1")[:6]), 100_000) or 1):
        try:
            good = mux.ask(values.get("-f", str(DIRECTORY / mux.SOCKET)), mux.Request(login, password, service, realm))
        except (mux.MuxError, mux.MuxUnavailable) as error:
            print(f"{number}: ", end="")
            print(f"connect() : {error}", file=sys.stderr)
            return 255
        print(f'{number}: OK "Success."' if good else f'{number}: NO "authentication failed"')
        status = 0 if good else 255
    return status
