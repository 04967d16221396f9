"""`hardmail saslauthd` in the kernel's jail: the process that hears strangers has the files of its users, no others."""

from __future__ import annotations

import os
import sys

from auth.cyrus import saslauthd
from lab.sandbox import Confinement, SandboxError, confine, python_paths


def main(argv: list[str]) -> int:
    """saslauthd(8); exit status 1 when it cannot start."""
    return saslauthd.main(argv, _confine)


def _confine(needs: saslauthd.Needs) -> None:
    # The directory of a file: saslpasswd2 puts it in place anew each time. For /etc/sasldb2.users that is all of /etc.
    places = [*needs.read, *(path.resolve() for path in needs.read)]
    directories = dict.fromkeys(path.parent if path.parent.is_dir() else path for path in places)
    who = needs.user
    try:
        confine(
            Confinement(
                user=who.pw_name if who else None,
                groups=os.getgrouplist(who.pw_name, who.pw_gid) if who else os.getgroups(),
                read=(*python_paths.SYSTEM, *(python_paths.NETWORK if needs.network else ()), *directories),
                write=needs.write,
                tcp_connect=needs.network,
            )
        )
    except SandboxError as error:
        sys.exit(f"saslauthd: {error}")
