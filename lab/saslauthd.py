"""`hardmail saslauthd` in the kernel's jail: the process that hears strangers has the files of its users, no others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from auth.cyrus import saslauthd
from lab.sandbox import Confinement, SandboxError, confine, python_paths


def main(argv: list[str]) -> int:
    """saslauthd(8); exit status 1 when it cannot start."""
    return saslauthd.main(argv, _confine)


def _confine(needs: saslauthd.Needs) -> None:
    # The directory of a file, so that one put in place anew is seen.
    files = [path.parent if path.parent.is_dir() and path.parent != Path("/etc") else path for path in needs.read]
    who = needs.user
    try:
        confine(
            Confinement(
                user=who.pw_name if who else None,
                groups=os.getgrouplist(who.pw_name, who.pw_gid) if who else os.getgroups(),
                read=(*python_paths.SYSTEM, *(python_paths.NETWORK if needs.network else ()), *files),
                write=needs.write,
                tcp_connect=needs.network,
            )
        )
    except SandboxError as error:
        sys.exit(f"saslauthd: {error}")
