"""Users and groups: who a service runs as, and who owns its sockets and directories."""

from __future__ import annotations

import grp
import logging
import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from lab.sandbox import walk

log = logging.getLogger("hardmail")

# An unprivileged stand-in for a default user that the machine lacks: three different ones, so that
# the mail store, the queue and the password files still belong to different users.
FALLBACKS = {"mta": "nobody", "auth": "daemon", "login": "nobody", "mail": "mail"}


class UnknownUser(LookupError):
    """The user or group does not exist on this machine; the message is for the operator."""


@dataclass(frozen=True)
class Identity:
    """A user with its primary and supplementary groups, by name and by number."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


def privileged() -> bool:
    """Whether this process may become another user."""
    return os.geteuid() == 0


def myself() -> Identity:
    """The identity this process has now."""
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Identity(name, uid, os.getegid(), tuple(os.getgroups()))


def identity(user: str, group: str | None = None) -> Identity:
    """The identity of `user` (a name or digits), with `group` as its primary group if given. Raises UnknownUser."""
    try:
        entry = pwd.getpwuid(int(user)) if user.isdecimal() else pwd.getpwnam(user)
        name, uid, gid = entry.pw_name, entry.pw_uid, entry.pw_gid
    except KeyError:
        if not user.isdecimal():
            raise UnknownUser(f"unknown user: {user}") from None
        name, uid, gid = user, int(user), int(user)
    if group is not None:
        gid = group_id(group)
    return Identity(
        name, uid, gid, tuple(os.getgrouplist(name, gid)) if name != user or not user.isdecimal() else (gid,)
    )


def user_id(user: str) -> int:
    """The number of a user given by name or digits. Raises UnknownUser."""
    return identity(user).uid


def group_id(group: str) -> int:
    """The number of a group given by name or digits. Raises UnknownUser."""
    if group.isdecimal():
        return int(group)
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise UnknownUser(f"unknown group: {group}") from None


def service_identity(user: str, *, explicit: bool, role: str, parameter: str) -> Identity | None:
    """Who a service runs as: None keeps the present user (an ordinary user cannot change it).

    A default user that the machine lacks is replaced by another unprivileged one, with a log line;
    a user that the configuration names itself must exist. Raises UnknownUser.
    """
    if not privileged():
        return None
    try:
        return identity(user)
    except UnknownUser:
        if explicit:
            raise UnknownUser(f"{parameter} = {user}: no such user on this machine") from None
    stand_in = identity(FALLBACKS[role])
    log.info("%s: the default user %s does not exist here; %s stands in", parameter, user, stand_in.name)
    return stand_in


def make_directory(path: Path, mode: int, owner: Identity | None = None, gid: int | None = None) -> None:
    """Make `path` with `mode`, parents 0755, and give it to `owner`; a directory that is there keeps its mode.

    Raises OSError.
    """
    walk.make_directories(path.parent)
    parent = walk.open_directory(path.parent)
    try:
        os.mkdir(path.name, mode, dir_fd=parent)
        directory = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    except FileExistsError:
        os.close(walk.open_directory(path))
        return
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        os.close(parent)
    try:
        if (owner is not None or gid is not None) and privileged():
            os.fchown(directory, owner.uid if owner else -1, gid if gid is not None else owner.gid if owner else -1)
        os.fchmod(directory, mode)  # mkdir's mode is cut by the umask
    finally:
        os.close(directory)
