"""local, virtual and pipe lines of master.cf: processes that may become other users, and what the kernel leaves them.

They keep root where the supervisor has it, as local(8) and pipe(8) must: for each delivery a child becomes the
recipient. So the kernel holds the whole of them, with every command that they run, to what mail delivery needs:
programs may be run, and what everybody may read in /etc be read; only homes, the mail spool and temporary directories
may be written to; set-user-id bits have no effect. virtual(8) runs nothing, and writes below its base alone.
"""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lab.plan.mta import late_modules
from lab.sandbox import python_paths
from lab.supervisor.service import Rules, Service

if TYPE_CHECKING:
    from lab.plan.mta import Mta
    from mta.config import MainConfig, MasterService

ENTRY = "mta.delivery.host.service:prepare"

PROGRAMS = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/opt", "/proc", "/dev/zero", "/dev/random")
TEMPORARY = ("/tmp", "/var/tmp", "/dev/null")  # noqa: S108  where the kernel lets commands write, not where we do
HOMES = "/home"  # users may come while we run
MANY = 500  # homes elsewhere that get a rule each


def delivery_service(mta: Mta, program: str, lines: Iterable[MasterService]) -> Service:
    """One process for all lines that run `program`; it starts when there is mail for it."""
    return Service(
        name=program,
        entry=ENTRY,
        late=late_modules(),
        config=mta.config,
        listeners=tuple(
            mta.listener(f"private/{name}", name)
            for name in dict.fromkeys(line.name for line in lines if line.type == "unix")
        ),
        rules=_rules(program, mta.config, mta.rules()),
        log=mta.log(),
        on_demand=True,
        instance=mta.name,
    )


def _rules(program: str, config: MainConfig, base: Rules) -> Rules:
    """`base`: what every service with these tables may read."""
    read = (*base.read, *python_paths.ACCOUNTS)
    if program == "virtual":
        return Rules(read, write=_existing([config.str("virtual_mailbox_base")]), landlock=base.landlock)
    spool = [config.str("mail_spool_directory")] if program == "local" else []
    more = [*spool, *config.list("hardmail_delivery_directories")]
    own = (*_existing([HOMES, *more]), *(home for home in homes() if not home.is_relative_to(HOMES)))
    return Rules(
        (*read, *readable_by_all(Path("/etc"))),
        execute=(*_existing(PROGRAMS), *own),  # users have programs of their own
        write=(*_existing(TEMPORARY), *own),
        connect=True,  # commands are programs of their own: sendmail, spamc ...
        landlock=base.landlock,
    )


def _existing(names: Iterable[str]) -> tuple[Path, ...]:
    """Never the whole system: `/` would undo everything."""
    paths = (Path(name) for name in names if name.startswith("/") and name.strip("/"))
    return tuple(path for path in paths if path.exists())


def readable_by_all(directory: Path) -> tuple[Path, ...]:
    """What lies in a directory and is no secret: so /etc, but not /etc/shadow."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
        return tuple(Path(entry.path) for entry in entries if entry.stat().st_mode & stat.S_IROTH)
    except OSError:
        return ()


def homes() -> Iterator[Path]:
    """Home directories that belong to their users: those of services (/bin, /usr/sbin) do not, root's is left out."""
    for entry in pwd.getpwall()[:MANY]:
        home = Path(entry.pw_dir)
        try:
            status = home.lstat()
        except (OSError, ValueError):
            continue
        if entry.pw_uid != 0 and stat.S_ISDIR(status.st_mode) and status.st_uid == entry.pw_uid:
            yield home
