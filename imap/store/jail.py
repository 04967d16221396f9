"""The jail: every file of the store is reached from a directory descriptor and no path can leave it.

A path of several components is opened by openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
RESOLVE_NO_MAGICLINKS; where the kernel (< 5.6) or a filter has no such call, component by component with O_NOFOLLOW,
which gives the same guarantee at one system call per component. All other operations take a single component
relative to a descriptor, never follow a symbolic link and never see `/` or `..`.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from imap.store.errors import JailEscape

_SYS_OPENAT2 = 437  # the same number on every architecture
_RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_BENEATH = 0x02, 0x04, 0x08
_RESOLVE = _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_SYMLINKS | _RESOLVE_BENEATH
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

# Control files (subscriptions, keywords, uidlist of a mailbox of a million mails) stay below this; a mail is read by
# its own size. Keeps a planted monster file from filling the memory.
CONTROL_FILE_LIMIT = 256 * 1024 * 1024
# A directory tree deeper than this is none of ours.
DEPTH_LIMIT = 64


class _OpenHow(ctypes.Structure):
    _fields_ = [("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64)]


_libc = ctypes.CDLL(None, use_errno=True)


class _Openat2:
    """Whether openat2 may be used: learnt on the first call (ENOSYS, or EPERM by a seccomp filter)."""

    usable = True


def _openat2(directory: int, path: str, flags: int, mode: int) -> int:
    how = _OpenHow(flags=flags, mode=mode, resolve=_RESOLVE)
    result: int = _libc.syscall(_SYS_OPENAT2, directory, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def _open_by_component(directory: int, components: list[str], flags: int, mode: int) -> int:
    """What openat2 does, for kernels without it."""
    current = os.open(".", _DIRECTORY, dir_fd=directory)
    try:
        for component in components[:-1]:
            step = os.open(component, _DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
            os.close(current)
            current = step
        return os.open(components[-1], flags | os.O_NOFOLLOW, mode, dir_fd=current)
    finally:
        os.close(current)


def _components(path: str) -> list[str]:
    """Split a relative path; refuses whatever could climb. Raises JailEscape."""
    components = path.split("/")
    if "\0" in path or len(components) > DEPTH_LIMIT or any(part in ("", ".", "..") for part in components):
        raise JailEscape(reason=f"path refused: {path!r}")
    return components


def open_beneath(directory: int, path: str, flags: int, mode: int = 0o600) -> int:
    """Open `path` beneath the directory descriptor. Raises JailEscape for any way out, otherwise OSError."""
    components = _components(path)
    flags |= os.O_CLOEXEC
    if not flags & os.O_CREAT:
        mode = 0
    try:
        if _Openat2.usable:
            try:
                return _openat2(directory, path, flags, mode)
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.EPERM):
                    raise
                _Openat2.usable = False
        return _open_by_component(directory, components, flags, mode)
    except OSError as error:
        if error.errno in (errno.EXDEV, errno.ELOOP) or (error.errno == errno.ENOTDIR and _is_link(directory, path)):
            raise JailEscape(reason=f"path would leave the mail root: {path!r}") from error
        raise


def _is_link(directory: int, path: str) -> bool:
    """Whether a component is a symbolic link (O_NOFOLLOW|O_DIRECTORY tells ENOTDIR for one). No link is followed."""
    components = path.split("/")
    try:
        current = os.dup(directory)
        try:
            for component in components:
                if stat.S_ISLNK(os.stat(component, dir_fd=current, follow_symlinks=False).st_mode):
                    return True
                step = os.open(component, _DIRECTORY | os.O_NOFOLLOW, dir_fd=current)
                os.close(current)
                current = step
        finally:
            os.close(current)
    except OSError:
        return False
    return False


def _single(name: str) -> str:
    """A name for a `dir_fd` call: one component, nothing that climbs. Raises JailEscape."""
    if not name or "/" in name or "\0" in name or name in (".", ".."):
        raise JailEscape(reason=f"not a single path component: {name!r}")
    return name


class Directory:
    """An open directory inside the jail. `path` is for log lines only and is never opened again."""

    def __init__(self, descriptor: int, path: str) -> None:
        self.fd = descriptor
        self.path = path

    @classmethod
    def root(cls, path: str | Path) -> Self:
        """Open the mail root itself: the one place where a path is taken from configuration and links are followed."""
        return cls(os.open(path, _DIRECTORY), str(path))

    def directory(self, path: str) -> "Directory":
        """Open a directory beneath this one. Raises JailEscape, FileNotFoundError, OSError."""
        return Directory(open_beneath(self.fd, path, _DIRECTORY), f"{self.path}/{path}")

    def make_directories(self, path: str) -> "Directory":
        """Like directory(), creating what is missing with mode 0700 (mkdir -p, one component at a time)."""
        try:
            return self.directory(path)
        except FileNotFoundError:
            pass
        current = self
        for component in _components(path):
            try:
                step = current.directory(component)
            except FileNotFoundError:
                current.mkdir(component, exist_ok=True)
                step = current.directory(component)
            if current is not self:
                current.close()
            current = step
        return current

    def open(self, name: str, flags: int = os.O_RDONLY, mode: int = 0o600) -> int:
        """Open a file here (one component, no link followed); returns a descriptor. Raises JailEscape for a link."""
        try:
            return os.open(_single(name), flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise JailEscape(reason=f"symbolic link refused: {self.path}/{name}") from error
            raise

    def read(self, name: str, limit: int | None = None, count: int | None = None) -> bytes:
        """The content of a regular file: at most `count` octets of it; OSError(EFBIG) if it is above `limit`."""
        descriptor = self.open(name, os.O_RDONLY | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", name)
            if limit is not None and status.st_size > limit:
                raise OSError(errno.EFBIG, "file too large", name)
            wanted = status.st_size if count is None else min(count, status.st_size)
            data = os.read(descriptor, wanted)
            if len(data) == wanted:
                return data
            return _read_rest(descriptor, data, wanted)
        finally:
            os.close(descriptor)

    def write(self, name: str, data: bytes, *, flags: int = os.O_CREAT | os.O_EXCL, sync: bool = True) -> None:
        """Write a file here with mode 0600, O_CREAT|O_EXCL unless said otherwise; fsync if `sync`."""
        descriptor = self.open(name, os.O_WRONLY | flags)
        try:
            write_all(descriptor, data)
            if sync:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def replace(self, name: str, data: bytes, *, sync: bool = True) -> None:
        """Put a new file in the place of one, whole or not at all. The caller holds its lock."""
        temporary = f"{name}.tmp"
        self.unlink(temporary, missing_ok=True)
        self.write(temporary, data, sync=sync)
        self.rename(temporary, self, name)
        if sync:
            self.sync()

    def names(self) -> list[str]:
        """The names in this directory, unsorted."""
        return os.listdir(self.fd)  # noqa: PTH208 - a descriptor, which is no path

    def subdirectories(self) -> list[str]:
        """The names of real directories here; symbolic links are left out."""
        with os.scandir(self.fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]

    def stat(self, name: str | None = None) -> os.stat_result:
        """lstat of a name here, or fstat of the directory itself."""
        if name is None:
            return os.fstat(self.fd)
        return os.stat(_single(name), dir_fd=self.fd, follow_symlinks=False)

    def exists(self, name: str) -> bool:
        """Whether a directory entry of that name is here (a dangling link counts)."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def mkdir(self, name: str, *, exist_ok: bool = False) -> None:
        """Make a directory with mode 0700."""
        try:
            os.mkdir(_single(name), 0o700, dir_fd=self.fd)
        except FileExistsError:
            if not exist_ok:
                raise

    def rename(self, old: str, directory: "Directory", new: str) -> None:
        """rename(2): atomic, replaces an existing file."""
        os.rename(_single(old), _single(new), src_dir_fd=self.fd, dst_dir_fd=directory.fd)

    def link(self, old: str, directory: "Directory", new: str) -> None:
        """link(2) of a regular file; a symbolic link is not followed."""
        os.link(_single(old), _single(new), src_dir_fd=self.fd, dst_dir_fd=directory.fd, follow_symlinks=False)

    def unlink(self, name: str, *, missing_ok: bool = False) -> None:
        """Remove a file."""
        try:
            os.unlink(_single(name), dir_fd=self.fd)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_tree(self, name: str) -> None:
        """Remove a directory with all that is in it; links are removed, not followed."""
        with self.directory(name) as directory:
            for entry in directory.names():
                if stat.S_ISDIR(directory.stat(entry).st_mode):
                    directory.remove_tree(entry)
                else:
                    directory.unlink(entry, missing_ok=True)
        os.rmdir(_single(name), dir_fd=self.fd)

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(_single(name), dir_fd=self.fd)

    def sync(self) -> None:
        """fsync of the directory: its entries survive a power failure."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Give the descriptor back; a second call does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def file_stamp(directory: Directory, name: str) -> str:
    """Identity of a control file's content: inode, size and time; "" if it is missing."""
    try:
        status = directory.stat(name)
    except FileNotFoundError:
        return ""
    return f"{status.st_ino}.{status.st_size}.{status.st_mtime_ns}"


def write_all(descriptor: int, data: bytes) -> None:
    """write(2) until all is written."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _read_rest(descriptor: int, data: bytes, wanted: int) -> bytes:
    parts = [data]
    have = len(data)
    while have < wanted:
        part = os.read(descriptor, wanted - have)
        if not part:
            break
        parts.append(part)
        have += len(part)
    return b"".join(parts)


@contextmanager
def component_wise() -> Iterator[None]:
    """Do without openat2 for a while, as on an old kernel: for tests of the fallback."""
    before = _Openat2.usable
    _Openat2.usable = False
    try:
        yield
    finally:
        _Openat2.usable = before
