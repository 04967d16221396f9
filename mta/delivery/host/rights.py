"""Doing one thing as another user: a child that gives up everything else, acts, and reports (local(8) set_eugid)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import resource
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn

MAX_ANSWER: Final = 1 << 20
"""Octets that a child may answer: a .forward file is the longest."""
_DESCRIPTORS: Final = 1 << 20


class CannotBecome(Exception):
    """The process may not act as that user."""


class ChildFailed(Exception):
    """The child ended without an answer."""


@dataclass(frozen=True, slots=True)
class Rights:
    """User and group to act as; supplementary groups are never taken along."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class User:
    """An entry of the user database."""

    name: str
    rights: Rights
    home: str
    shell: str


def user_named(name: str) -> User | None:
    """The user of that name. Raises OSError if the database does not answer."""
    try:
        return _user(pwd.getpwnam(name))
    except (KeyError, ValueError):  # ValueError: a NUL or a surrogate is in no name
        return None


def user_numbered(uid: int) -> User | None:
    """The user with that number."""
    try:
        return _user(pwd.getpwuid(uid))
    except (KeyError, OverflowError):
        return None


def _user(entry: pwd.struct_passwd) -> User:
    return User(entry.pw_name, Rights(entry.pw_uid, entry.pw_gid), entry.pw_dir, entry.pw_shell)


def privileged() -> bool:
    """Whether this process can become another user."""
    return 0 in os.getresuid()


def become(rights: Rights, root: str = "") -> None:
    """Be that user for good, below `root` if that is given. Raises CannotBecome, OSError."""
    if not privileged():
        if rights.uid != os.geteuid() or root:
            raise CannotBecome(f"cannot act as user id {rights.uid}: the mail system does not run as root")
        return
    os.seteuid(0)
    os.setegid(0)
    if root:
        os.chroot(root)
        os.chdir("/")
    os.setgroups([rights.gid])
    os.setresgid(rights.gid, rights.gid, rights.gid)
    os.setresuid(rights.uid, rights.uid, rights.uid)


@contextlib.contextmanager
def acting(rights: Rights) -> Iterator[None]:
    """Inside: the effective user. For the root who opened a mailbox, so that quotas are the recipient's."""
    if os.geteuid() != 0 or rights.uid == 0:
        yield
        return
    os.setegid(rights.gid)
    os.seteuid(rights.uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


async def act_as(rights: Rights, work: Callable[[], Any], *, file_limit: int = 0, root: str = "") -> Any:
    """Run `work` in a child that is `rights`, below `root`; what it returns goes through JSON.

    `file_limit`: octets that a file may have, 0 is no limit; a longer one is EFBIG. Raises CannotBecome, ChildFailed,
    and OSError with the number that `work` met.
    """
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        _be_child(lambda: _done(rights, work, root), sender, file_limit)
    os.close(sender)
    try:
        answer = await _read(receiver)
    except BaseException:
        _kill(pid)
        raise
    finally:
        os.close(receiver)
        os.waitpid(pid, 0)  # noqa: ASYNC222  it closed its end of the pipe, or was killed: it is about to be gone
    return _understood(answer)


def _kill(pid: int) -> None:
    """A child that is another user already can only be killed by root."""
    effective = os.geteuid()
    if privileged():
        os.seteuid(0)
    os.kill(pid, signal.SIGKILL)
    os.seteuid(effective)


def _understood(answer: bytes) -> Any:
    if not answer.endswith(b"\n"):
        raise ChildFailed("the delivery process ended before its time")
    told = json.loads(answer)
    if "errno" in told:
        raise OSError(told["errno"], os.strerror(told["errno"]), told["file"])
    if "refused" in told:
        raise CannotBecome(told["refused"])
    if "fault" in told:
        raise ChildFailed(told["fault"])
    return told["done"]


async def _read(receiver: int) -> bytes:
    """Everything up to the end of the pipe."""
    loop = asyncio.get_running_loop()
    os.set_blocking(receiver, False)
    parts: list[bytes] = []
    ended = loop.create_future()

    def readable() -> None:
        try:
            part = os.read(receiver, 65536)
        except BlockingIOError:
            return
        parts.append(part)
        if not ended.done() and (not part or sum(map(len, parts)) > MAX_ANSWER):
            ended.set_result(None)

    loop.add_reader(receiver, readable)
    try:
        await ended
    finally:
        loop.remove_reader(receiver)
    return b"".join(parts)


def _be_child(act: Callable[[], dict[str, Any]], sender: int, file_limit: int) -> NoReturn:
    """In the child: nothing of the parent's may be touched, and nothing may return into it."""
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.closerange(3, sender)
        os.closerange(sender + 1, _DESCRIPTORS)
        if file_limit:
            resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
        told = act()
        octets = json.dumps(told).encode() + b"\n"
        while octets:
            octets = octets[os.write(sender, octets) :]
    finally:
        os._exit(0)


def _done(rights: Rights, work: Callable[[], Any], root: str) -> dict[str, Any]:
    try:
        become(rights, root)
        return {"done": work()}
    except OSError as error:
        return {"errno": error.errno or 0, "file": str(error.filename or "")}
    except CannotBecome as error:
        return {"refused": str(error)}
    except Exception as error:
        return {"fault": f"{type(error).__name__}: {error}"}
