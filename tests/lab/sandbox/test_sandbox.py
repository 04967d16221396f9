"""The kernel's word on what a confined process may still do, asked from inside forked children."""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import socket
import subprocess
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.sandbox import Confinement, Enforcement, Limits, SandboxError, confine, landlock

NOBODY = 65534
ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can change user and root directory")


def in_child(body: Callable[[], object]) -> object:
    """What `body` returned or raised in a forked child (JSON values only)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                answer = {"value": body()}
            except BaseException:
                answer = {"error": traceback.format_exc()}
            os.write(writing, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    assert text, "the child died without an answer"
    answer = json.loads(text)
    assert "error" not in answer, answer["error"]
    return answer["value"]


def connect(port: int) -> None:
    """Plain connect(2): socket.create_connection would load its IDNA codec from the disk first."""
    with socket.socket() as client:
        client.settimeout(5)
        client.connect(("127.0.0.1", port))


def outcome(action: Callable[[], object]) -> str:
    """`ok`, or the name of the error number."""
    try:
        action()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "ok"


@pytest.fixture(params=["root", "ordinary"])
def user(request: pytest.FixtureRequest) -> Callable[[], None]:
    """Called in the child before `confine`: makes it an ordinary process where the case says so."""
    if request.param == "root" and not ROOT:
        pytest.skip("not started as root")
    return (lambda: None) if request.param == "root" else become_ordinary


def become_ordinary() -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)


@pytest.fixture
def tree(place: Path) -> Path:
    """A world-accessible directory with one file that is for reading, one that is for writing, one for neither."""
    for name in ("open", "spool", "closed"):
        (place / name).mkdir(mode=0o777)
        (place / name).chmod(0o777)
        (place / name / "file").write_text(name)
        (place / name / "file").chmod(0o666)
    return place


def test_only_what_is_named_can_be_read(tree: Path, user: Callable[[], None]) -> None:
    def body() -> dict[str, str]:
        user()
        confine(Confinement(read=[tree / "open"], write=[tree / "spool"]))
        return {
            "named": outcome((tree / "open/file").read_text),
            "listed": outcome(lambda: list((tree / "open").iterdir())),
            "writable": outcome((tree / "spool/file").read_text),
            "other": outcome((tree / "closed/file").read_text),
            "passwd": outcome(Path("/etc/passwd").read_text),
            "parent": outcome(lambda: list(tree.iterdir())),
            "dotdot": outcome((tree / "open/../closed/file").read_text),
            "proc": outcome(Path("/proc/self/environ").read_text),
        }

    assert in_child(body) == {
        "named": "ok", "listed": "ok", "writable": "ok",
        "other": "EACCES", "passwd": "EACCES", "parent": "EACCES", "dotdot": "EACCES", "proc": "EACCES",
    }  # fmt: skip


def test_the_probe_sees_the_hole_when_the_jail_is_off(tree: Path, user: Callable[[], None]) -> None:
    def body() -> list[str]:
        user()
        confine(Confinement(read=[tree / "open"], landlock=False))
        return [outcome(Path("/etc/passwd").read_text), outcome((tree / "closed/file").read_text)]

    assert in_child(body) == ["ok", "ok"]


def test_a_symbolic_link_does_not_lead_out(tree: Path, user: Callable[[], None]) -> None:
    (tree / "open/link").symlink_to("/etc/passwd")

    def body() -> str:
        user()
        confine(Confinement(read=[tree / "open"]))
        return outcome((tree / "open/link").read_text)

    assert in_child(body) == "EACCES"


def test_only_what_is_named_can_be_written(tree: Path, user: Callable[[], None]) -> None:
    def body() -> dict[str, str]:
        user()
        confine(Confinement(read=[tree / "open"], write=[tree / "spool"]))
        spool = tree / "spool"

        def bind_unix() -> None:
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(spool / "socket"))

        return {
            "create": outcome(lambda: (spool / "new").write_text("x")),
            "truncate": outcome(lambda: os.truncate(spool / "file", 0)),
            "rename": outcome(lambda: (spool / "new").rename(spool / "cur")),
            "mkdir": outcome((spool / "dir").mkdir),
            "move between directories": outcome(lambda: (spool / "cur").rename(spool / "dir/cur")),
            "unlink": outcome((spool / "dir/cur").unlink),
            "socket": outcome(bind_unix),
            "write to readable": outcome(lambda: (tree / "open/file").write_text("x")),
            "truncate readable": outcome(lambda: os.truncate(tree / "open/file", 0)),
            "create elsewhere": outcome(lambda: (tree / "closed/new").write_text("x")),
            "move out": outcome(lambda: (spool / "file").rename(tree / "closed/stolen")),
            "device": outcome(lambda: os.mknod(spool / "null", 0o020666, os.makedev(1, 3))),
        }

    answers = in_child(body)
    assert isinstance(answers, dict)
    allowed = {name for name, answer in answers.items() if answer == "ok"}
    assert allowed == {"create", "truncate", "rename", "mkdir", "move between directories", "unlink", "socket"}
    assert answers["device"] in ("EACCES", "EPERM")


def test_programs_start_only_where_execution_is_named(tree: Path, user: Callable[[], None]) -> None:
    program = tree / "open/program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    libraries = [Path("/lib"), Path("/lib64"), Path("/usr/lib"), Path("/etc/ld.so.cache")]

    def body() -> list[str]:
        user()
        confine(Confinement(read=[tree], execute=libraries))
        return [outcome(lambda: subprocess.run([program], check=True))]

    def allowed() -> list[str]:
        user()
        confine(Confinement(execute=[tree, *libraries], write=[Path("/dev/null")]))
        return [outcome(lambda: subprocess.run([program], check=True))]

    assert in_child(body) == ["EACCES"]
    assert in_child(allowed) == ["ok"]


def test_tcp_only_to_named_ports(user: Callable[[], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        named, unnamed = one.getsockname()[1], other.getsockname()[1]

        def both() -> list[str]:
            return [outcome(lambda: connect(named)), outcome(lambda: connect(unnamed))]

        def with_ports() -> list[str]:
            user()
            confine(Confinement(tcp_connect=[named]))
            return both()

        def with_none() -> list[str]:
            user()
            confine(Confinement())
            return both()

        def with_all() -> list[str]:
            user()
            confine(Confinement(tcp_connect=True))
            return both()

        assert in_child(with_ports) == ["ok", "EACCES"]
        assert in_child(with_none) == ["EACCES", "EACCES"]
        assert in_child(with_all) == ["ok", "ok"]


def test_no_new_listener_but_an_inherited_one_accepts(user: Callable[[], None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inherited:

        def body() -> list[str]:
            user()
            confine(Confinement())

            def accept() -> None:
                inherited.accept()[0].close()

            return [outcome(lambda: socket.create_server(("127.0.0.1", 0)).close()), outcome(accept)]

        with socket.create_connection(inherited.getsockname()):
            assert in_child(body) == ["EACCES", "ok"]


def test_neither_signals_nor_abstract_sockets_reach_out(user: Callable[[], None]) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("\0hardmail-test-" + os.urandom(8).hex())
        listener.listen()
        name = listener.getsockname()
        with subprocess.Popen(["sleep", "60"], user=None if not ROOT else NOBODY) as victim:

            def reach(allowed: bool) -> list[str]:
                user()
                confine(Confinement(abstract_sockets=allowed, signals=allowed))

                def connect_unix() -> None:
                    with socket.socket(socket.AF_UNIX) as client:
                        client.connect(name)

                return [outcome(connect_unix), outcome(lambda: os.kill(victim.pid, 0))]

            try:
                assert in_child(lambda: reach(False)) == ["EPERM", "EPERM"]
                assert in_child(lambda: reach(True)) == ["ok", "ok"]
            finally:
                victim.kill()


@as_root
def test_dropped_privileges_cannot_be_taken_back() -> None:
    def body() -> list[object]:
        enforcement = confine(Confinement(user=NOBODY, group=NOBODY))
        back = outcome(lambda: os.setuid(0))
        return [os.getresuid(), os.getresgid(), os.getgroups(), back, enforcement.user_changed, enforcement.uid]

    assert in_child(body) == [[NOBODY] * 3, [NOBODY] * 3, [], "EPERM", True, NOBODY]


@as_root
def test_names_of_users_and_groups() -> None:
    def body() -> list[object]:
        confine(Confinement(user="nobody", groups=["daemon"]))
        return [os.getuid(), os.getgid(), os.getgroups()]

    value = in_child(body)
    assert isinstance(value, list)
    assert value[0] == NOBODY and len(value[2]) == 1


@as_root
@pytest.mark.parametrize("wanted", [Confinement(user="no-such-user"), Confinement(user=NOBODY, group="no-such-group")])
def test_a_name_that_nobody_has_stops_the_service(wanted: Confinement) -> None:
    def body() -> str:
        try:
            confine(wanted)
        except SandboxError as error:
            return str(error)
        return "confined"

    assert str(in_child(body)).startswith("no such ")


@as_root
def test_paths_are_named_from_outside_the_chroot(tree: Path) -> None:
    def body() -> list[str]:
        confine(Confinement(user=NOBODY, group=NOBODY, chroot=tree, read=[tree / "open"]))
        return [
            outcome(Path("/open/file").read_text),
            outcome(Path("/closed/file").read_text),
            outcome((tree / "open/file").read_text),
        ]

    assert in_child(body) == ["ok", "EACCES", "ENOENT"]


def test_an_ordinary_supervisor_keeps_its_user() -> None:
    def body() -> list[object]:
        become_ordinary()
        before = os.getuid()
        enforcement = confine(Confinement(user=0, group=0))
        return [os.getuid() == before, enforcement.user_changed]

    assert in_child(body) == [True, False]


def test_limits_umask_and_flags() -> None:
    def body() -> dict[str, object]:
        confine(
            Confinement(
                limits=Limits(open_files=1000, file_bytes=4096, address_space_bytes=1 << 32),
                umask=0o027,
                read=[Path("/proc/self/status")],
            )
        )
        status = dict(
            line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":\t" in line
        )
        return {
            "files": resource.getrlimit(resource.RLIMIT_NOFILE),
            "core": resource.getrlimit(resource.RLIMIT_CORE),
            "size": resource.getrlimit(resource.RLIMIT_FSIZE),
            "memory": resource.getrlimit(resource.RLIMIT_AS),
            "umask": os.umask(0),
            "no_new_privs": status["NoNewPrivs"],
        }

    assert in_child(body) == {
        "files": [1000, 1000], "core": [0, 0], "size": [4096, 4096], "memory": [1 << 32, 1 << 32],
        "umask": 0o027, "no_new_privs": "1",
    }  # fmt: skip


def test_memory_is_closed_to_debuggers() -> None:
    def body() -> int:
        confine(Confinement())
        pr_get_dumpable = 3
        return int(landlock._libc.prctl(pr_get_dumpable, 0, 0, 0, 0))

    assert in_child(body) == 0


def test_dies_with_its_supervisor(user: Callable[[], None]) -> None:
    reading, writing = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.close(reading)
        parent = os.getpid()
        if os.fork() == 0:
            try:
                user()
                confine(Confinement(parent=parent))
                os.write(writing, b"confined")
                while True:
                    signal.pause()
            finally:
                os._exit(1)
        os.close(writing)
        signal.pause()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"confined"
    os.kill(supervisor, signal.SIGKILL)
    os.waitpid(supervisor, 0)
    # The pipe's last writer is the grandchild: end of file means that it is gone.
    assert os.read(reading, 1) == b""
    os.close(reading)


def test_a_supervisor_that_is_already_gone_stops_the_service() -> None:
    def body() -> str:
        try:
            confine(Confinement(parent=os.getpid()))
        except SandboxError as error:
            return str(error)
        return "confined"

    assert in_child(body) == "the supervisor died while this process was starting"


def test_a_missing_readable_path_is_told_and_a_missing_writable_one_refused(tmp_path: Path) -> None:
    gone = tmp_path / "gone"

    def readable() -> list[str]:
        return [str(path) for path in confine(Confinement(read=[gone])).missing]

    def writable() -> str:
        try:
            confine(Confinement(write=[gone]))
        except SandboxError as error:
            return str(error)
        return "confined"

    assert in_child(readable) == [str(gone)]
    assert str(gone) in str(in_child(writable))


def test_refuses_where_a_thread_would_stay_free() -> None:
    def body() -> str:
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        try:
            confine(Confinement())
        except SandboxError as error:
            return str(error)
        finally:
            stop.set()
            thread.join()
        return "confined"

    assert "2 threads" in str(in_child(body))


@pytest.mark.parametrize("version", range(1, landlock.abi() + 1))
def test_older_kernels_enforce_what_they_know(tree: Path, version: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def body() -> list[object]:
            reading = landlock.open_path(tree / "open")
            rules = landlock.Ruleset((landlock.PathRule(reading, landlock.READ),))
            used = landlock.restrict_self(rules, version)
            return [
                used,
                outcome((tree / "open/file").read_text),
                outcome(Path("/etc/passwd").read_text),
                outcome(lambda: connect(listener.getsockname()[1])),
            ]

        assert in_child(body) == [version, "ok", "EACCES", "EACCES" if version >= 4 else "ok"]


def test_degree_of_enforcement() -> None:
    degrees = [Enforcement(version, 1, 1, True, False).degree for version in (0, 1, 3, 5, 6, 7)]
    assert degrees == ["none", "partial", "partial", "partial", "full", "full"]
