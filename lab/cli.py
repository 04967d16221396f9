"""The `hardmail` command: its subcommands, and the tools it becomes when called by their names."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from lab import run, tools
from lab.errors import LabError


def main() -> NoReturn:
    """Run the command line and exit with its status (sysexits.h)."""
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if tools.known(name):
        sys.exit(tools.run(name, arguments))
    if arguments and tools.known(arguments[0]):
        sys.exit(tools.run(arguments[0], arguments[1:]))
    try:
        if confdirs := run.directories(arguments):
            run.run(confdirs)
        else:
            from lab.commands import hardmail

            hardmail(args=arguments, prog_name="hardmail")
    except LabError as error:
        for line in error.lines:
            print(f"hardmail: {line}", file=sys.stderr)
        sys.exit(error.status)
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(os.EX_OK)
