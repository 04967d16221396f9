"""Listening sockets: what the plan asks for, bound before anything starts, and who holds them if not."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from lab.errors import ListenError
from lab.sandbox.identity import privileged
from lab.sandbox.walk import open_directory

log = logging.getLogger("hardmail")

BACKLOG = 511  # connections the kernel keeps for a busy service; the usual ceiling is net.core.somaxconn
EMPTY: Mapping[str, str] = MappingProxyType({})


def _empty() -> Mapping[str, str]:
    return EMPTY


# sun_path holds 108 octets including the closing NUL (unix(7)).
UNIX_PATH_MAX = 107


@dataclass(frozen=True)
class InetListener:
    """A TCP listener: a numeric address, a port (0: the kernel chooses), and what the service makes of it."""

    host: str
    port: int
    tag: str
    options: Mapping[str, str] = field(default_factory=_empty, compare=False, hash=False)
    datagram: bool = False

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes this the same listener across reloads."""
        return ("udp" if self.datagram else "tcp", self.host, self.port)

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixListener:
    """A unix socket with the mode and owner that the configuration gives it; -1 keeps the present owner."""

    path: Path
    mode: int
    tag: str
    uid: int = -1
    gid: int = -1
    datagram: bool = False
    options: Mapping[str, str] = field(default_factory=_empty, compare=False, hash=False)

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes this the same listener across reloads."""
        return ("unix", str(self.path), int(self.datagram))

    def __str__(self) -> str:
        return str(self.path)


Listener = InetListener | UnixListener
Key = tuple[str, str, int]


@dataclass(frozen=True)
class Bound:
    """A listening, non-blocking socket as a service receives it."""

    socket: socket.socket
    tag: str
    options: Mapping[str, str] = field(default_factory=_empty)


class Sockets:
    """The listening sockets of a supervisor, by listener; they outlive the generations of services that use them."""

    def __init__(self) -> None:
        self._sockets: dict[Key, socket.socket] = {}
        self._inodes: dict[Path, tuple[int, int]] = {}

    def adopt(self, listener: Listener, sock: socket.socket) -> None:
        """Take over a socket that is bound already (a lab instance chose its ports before it wrote its files)."""
        self._sockets[listener.key] = sock

    def bind(self, listeners: Iterable[Listener], *, patience: float = 0.0) -> list[Key]:
        """Bind what is not bound yet; return the new keys. All or nothing: raises ListenError with nothing kept.

        `patience`: seconds to wait for a port that the dying processes of a killed predecessor may still hold.
        """
        fresh: list[Key] = []
        deadline = time.monotonic() + patience
        failures: list[str] = []
        for listener in listeners:
            if listener.key in self._sockets:
                if isinstance(listener, UnixListener):
                    self._own_again(listener)
                elif not listener.datagram:
                    self[listener].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    self[listener].listen(BACKLOG)
                continue
            try:
                self._sockets[listener.key] = self._bind_patiently(listener, deadline)
                fresh.append(listener.key)
            except OSError as error:
                failures.append(_explain(listener, error))
        if failures:
            self.close(fresh)
            raise ListenError(*failures)
        return fresh

    def __getitem__(self, listener: Listener) -> socket.socket:
        return self._sockets[listener.key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._sockets)

    def close(self, keys: Iterable[Key]) -> None:
        """Close these sockets and remove the socket files that are still ours."""
        for key in keys:
            sock = self._sockets.pop(key)
            sock.close()
            if key[0] == "unix":
                path = Path(key[1])
                inode = self._inodes.pop(path, None)
                with contextlib.suppress(OSError), _opened(open_directory(path.parent)) as directory:
                    status = os.stat(path.name, dir_fd=directory, follow_symlinks=False)
                    if inode == (status.st_dev, status.st_ino):
                        os.unlink(path.name, dir_fd=directory)

    def close_all_but(self, wanted: Iterable[Listener]) -> None:
        """Close every socket that is not among these listeners, and remove its file."""
        keys = {listener.key for listener in wanted}
        self.close([key for key in self if key not in keys])

    def forget(self, keep: Iterable[Listener]) -> None:
        """In a forked child: close the descriptors of every listener but `keep`; the files belong to the supervisor."""
        kept = {listener.key for listener in keep}
        for key, sock in self._sockets.items():
            if key not in kept:
                sock.close()

    def _bind_patiently(self, listener: Listener, deadline: float) -> socket.socket:
        while True:
            try:
                return self._bind_inet(listener) if isinstance(listener, InetListener) else self._bind_unix(listener)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def _bind_inet(self, listener: InetListener) -> socket.socket:
        sock = self.reserve(listener.host, listener.port, datagram=listener.datagram, reuse=True)
        try:
            if not listener.datagram:
                sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        return sock

    @staticmethod
    def reserve(host: str, port: int, *, datagram: bool = False, reuse: bool = False) -> socket.socket:
        """A bound, non-blocking socket that does not listen yet: nobody else can have the port. Raises OSError.

        `reuse`: take a port although connections of a former listener still linger on it; two sockets that say so
        can share a port until one listens, so a port that the kernel is to choose must do without.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM)
        try:
            if reuse and not datagram:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((host, port))
            sock.setblocking(False)
        except OSError:
            sock.close()
            raise
        return sock

    def _bind_unix(self, listener: UnixListener) -> socket.socket:
        """Bind under a private name, set mode and owner, then rename: nobody can connect before the mode is right."""
        path = listener.path
        if len(os.fsencode(path)) > UNIX_PATH_MAX:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        with _opened(open_directory(path.parent)) as directory:
            with contextlib.suppress(FileNotFoundError), _opened_socket(directory, path.name) as stale:
                if not listener.datagram and _answers(stale):
                    raise OSError(errno.EADDRINUSE, "another process listens there")
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM if listener.datagram else socket.SOCK_STREAM)
            try:
                self._inodes[path] = self._bind_at(sock, listener, directory)
                sock.setblocking(False)
            except OSError:
                sock.close()
                raise
        return sock

    def _bind_at(self, sock: socket.socket, listener: UnixListener, directory: int) -> tuple[int, int]:
        """The rest of _bind_unix, in a directory that may belong to another user; the socket's device and inode."""
        temporary = f".{os.urandom(4).hex()}"
        mask = os.umask(0o177)
        try:
            # The directory's descriptor keeps the temporary name inside sun_path, however long the path is.
            sock.bind(f"/proc/self/fd/{directory}/{temporary}")
            with _opened_socket(directory, temporary) as made:
                status = os.fstat(made)
                if status.st_uid != os.geteuid() or status.st_nlink != 1:
                    raise OSError(errno.EEXIST, "somebody meddles with the sockets there")
                _own(listener, made)
            if not listener.datagram:
                sock.listen(BACKLOG)
            os.rename(temporary, listener.path.name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        finally:
            os.umask(mask)
        return status.st_dev, status.st_ino

    def _own_again(self, listener: UnixListener) -> None:
        """Give a socket that is bound already its mode and owner; leave alone what took its place meanwhile."""
        path = listener.path
        try:
            with _opened(open_directory(path.parent)) as directory, _opened_socket(directory, path.name) as there:
                status = os.fstat(there)
                if self._inodes.get(path) != (status.st_dev, status.st_ino):
                    raise OSError(errno.EEXIST, "another socket stands there")
                _own(listener, there)
        except OSError as error:
            log.warning("%s: not our socket any more: %s; start anew to mend it", path, error.strerror)


@contextlib.contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _opened_socket(directory: int, name: str) -> Iterator[int]:
    """An O_PATH descriptor of a socket file: what is done through it cannot be turned to another file."""
    with _opened(os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)) as descriptor:
        if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
            raise OSError(errno.EEXIST, "a file that is no socket stands there")
        yield descriptor


