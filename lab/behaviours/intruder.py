"""Plays code that an attacker runs inside a service: confined as that service is, it tries to open files.

    python -m lab.behaviours.intruder CONFDIR SERVICE FILE ...

prints a line for each file: `opened FILE` or `refused FILE: reason`. The service is taken from the configuration and
confined by the very function that confines it when it serves; nothing here weakens or strengthens that.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lab import plan
from lab.supervisor import process


def main(confdir: str, service_name: str, *files: str) -> int:
    """Confine this process as the service and try each file; 0 unless there is no such service."""
    wanted = [service for service in plan.load(Path(confdir)).services if service.name == service_name]
    if not wanted:
        print(f"{confdir} has no service {service_name}", file=sys.stderr)
        return os.EX_USAGE
    process.confine(wanted[0], os.getppid())
    for file in files:
        try:
            # The content of a directory is the names in it.
            os.close(os.open(file, os.O_RDONLY))
            print(f"opened {file}")
        except OSError as error:
            print(f"refused {file}: {error.strerror}")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
