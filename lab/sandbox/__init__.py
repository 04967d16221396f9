"""What a service process gives up before it meets the network: privileges, files, sockets, memory, core dumps."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import signal
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.sandbox import landlock

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_ROOT = 0


class SandboxError(Exception):
    """The process could not be confined as asked and must not run; the text says why."""


@dataclass(frozen=True)
class Limits:
    """setrlimit(2) values; None leaves a limit as it is. An ordinary user's limits are cut to what it may have."""

    open_files: int | None = None
    core_bytes: int | None = 0
    """0: a crash must not write passwords and mail to the disk."""
    address_space_bytes: int | None = None
    file_bytes: int | None = None
    processes: int | None = None
    """Counts all processes of the user, not only this service's."""


@dataclass(frozen=True)
class Confinement:
    """
    Everything a service may still do. The default is: nothing but compute and use what it has already opened.

    Paths are looked up before the change of root and user, so they are named as the supervisor sees them. A
    directory stands for the tree beneath it. Connecting to a unix socket is ruled by its file mode, not by these
    paths; UDP is not ruled at all (Landlock has no rules for either).
    """

    user: str | int | None = None
    group: str | int | None = None
    """None: the user's own group."""
    groups: Sequence[str | int] = ()
    """Supplementary groups, instead of the ones the supervisor runs with."""
    chroot: Path | None = None
    read: Sequence[Path] = ()
    """Readable; a missing one is left out and told in `Enforcement.missing`."""
    execute: Sequence[Path] = ()
    """Readable and executable."""
    write: Sequence[Path] = ()
    """Readable and writable; must exist."""
    tcp_connect: bool | Collection[int] = False
    """True: anywhere; ports: only to these; False: nowhere."""
    tcp_bind: bool | Collection[int] = False
    abstract_sockets: bool = False
    """May reach abstract unix sockets of processes outside."""
    signals: bool = False
    """May signal processes outside."""
    limits: Limits = field(default_factory=Limits)
    umask: int = 0o077
    parent: int | None = None
    """Process id of the supervisor, taken before the fork: this process is killed when that one dies."""
    landlock: bool = True
    """False only for the weakened twin of the kernel-jail behaviour."""


@dataclass(frozen=True)
class Enforcement:
    """What the kernel really enforces now; told to the supervisor's log and to `hardmail check`."""

    landlock_abi: int
    """0: no Landlock, files and TCP are ruled by file modes alone."""
    uid: int
    gid: int
    user_changed: bool
    """False where the supervisor is an ordinary user: the service then runs as that user."""
    chrooted: bool
    missing: tuple[Path, ...] = ()

    @property
    def degree(self) -> str:
        """`full`, `partial` (an older kernel: some kinds of access are not ruled) or `none`."""
        if self.landlock_abi == 0:
            return "none"
        return "full" if self.landlock_abi >= landlock.FULL_ABI else "partial"

    def __str__(self) -> str:
        root = ", own root directory" if self.chrooted else ""
        return f"uid {self.uid}, gid {self.gid}{root}, Landlock {self.degree} (ABI {self.landlock_abi})"


def confine(wanted: Confinement) -> Enforcement:
    """
    Confine the calling process for ever; raises SandboxError, after which the process must exit.

    Call it in a freshly forked child that has one thread: Landlock binds threads, not processes. Works as root and,
    without the change of user and root, as an ordinary user.
    """
    _demand_one_thread()
    privileged = os.geteuid() == _ROOT
    identity = _identity(wanted) if privileged else None
    try:
        with _opened(wanted) as (rules, missing):
            _set_limits(wanted.limits)
            os.umask(wanted.umask)
            chrooted = privileged and wanted.chroot is not None
            if chrooted and wanted.chroot is not None:
                os.chroot(wanted.chroot)
                os.chdir("/")
            if identity is not None:
                _become(*identity)
            _follow_parent(wanted.parent)
            # Neither a core file nor another process of this user may look into the memory (ptrace(2)).
            landlock.prctl(_PR_SET_DUMPABLE, 0)
            landlock.no_new_privileges()
            version = landlock.restrict_self(rules) if wanted.landlock else 0
    except (OSError, ValueError) as error:
        raise SandboxError(f"cannot confine the process: {error}") from error
    return Enforcement(version, os.getuid(), os.getgid(), identity is not None, chrooted, missing)


