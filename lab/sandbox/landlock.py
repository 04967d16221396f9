"""Landlock through ctypes: what this process, and all it ever starts, may open, bind and connect to (landlock(7))."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntFlag
from pathlib import Path
from stat import S_ISDIR

# The numbers are the same on every architecture but alpha, which no Python 3.11 distribution supports.
_SYS_CREATE_RULESET, _SYS_ADD_RULE, _SYS_RESTRICT_SELF = 444, 445, 446
_NAMES = {444: "landlock_create_ruleset", 445: "landlock_add_rule", 446: "landlock_restrict_self"}
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_PR_SET_NO_NEW_PRIVS = 38
_HIGHEST_PORT = 65535

_libc = ctypes.CDLL(None, use_errno=True)


class LandlockError(OSError):
    """The kernel refused a rule set that it says it supports."""


class Access(IntFlag):
    """File system rights, `LANDLOCK_ACCESS_FS_*` of <linux/landlock.h>."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


_TCP_BIND, _TCP_CONNECT = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1 << 0, 1 << 1

# The first ABI that knows a right. A right the kernel does not know must not be named to it.
_FIRST_ABI_OF_ACCESS = {Access.REFER: 2, Access.TRUNCATE: 3, Access.IOCTL_DEV: 5}
_FIRST_ABI_OF_NETWORK = 4
_FIRST_ABI_OF_SCOPES = 6
FULL_ABI = _FIRST_ABI_OF_SCOPES
"""From this ABI on the kernel enforces everything that hardmail asks of it."""

_RIGHTS_OF_A_FILE = Access.EXECUTE | Access.WRITE_FILE | Access.READ_FILE | Access.TRUNCATE | Access.IOCTL_DEV
READ = Access.READ_FILE | Access.READ_DIR
EXECUTE = READ | Access.EXECUTE
# No device nodes and no device ioctls: a mail service makes files, directories, links and sockets.
WRITE = (
    READ | Access.WRITE_FILE | Access.TRUNCATE | Access.REMOVE_DIR | Access.REMOVE_FILE | Access.MAKE_DIR
    | Access.MAKE_REG | Access.MAKE_SOCK | Access.MAKE_FIFO | Access.MAKE_SYM | Access.REFER
)  # fmt: skip


class _RulesetAttr(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneathAttr(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


class _NetPortAttr(ctypes.Structure):
    _fields_ = (("allowed_access", ctypes.c_uint64), ("port", ctypes.c_uint64))


@dataclass(frozen=True)
class PathRule:
    """`access` to the file or the tree behind `descriptor` (opened with O_PATH)."""

    descriptor: int
    access: Access


@dataclass(frozen=True)
class Ruleset:
    """What stays allowed. Everything of a kind the kernel can forbid and that is not named here is forbidden."""

    paths: tuple[PathRule, ...] = ()
    tcp_connect: bool | Collection[int] = False
    tcp_bind: bool | Collection[int] = False
    abstract_sockets: bool = False
    signals: bool = False


def abi() -> int:
    """The kernel's Landlock version, 0 where it has none or has it switched off at boot."""
    version = _libc.syscall(_SYS_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_CREATE_RULESET_VERSION))
    if version >= 0:
        return int(version)
    if ctypes.get_errno() in (errno.ENOSYS, errno.EOPNOTSUPP):
        return 0
    raise _error("landlock_create_ruleset")


def open_path(path: Path) -> int:
    """A descriptor that names `path` without the right to read it; follows symbolic links; raises OSError."""
    return os.open(path, os.O_PATH | os.O_CLOEXEC)


def no_new_privileges() -> None:
    """From now on no execve gains privileges (prctl(2)); Landlock demands this of whoever is not root."""
    prctl(_PR_SET_NO_NEW_PRIVS, 1)


def prctl(option: int, argument: int) -> None:
    """prctl(2) for the options that take one number; raises OSError."""
    unused = ctypes.c_ulong(0)
    if _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(argument), unused, unused, unused) != 0:
        raise _error("prctl")


def restrict_self(rules: Ruleset, version: int | None = None) -> int:
    """
    Put the calling thread under `rules` for ever and return the ABI they were made for (0: nothing was done).

    Only the calling thread and what it starts later are bound, so this comes before the first thread. `version`
    pretends an older kernel. Raises LandlockError if a supported rule set is refused.
    """
    version = abi() if version is None else min(version, abi())
    if version == 0:
        return 0
    handled, network = _filesystem_rights(version), _network_rights(rules, version)
    attributes = _RulesetAttr(handled, network, _scopes(rules, version))
    # An older kernel takes a shorter structure and refuses set fields beyond it; they are zero for it by now.
    ruleset = _call(_SYS_CREATE_RULESET, ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)), 0)
    try:
        for rule in rules.paths:
            _allow_path(ruleset, rule, handled)
        for right, ports in ((_TCP_CONNECT, rules.tcp_connect), (_TCP_BIND, rules.tcp_bind)):
            if network & right and not isinstance(ports, bool):
                _allow_ports(ruleset, right, ports)
        no_new_privileges()
        _call(_SYS_RESTRICT_SELF, ctypes.c_int(ruleset), 0)
    finally:
        os.close(ruleset)
    return version


def _filesystem_rights(version: int) -> Access:
    known = (right for right in Access if _FIRST_ABI_OF_ACCESS.get(right, 1) <= version)
    return Access(sum(known))


def _network_rights(rules: Ruleset, version: int) -> int:
    if version < _FIRST_ABI_OF_NETWORK:
        return 0
    return (0 if rules.tcp_connect is True else _TCP_CONNECT) | (0 if rules.tcp_bind is True else _TCP_BIND)


def _scopes(rules: Ruleset, version: int) -> int:
    if version < _FIRST_ABI_OF_SCOPES:
        return 0
    return (0 if rules.abstract_sockets else _SCOPE_ABSTRACT_SOCKETS) | (0 if rules.signals else _SCOPE_SIGNALS)


def _allow_path(ruleset: int, rule: PathRule, handled: Access) -> None:
    access = rule.access & handled
    if not S_ISDIR(os.fstat(rule.descriptor).st_mode):
        access &= _RIGHTS_OF_A_FILE
    attributes = _PathBeneathAttr(access, rule.descriptor)
    _call(_SYS_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_PATH_BENEATH), ctypes.byref(attributes), 0)


def _allow_ports(ruleset: int, right: int, ports: Iterable[int]) -> None:
    for port in ports:
        if not 0 <= port <= _HIGHEST_PORT:
            raise ValueError(f"no TCP port: {port}")
        attributes = _NetPortAttr(right, port)
        _call(_SYS_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_RULE_NET_PORT), ctypes.byref(attributes), 0)


def _call(number: int, *arguments: object) -> int:
    passed = (ctypes.c_ulong(argument) if isinstance(argument, int) else argument for argument in arguments)
    result = _libc.syscall(ctypes.c_long(number), *passed)
    if result < 0:
        raise _error(_NAMES[number])
    return int(result)


def _error(call: str) -> LandlockError:
    number = ctypes.get_errno()
    return LandlockError(number, f"{call}: {os.strerror(number)}")
