"""The servers: started in the foreground with a configuration of their own, in a fresh directory, on loopback."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
PATIENCE = 60.0
"""Seconds without any progress after which a measure has failed."""
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
PR_SET_CHILD_SUBREAPER = 36

MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {directory}/spool
data_directory = {directory}/data
maillog_file = {directory}/maillog
maillog_file_prefixes = {directory}
myhostname = mx.example.test
mydomain = example.test
mydestination =
local_recipient_maps =
alias_maps =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
relayhost = [127.0.0.1]:{sink}
smtpd_relay_restrictions = permit_mynetworks, reject
default_process_limit = {processes}
"""
MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
flush unix n - n 1000? 0 flush
postlog unix-dgram n - n - 1 postlogd
"""


class Failed(Exception):
    """A server did not do what it should; the message says what."""


class Server:
    """A server with its directory and ports. What it leaves behind becomes our child, and ends with it."""

    name = ""
    command: tuple[str, ...] = ()

    def __init__(self, directory: Path, processes: int = 100) -> None:
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.directory = directory
        self.port, self.sink_port = free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        for name in ("conf", "spool", "data"):
            (directory / name).mkdir()
        values = {"directory": directory, "sink": self.sink_port, "processes": processes, "port": self.port}
        (directory / "conf/main.cf").write_text(MAIN_CF.format(**values))
        (directory / "conf/master.cf").write_text(MASTER_CF.format(**values))

    @property
    def confdir(self) -> str:
        return str(self.directory / "conf")

    def start(self) -> float:
        """Seconds from the start of the command to the first 220."""
        begun = time.monotonic()
        words = [word.format(confdir=self.confdir) for word in self.command]
        with (self.directory / "out").open("ab") as out:
            self.process = subprocess.Popen(words, stdout=out, stderr=out, start_new_session=True)
        while self.process.poll() is None and time.monotonic() < begun + PATIENCE:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), PATIENCE) as client:
                if client.recv(512).startswith(b"220"):
                    taken = time.monotonic() - begun
                    client.sendall(b"QUIT\r\n")
                    client.recv(512)
                    return taken
            time.sleep(0.001)
        raise Failed(f"{self.name} did not start: {(self.directory / 'out').read_text()[-1000:]}")

    def main_pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> None:
        """SIGTERM, then wait for the last of its processes."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.main_pid(), signal.SIGTERM)
        deadline = time.monotonic() + 20
        while descendants(self.process.pid) and time.monotonic() < deadline:
            self.process.poll()
            reap(self.process.pid)
            time.sleep(0.01)
        for pid in descendants(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        reap(self.process.pid)
        self.process = None

    def flush(self) -> None:
        """Have all deferred mail tried now."""
        raise NotImplementedError

    def cpu_seconds(self) -> float:
        """Processor time of all its processes so far, those that have ended included."""
        assert self.process is not None
        return sum(stat(pid)[2] for pid in descendants(self.process.pid)) / CLOCK_TICKS

    def pss_octets(self) -> int:
        """Memory of all its processes, shared pages counted once (proportional set size)."""
        assert self.process is not None
        total = 0
        for pid in descendants(self.process.pid):
            with contextlib.suppress(OSError):
                found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.MULTILINE)
                total += int(found[1]) * 1024 if found else 0
        return total


class Hardmail(Server):
    """This repository's."""

    name = "hardmail"
    command = (str(ROOT / "hardmail"), "run", "-c", "{confdir}")

    def flush(self) -> None:
        subprocess.run([self.command[0], "postqueue", "-c", self.confdir, "-f"], check=True)


class Postfix(Server):
    """Debian's, with its defaults."""

    name = "postfix"
    command = ("postfix", "-c", "{confdir}", "start-fg")

    def __init__(self, directory: Path, processes: int = 100) -> None:
        super().__init__(directory, processes)
        (directory / "maillog").touch()
        for name in ("data", "maillog"):
            shutil.chown(directory / name, "postfix")

    def main_pid(self) -> int:
        with contextlib.suppress(OSError, ValueError):
            return int((self.directory / "spool/pid/master.pid").read_text())
        return super().main_pid()

    def flush(self) -> None:
        subprocess.run(["postqueue", "-c", self.confdir, "-f"], check=True)


