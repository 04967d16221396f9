"""Options that several subcommands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

DIRECTORY = click.Path(path_type=Path, file_okay=False)
CONFDIR = click.Path(path_type=Path, file_okay=False, exists=True)
WHICH = [
    click.option("--dir", "directory", type=DIRECTORY, help="The lab in this directory (default: the youngest)."),
    click.option("-c", "confdir", type=DIRECTORY, metavar="CONFDIR", help="The one that runs this configuration."),
]


def which(command: Callable[..., None]) -> Callable[..., None]:
    """Adds the options that choose a running supervisor."""
    for option in reversed(WHICH):
        command = option(command)
    return command
