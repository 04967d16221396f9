"""postmap(1) and postalias(1): build lookup tables from the command line, ask them, list them, change entries."""

import asyncio
import getopt
import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mta.config import ConfigErrors, MainConfig
from mta.config.maincf import read_settings
from mta.tables.base import SpecError, Table, TableError
from mta.tables.build import TEXT_TYPES, Job, add, create, delete
from mta.tables.lmdb import built_file
from mta.tables.lmdbfile import Duplicate
from mta.tables.registry import TYPES, open_table
from mta.tables.textfile import FILE_LIMIT

HELP = """usage: {name} [-c DIR] [-r | -w] [TYPE:]TABLE ...   build lmdb: tables; check the text source of others
       {name} [-c DIR] -i [-r | -w] [TYPE:]TABLE    add entries read from standard input
       {name} [-c DIR] -d KEY [TYPE:]TABLE ...      remove an entry; - reads keys from standard input
       {name} [-c DIR] -q KEY [TYPE:]TABLE ...      print the value for a key; - reads keys from standard input
       {name} [-c DIR] -s [TYPE:]TABLE ...          print all entries
example: {name} lmdb:/etc/postfix/virtual && {name} -q user@example.com lmdb:/etc/postfix/virtual
"""
LETTERS = {"postmap": "bc:d:fFhimnNopq:rsuUvw", "postalias": "c:d:finNopq:rsuvw"}
SYNOPSIS = "usage: {name} [-{flags}] [-c config_dir] [-d key] [-q key] [map_type:]file..."
FLAGS = {"postmap": "bfFhimnNoprsuUvw", "postalias": "Nfinoprsuvw"}
DEFAULT_CONFDIR = "/etc/postfix"
# Keys read by `-q -`, one a line.
KEY_LINE_LIMIT = 110_000
EX_OK, EX_NOT_FOUND = 0, 1


class CommandError(Exception):
    """A message for the user; the command ends with status 1."""


def main(argv: Sequence[str], *, name: str = "postmap") -> int:
    """Run postmap with the given arguments (without the program name); the exit status is returned."""
    with _messages(name):
        try:
            return asyncio.run(_run(argv, name))
        except (CommandError, SpecError, TableError, ConfigErrors) as error:
            sys.stderr.write(f"{name}: fatal: {error}\n")
            return 1


def _misused(name: str) -> CommandError:
    return CommandError(SYNOPSIS.format(name=name, flags=FLAGS[name]))


@contextmanager
def _messages(name: str) -> Iterator[None]:
    """Warnings about tables go to standard error, with the program's name in front, as Postfix writes them."""
    logger = logging.getLogger("postfix.tables")
    handler = logging.StreamHandler()
    handler.setFormatter(_Formatter(f"{name}: %(word)s: %(message)s"))
    before, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = before


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        record.word = record.levelname.lower()
        return super().format(record)


def postalias_main(argv: Sequence[str]) -> int:
    """Run postalias: the same for aliases(5) sources."""
    return main(argv, name="postalias")


async def _run(argv: Sequence[str], name: str) -> int:
    try:
        pairs, specs = getopt.getopt(list(argv), LETTERS[name], ["help"])
    except getopt.GetoptError as error:
        what = "option requires an argument" if f"{error.opt}:" in LETTERS[name] else "invalid option"
        sys.stderr.write(f"{name}: {what} -- '{error.opt}'\n")
        raise _misused(name) from None
    options = dict(pairs)
    if "--help" in options:
        sys.stdout.write(HELP.format(name=name))
        return EX_OK
    config = _config(Path(options.get("-c") or os.environ.get("MAIL_CONFIG", DEFAULT_CONFDIR)))
    if not specs:
        raise _misused(name)
    if sum(option in ("-d", "-q", "-s") for option, _ in pairs) > 1:
        raise CommandError("specify only one of -s -q or -d")
    if options.keys() & {"-b", "-h", "-m"} and options.get("-q") != "-":
        raise CommandError('specify -b -h or -m only with "-q -"')
    if not options.keys() & {"-q", "-s"}:
        return _change(specs, options, config, name)
    tables = [_open(spec, config, name == "postalias") for spec in specs]
    try:
        if "-q" not in options:
            return _sequence(tables, ":" if name == "postalias" else "")
        return await _query(tables, options["-q"], frozenset(options))
    finally:
        for table in tables:
            await table.aclose()