def _demand_one_thread() -> None:
    threads = sum(1 for _ in Path("/proc/self/task").iterdir())
    if threads != 1:
        raise SandboxError(f"cannot confine a process with {threads} threads: Landlock would bind only one of them")


@contextmanager
def _opened(wanted: Confinement) -> Iterator[tuple[landlock.Ruleset, tuple[Path, ...]]]:
    """The path rules as descriptors, opened while this process still may."""
    rules: list[landlock.PathRule] = []
    missing: list[Path] = []

    def add(paths: Iterable[Path], access: landlock.Access, required: bool) -> None:
        for path in paths:
            try:
                rules.append(landlock.PathRule(landlock.open_path(path), access))
            except (FileNotFoundError, NotADirectoryError):
                if required:
                    raise
                missing.append(path)

    try:
        add(wanted.read, landlock.READ, required=False)
        add(wanted.execute, landlock.EXECUTE, required=False)
        add(wanted.write, landlock.WRITE, required=True)
        yield (
            landlock.Ruleset(
                tuple(rules), wanted.tcp_connect, wanted.tcp_bind, wanted.abstract_sockets, wanted.signals
            ),
            tuple(missing),
        )
    finally:
        for rule in rules:
            os.close(rule.descriptor)


def _identity(wanted: Confinement) -> tuple[int, int, list[int]] | None:
    """(uid, gid, supplementary gids) to become, None to stay; raises SandboxError for a name that nobody has."""
    if wanted.user is None and wanted.group is None:
        return None
    uid, own_group = os.getuid(), os.getgid()
    if isinstance(wanted.user, str):
        try:
            entry = pwd.getpwnam(wanted.user)
        except KeyError:
            raise SandboxError(f"no such user: {wanted.user}") from None
        uid, own_group = entry.pw_uid, entry.pw_gid
    elif wanted.user is not None:
        # A bare number need not be in the user database; its group then has the same number.
        uid = own_group = wanted.user
    gid = own_group if wanted.group is None else _group_id(wanted.group)
    return uid, gid, [_group_id(name) for name in wanted.groups]


def _group_id(group: str | int) -> int:
    if isinstance(group, int):
        return group
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise SandboxError(f"no such group: {group}") from None


def _become(uid: int, gid: int, groups: list[int]) -> None:
    """Groups first, while that is still permitted; then prove that there is no way back."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid,) * 3 or os.getresgid() != (gid,) * 3 or set(os.getgroups()) - {gid} - set(groups):
        raise SandboxError(f"the kernel did not take uid {uid}, gid {gid}, groups {groups}")
    if uid == _ROOT:
        return
    try:
        os.setresuid(_ROOT, _ROOT, _ROOT)
    except PermissionError:
        return
    raise SandboxError("privileges were dropped but could be taken back")


def _follow_parent(parent: int | None) -> None:
    """Die with the supervisor. The kernel forgets the wish at a change of user, so this comes after it."""
    if parent is None:
        return
    landlock.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        raise SandboxError("the supervisor died while this process was starting")


def _set_limits(limits: Limits) -> None:
    for kind, value in (
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_CORE, limits.core_bytes),
        (resource.RLIMIT_AS, limits.address_space_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NPROC, limits.processes),
    ):
        if value is None:
            continue
        try:
            resource.setrlimit(kind, (value, value))
        except ValueError:  # above the hard limit, and even root may lack CAP_SYS_RESOURCE
            hard = resource.getrlimit(kind)[1]
            resource.setrlimit(kind, (hard, hard))
