"""What postmap and postalias build out of a source, and how they change single entries."""

import logging
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mta.config import MainConfig
from mta.tables.base import TableError
from mta.tables.lmdb import built_file
from mta.tables.lmdbfile import Duplicate, remove, write
from mta.tables.textfile import FILE_LIMIT, parse_entries

log = logging.getLogger("postfix.tables")

# Types whose text source is what lookups read: there is nothing to build.
TEXT_TYPES = frozenset(["hash", "btree", "texthash"])


@dataclass(frozen=True)
class Job:
    """One table of the command line. aliases: the source is in aliases(5) format (postalias)."""

    kind: str
    source: Path
    config: MainConfig
    aliases: bool = False
    duplicate: Duplicate = Duplicate.WARN
    keep_owner: bool = False
    keep_mode: bool = True

    @property
    def spec(self) -> str:
        """The table as messages name it."""
        return f"{self.kind}:{self.source}"


def create(job: Job) -> None:
    """Read the whole source and make the table of it. Raises TableError; then the old table is still there."""
    try:
        status = job.source.stat()
        with job.source.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise TableError(f"open {job.source}: {error.strerror}") from error
    if len(data) > FILE_LIMIT:
        raise TableError(f"{job.source} is larger than {FILE_LIMIT} bytes")
    entries = _entries(data.decode("utf-8", "surrogateescape"), job)
    if job.kind in TEXT_TYPES:
        return
    _writable(job)
    with _as_owner(status, job.keep_owner), _mask(status.st_mode if job.keep_mode else 0o644):
        _store(job, entries, truncate=True)


def add(job: Job, lines: str) -> None:
    """Add entries in source form to the built table (postmap -i). Raises TableError."""
    _writable(job)
    _store(job, _entries(lines, job), truncate=False)


def delete(job: Job, keys: Sequence[str]) -> bool:
    """Remove entries from the built table (postmap -d); whether any was there. Raises TableError."""
    _writable(job)
    return remove(built_file(job.source), keys) > 0


def _writable(job: Job) -> None:
    if job.kind in TEXT_TYPES:
        raise TableError(f"{job.spec}: this table is its text source: change that")
    if job.kind != "lmdb":
        raise TableError(f"unsupported dictionary type: {job.kind} does not support bulk-mode creation.")


def _entries(text: str, job: Job) -> list[tuple[str, str]]:
    return list(parse_entries(text, job.source, aliases=job.aliases).items())


def _store(job: Job, entries: Iterable[tuple[str, str]], *, truncate: bool) -> None:
    size = job.config.int("lmdb_map_size")
    signed = [*entries, *(signature(job.config) if job.aliases else ())]
    if truncate:
        write(built_file(job.source), signed, truncate=True, duplicate=job.duplicate, map_size=size)
    else:
        write(built_file(job.source), entries, duplicate=job.duplicate, map_size=size)


def signature(config: MainConfig) -> Iterator[tuple[str, str]]:
    """The entries that postalias adds, as Sendmail and NIS expect them."""
    yield "@", "@"
    yield "YP_LAST_MODIFIED", f"{int(time.time()):010d}"
    yield "YP_MASTER_NAME", config.str("myhostname")


@contextmanager
def _mask(mode: int) -> Iterator[None]:
    """New files get the permissions of the source, at most 0644."""
    before = os.umask(0o777 & ~(mode & 0o644))
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _as_owner(status: os.stat_result, keep: bool) -> Iterator[None]:
    """Root works as the owner of the source, so that a file it makes belongs to that user (postmap -o: stay root)."""
    if keep or os.geteuid() != 0 or status.st_uid == 0:
        yield
        return
    group = os.getegid()
    os.setegid(status.st_gid)
    os.seteuid(status.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