SERVERS: tuple[type[Server], ...] = (Hardmail, Postfix)


@contextlib.contextmanager
def running(kind: type[Server], processes: int = 100) -> Iterator[Server]:
    """A started server; afterwards nothing of it is left."""
    with tempfile.TemporaryDirectory(prefix="bench.") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = kind(directory, processes)
        try:
            server.start()
            yield server
        finally:
            server.stop()


class Sink:
    """smtp-sink(1): accepts everything, counts, forgets."""

    def __init__(self, server: Server) -> None:
        self._path = server.directory / f"sink.{time.monotonic_ns()}"
        command = ["smtp-sink", "-u", "nobody", "-c", "-m", "2000", f"127.0.0.1:{server.sink_port}", "1024"]
        with self._path.open("wb") as out:
            self._process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)

    def __enter__(self) -> Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()

    def count(self) -> int:
        """Messages that came so far."""
        with self._path.open("rb") as file:
            file.seek(max(0, self._path.stat().st_size - 200))
            found = re.findall(rb"mesg=(\d+)\r", file.read())
        return int(found[-1]) if found else 0

    def wait(self, wanted: int) -> float:
        """The moment when all have come; Failed when nothing comes any more, or more than was sent."""
        seen, since = -1, time.monotonic()
        while (count := self.count()) < wanted:
            if count != seen:
                seen, since = count, time.monotonic()
            elif time.monotonic() - since > PATIENCE:
                raise Failed(f"{count} of {wanted} messages arrived")
            time.sleep(0.004)
        arrived = time.monotonic()
        time.sleep(0.2)
        if self.count() != wanted:
            raise Failed(f"{self.count()} messages arrived where {wanted} were sent")
        return arrived


def send(server: Server, messages: int, octets: int, *, one_session: bool = False, sessions: int = 20) -> float:
    """Seconds that smtp-source(1) takes; it fails at any reply that it does not want."""
    options = ["-s", str(sessions), "-m", str(messages), "-l", str(octets), "-N", *(["-d"] if one_session else [])]
    addresses = ["-M", "load.example.test", "-f", "sender@example.test", "-t", "rcpt@example.test"]
    begun = time.monotonic()
    subprocess.run(["smtp-source", *options, *addresses, f"127.0.0.1:{server.port}"], check=True)
    return time.monotonic() - begun


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def stat(pid: int) -> tuple[int, str, int]:
    """Parent, state and clock ticks of a process, its ended children's included."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, "Z", 0
    return int(fields[1]), fields[0], sum(map(int, fields[11:15]))


def descendants(root: int) -> list[int]:
    """A process, its children and theirs, and our adopted orphans, as far as they live."""
    every = {int(path.name): stat(int(path.name)) for path in Path("/proc").iterdir() if path.name.isdigit()}
    sink_or_source = {pid for pid in every if _name(pid).startswith("smtp-s")}
    found, todo = [], [root, *(pid for pid, (parent, _, _) in every.items() if parent == os.getpid())]
    while todo:
        pid = todo.pop()
        if pid in found or pid in sink_or_source or every.get(pid, (0, "Z", 0))[1] == "Z":
            continue
        found.append(pid)
        todo += [child for child, (parent, _, _) in every.items() if parent == pid]
    return found


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text()
    return ""


def reap(but: int) -> None:
    """Bury adopted orphans, so that nobody waits for them."""
    for path in Path("/proc").iterdir():
        if path.name.isdigit() and int(path.name) != but:
            pid = int(path.name)
            parent, state, _ = stat(pid)
            if parent == os.getpid() and state == "Z" and not _name(pid).startswith("smtp-s"):
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def python_version() -> str:
    """Of the interpreter that hardmail runs on."""
    environment = Path(os.environ.get("HARDMAIL_VENV") or ROOT / ".venv")
    words = [str(environment / "bin/python"), "-c", "import platform; print(platform.python_version())"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


def postfix_version() -> str:
    return subprocess.run(["postconf", "-h", "mail_version"], capture_output=True, text=True, check=True).stdout.strip()