def _own(listener: UnixListener, descriptor: int) -> None:
    """Set owner, then mode, by way of /proc: fchmod(2) refuses an O_PATH descriptor."""
    place = f"/proc/self/fd/{descriptor}"
    if privileged():
        os.chown(place, listener.uid, listener.gid)
    Path(place).chmod(listener.mode)


def _answers(descriptor: int) -> bool:
    """Whether some process listens on the unix socket; a stale one is left by a killed predecessor."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(f"/proc/self/fd/{descriptor}")
        except BlockingIOError:
            return True
        except OSError as error:
            return error.errno not in (errno.ECONNREFUSED, errno.ENOENT)
    return True


def _explain(listener: Listener, error: OSError) -> str:
    """One line for the operator: what could not be bound, why, and who holds it where the system tells."""
    if isinstance(listener, InetListener):
        what = f"cannot listen on {listener}"
        if error.errno == errno.EADDRINUSE:
            holder = port_holder(listener.host, listener.port)
            return f"{what}: the port is taken{f' by {holder}' if holder else ''}"
        if error.errno == errno.EACCES and listener.port < 1024:
            return f"{what}: ports below 1024 need root (or the capability CAP_NET_BIND_SERVICE)"
        if error.errno == errno.EADDRNOTAVAIL:
            return f"{what}: no network interface has that address"
        return f"{what}: {os.strerror(error.errno or 0)}"
    reason = error.strerror or str(error)
    if error.errno == errno.ENAMETOOLONG:
        reason = f"a unix socket's path has at most {UNIX_PATH_MAX} octets; choose a shorter directory"
    if error.errno == errno.ENOENT:
        reason = f"directory {listener.path.parent} does not exist"
    return f"cannot listen on {listener.path}: {reason}"


def port_holder(host: str, port: int) -> str:
    """`process 123 (exim4)` for the process that listens on that port, as far as /proc tells; else an empty string."""
    inodes = _listening_inodes(port)
    if not inodes:
        return ""
    targets = {f"socket:[{inode}]" for inode in inodes}
    for process in Path("/proc").iterdir():
        if not process.name.isdecimal():
            continue
        with contextlib.suppress(OSError):  # another user's process, or one that has just ended
            if targets & {_target(descriptor) for descriptor in (process / "fd").iterdir()}:
                return f"process {process.name} ({(process / 'comm').read_text().strip()})"
    return ""


def _target(descriptor: Path) -> str:
    """What a descriptor in /proc is of; empty if it is closed by now, as the one that the directory was read with."""
    try:
        return str(descriptor.readlink())
    except OSError:
        return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:
                inodes.add(fields[9])
    return inodes