def _change(specs: Sequence[str], options: dict[str, str], config: MainConfig, name: str) -> int:
    """Build, add or delete. The status is 1 if keys were to be deleted and none was there."""
    duplicate = Duplicate.REPLACE if "-r" in options else Duplicate.IGNORE if "-w" in options else Duplicate.WARN
    found = False
    for spec in specs:
        kind, _, path = _full(spec, config).partition(":")
        if kind not in TYPES:
            raise SpecError(f"unsupported dictionary type: {kind}")
        keep_mode = "-p" not in options
        job = Job(kind, Path(path), config, name == "postalias", duplicate, "-o" in options, keep_mode)
        if "-d" in options:
            found |= delete(job, _lines() if options["-d"] == "-" else [options["-d"]])
        elif "-i" in options:
            add(job, sys.stdin.read(FILE_LIMIT))
        elif kind not in TEXT_TYPES and kind != "lmdb":
            raise SpecError(f"unsupported dictionary type: {kind} does not support bulk-mode creation.")
        else:
            create(job)
            if kind in TEXT_TYPES:
                sys.stderr.write(f"{name}: {job.spec} is checked; lookups read the text itself, nothing is built\n")
    return EX_OK if found or "-d" not in options else EX_NOT_FOUND


def _lines() -> list[str]:
    return [line.rstrip("\n") for line in iter(lambda: sys.stdin.readline(KEY_LINE_LIMIT), "")]


def _full(spec: str, config: MainConfig) -> str:
    """A table as the command line names it, with its type; relative names are the user's, not the queue's."""
    if ":" not in spec:
        spec = f"{config.str('default_database_type')}:{spec}"
    kind, _, rest = spec.partition(":")
    if rest and not rest.startswith(("/", "{")) and (Path(rest).is_file() or built_file(Path(rest)).is_file()):
        spec = f"{kind}:{Path(rest).absolute()}"
    return spec


def _config(confdir: Path) -> MainConfig:
    """main.cf as far as it can be read: tables can be asked without one, and with one that has mistakes."""
    try:
        settings, _warnings = read_settings(confdir / "main.cf")
    except ConfigErrors:
        settings = {}
    return MainConfig(confdir, settings)


def _open(spec: str, config: MainConfig, aliases: bool) -> Table:
    return open_table(_full(spec, config), config, aliases=aliases)


async def _query(tables: Sequence[Table], key: str, flags: frozenset[str]) -> int:
    found = False
    for asked in _asked(flags) if key == "-" else [key]:
        for table in tables:
            if (value := await table.lookup(asked)) is not None:
                sys.stdout.write(f"{asked}\t{value}\n" if key == "-" else f"{value}\n")
                found = True
                break
    return EX_OK if found else EX_NOT_FOUND


def _asked(flags: frozenset[str]) -> Iterator[str]:
    """The keys on standard input: lines; with -h the headers of a message, with -b its body, with -m as MIME parts."""
    if not flags & {"-h", "-b"}:
        yield from _lines()
        return
    # The message is taken apart as for header_checks and body_checks.
    from mta.message import headers, mime

    content = sys.stdin.read(FILE_LIMIT).replace("\n", "\r\n").encode("utf-8", "surrogateescape")
    fields, rest = headers.split(content)
    if "-h" in flags:
        yield from (each.text for each in fields)
    for piece in mime.walk(fields if "-m" in flags else [], rest):
        is_header = piece.kind in (mime.Kind.MIME_HEADER, mime.Kind.NESTED_HEADER)
        if ("-h" if is_header else "-b") in flags:
            yield piece.octets.decode("utf-8", "surrogateescape").removesuffix("\r\n").replace("\r\n", "\n")


def _sequence(tables: Sequence[Table], mark: str) -> int:
    for table in tables:
        for key, value in table.sequence():
            sys.stdout.write(f"{key}{mark}\t{value}\n")
    return EX_OK
