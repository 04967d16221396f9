"""postmap(1) and postalias(1): ask lookup tables from the command line, list them, check their sources."""

import asyncio
import getopt
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from mta.config import ConfigErrors, MainConfig
from mta.config.maincf import read_settings
from mta.tables.base import SpecError, Table, TableError
from mta.tables.registry import open_table
from mta.tables.textfile import TextTable

USAGE = """usage: {name} [-c DIR] -q KEY [TYPE:]TABLE ...    print the value for a key; - reads keys from standard input
       {name} [-c DIR] -s [TYPE:]TABLE ...        print all entries
       {name} [-c DIR] [TYPE:]TABLE ...           check a table's source; tables are read from it directly
example: {name} -q user@example.com hash:/etc/postfix/virtual
"""
DEFAULT_CONFDIR = "/etc/postfix"
# Keys read by `-q -`, one a line.
KEY_LINE_LIMIT = 110_000
EX_OK, EX_NOT_FOUND = 0, 1


class CommandError(Exception):
    """A message for the user; the command ends with status 1."""


def main(argv: Sequence[str], *, name: str = "postmap") -> int:
    """Run postmap with the given arguments (without the program name); the exit status is returned."""
    try:
        return asyncio.run(_run(argv, name))
    except (CommandError, SpecError, TableError, ConfigErrors) as error:
        sys.stderr.write(f"{name}: fatal: {error}\n")
        return 1


def postalias_main(argv: Sequence[str]) -> int:
    """Run postalias: the same for aliases(5) sources."""
    return main(argv, name="postalias")


async def _run(argv: Sequence[str], name: str) -> int:
    try:
        pairs, specs = getopt.getopt(list(argv), "bc:d:fFhimnNopq:rsuvw", ["help"])
    except getopt.GetoptError as error:
        raise CommandError(f"{error}\n{USAGE.format(name=name)}") from error
    options = dict(pairs)
    if "--help" in options:
        sys.stdout.write(USAGE.format(name=name))
        return EX_OK
    config = _config(Path(options.get("-c") or os.environ.get("MAIL_CONFIG", DEFAULT_CONFDIR)))
    if "-d" in options:
        raise CommandError("entries are deleted in the source file")
    if not specs:
        raise CommandError(f"no table is given\n{USAGE.format(name=name)}")
    tables = [_open(spec, config, name == "postalias") for spec in specs]
    if "-q" in options:
        return await _query(tables, options["-q"])
    if "-s" in options:
        return _sequence(tables)
    for table in tables:
        if not isinstance(table, TextTable):
            raise CommandError(f"{table.name}: this type has no source to check")
        table.source.content()
    return EX_OK


def _config(confdir: Path) -> MainConfig:
    """main.cf as far as it can be read: tables can be asked without one, and with one that has mistakes."""
    try:
        settings, _warnings = read_settings(confdir / "main.cf")
    except ConfigErrors:
        settings = {}
    return MainConfig(confdir, settings)


def _open(spec: str, config: MainConfig, aliases: bool) -> Table:
    if ":" not in spec:
        spec = f"{config.str('default_database_type')}:{spec}"
    kind, _, rest = spec.partition(":")
    # Relative names are the user's, not the queue's.
    if not rest.startswith(("/", "{")) and Path(rest).is_file():
        spec = f"{kind}:{Path(rest).absolute()}"
    return open_table(spec, config, aliases=aliases)


async def _query(tables: Sequence[Table], key: str) -> int:
    if key != "-":
        for table in tables:
            if (value := await table.lookup(key)) is not None:
                sys.stdout.write(f"{value}\n")
                return EX_OK
        return EX_NOT_FOUND
    found = False
    for line in iter(lambda: sys.stdin.readline(KEY_LINE_LIMIT), ""):
        asked = line.rstrip("\n")
        for table in tables:
            if (value := await table.lookup(asked)) is not None:
                sys.stdout.write(f"{asked}\t{value}\n")
                found = True
                break
    return EX_OK if found else EX_NOT_FOUND


def _sequence(tables: Sequence[Table]) -> int:
    for table in tables:
        for key, value in table.sequence():
            sys.stdout.write(f"{key}\t{value}\n")
    return EX_OK
