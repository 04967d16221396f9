"""`hardmail up`, status, reload and stop as a person uses them: real processes of the real profiles."""

from __future__ import annotations

import imaplib
import json
import os
import smtplib
import socket
import ssl
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import profiles
from lab.errors import LabError

if TYPE_CHECKING:
    from conftest import Helpers

ROOT = Path(__file__).parent.parent.parent


class Terminal:
    """Runs hardmail commands with a runtime directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.temporary = directory / "tmp"
        self.temporary.mkdir()
        self.temporary.chmod(0o755)
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "XDG_RUNTIME_DIR": str(directory / "runtime"),
            "TMPDIR": str(self.temporary),
        }
        self.started: list[subprocess.Popen[str]] = []

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A command that stays."""
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.started.append(process)
        return process

    def up(self, *arguments: str) -> dict[str, Any]:
        """`hardmail up --json` in the foreground; what it prints once it is ready."""
        process = self.start("up", "--json", *arguments)
        assert process.stdout
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        return dict(json.loads(line))

    def close(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
            try:
                process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


@pytest.fixture
def terminal(place: Path) -> Iterator[Terminal]:
    """A place to run commands in."""
    made = Terminal(place)
    yield made
    made.close()


def reachable(address: str, port: int) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((address, port), 5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_up_tells_its_endpoints_and_stop_leaves_nothing(terminal: Terminal, helpers: Helpers) -> None:
    lab = terminal.up()
    endpoints = lab["instances"]["mailhost"]["endpoints"]
    assert set(endpoints) == {"smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"}
    everywhere = [tuple(where) for instance in lab["instances"].values() for where in instance["endpoints"].values()]
    assert all(reachable(*where) for where in everywhere)
    directory = Path(lab["directory"])
    assert directory.parent == terminal.temporary
    status = terminal.run("status", "--json")
    (state,) = json.loads(status.stdout)
    assert (state["pid"], state["directory"]) == (lab["pid"], str(directory))
    pids = [lab["pid"], *(pid for service in state["services"] for pid in service["pids"])]
    assert len(pids) > 10
    stopped = terminal.run("stop")
    assert (stopped.returncode, stopped.stdout) == (0, f"hardmail: process {lab['pid']} has stopped\n")
    helpers.wait_for(lambda: not [pid for pid in pids if helpers.alive(pid)])
    assert not any(reachable(*where) for where in everywhere)
    assert not directory.exists()
    assert list(terminal.temporary.iterdir()) == []
    assert list((terminal.directory / "runtime").rglob("*")) == []
    assert terminal.run("status").returncode == os.EX_UNAVAILABLE


def test_passwords_are_new_each_time_and_only_in_one_private_file(terminal: Terminal) -> None:
    first, second = terminal.up("--keep"), terminal.up()
    passwords = [user["password"] for lab in (first, second) for user in lab["users"]]
    assert len(set(passwords)) == len(passwords) == 8
    directory = Path(first["directory"])
    known = set()
    for path in directory.rglob("*"):
        if path.is_file() and any(password.encode() in path.read_bytes() for password in passwords[:4]):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            known.add(path.relative_to(directory).as_posix())
    assert known == {"credentials.json", "nullclient/sasl_passwd"}
    assert "{ARGON2ID}" in (directory / "mailhost/users").read_text()
    assert stat.S_IMODE((directory / "mailhost/users").stat().st_mode) == 0o600


def test_named_directory_starts_again_with_the_same_ports(terminal: Terminal) -> None:
    where = terminal.directory / "lab"
    first = terminal.up("--dir", str(where))
    assert terminal.run("stop", "--dir", str(where)).returncode == 0
    second = terminal.up("--dir", str(where))
    assert {**first, "pid": 0} == {**second, "pid": 0}
    assert all(reachable(*place) for place in second["instances"]["mailhost"]["endpoints"].values())


def test_named_directory_runs_once(terminal: Terminal) -> None:
    where = terminal.directory / "lab"
    first = terminal.up("--dir", str(where))
    second = terminal.run("up", "--dir", str(where))
    assert second.returncode == os.EX_TEMPFAIL
    assert f"already running: process {first['pid']} holds" in second.stderr


def test_detached_lab_returns_when_ready(terminal: Terminal) -> None:
    done = terminal.run("up", "--detach", "--json")
    assert done.returncode == 0
    lab = json.loads(done.stdout)
    assert reachable(*lab["instances"]["mailhost"]["endpoints"]["imaps"])
    assert terminal.run("stop").returncode == 0
    assert not Path(lab["directory"]).exists()


def test_detached_lab_that_fails_says_why(terminal: Terminal) -> None:
    done = terminal.run("up", "--detach", "--set", "mailhost/main.cf:smtpd_tls_auth_only = perhaps")
    assert done.returncode == os.EX_CONFIG
    assert "main.cf, line" in done.stderr
    assert list(terminal.temporary.iterdir()) == []


def test_set_changes_one_line_and_placeholders_are_filled(terminal: Terminal) -> None:
    lab = terminal.up(
        "--instance", "nullclient", "--keep", "--set", "nullclient/main.cf:relayhost = [127.0.0.3]:@{outside.smtp}"
    )
    text = Path(lab["directory"], "nullclient/main.cf").read_text()
    port = lab["instances"]["outside"]["endpoints"]["smtp"][1]
    assert text.endswith(f"\nrelayhost = [127.0.0.3]:{port}\n")


def test_single_instance_keeps_the_ports_of_the_others(terminal: Terminal) -> None:
    lab = terminal.up("--instance", "outside")
    assert reachable(*lab["instances"]["outside"]["endpoints"]["smtp"])
    host, port = lab["instances"]["mailhost"]["endpoints"]["smtp"]
    assert not reachable(host, port)
    with socket.socket() as sock, pytest.raises(OSError, match="in use"):
        sock.bind((host, port))


def test_wider_interfaces_take_the_reserved_port(terminal: Terminal) -> None:
    lab = terminal.up(
        "--instance", "nullclient", "--set", "nullclient/main.cf:inet_interfaces = all\ninet_protocols = ipv4"
    )
    port = lab["instances"]["nullclient"]["endpoints"]["smtp"][1]
    assert reachable("127.0.0.9", port)


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        (["up", "--profile", "soft"], 70, "no profile is called soft; there are: hardened"),
        (["up", "--instance", "moon"], 70, "no instance is called moon; there are: nullclient, mailhost, outside"),
        (["up", "--set", "mailhost/none.cf:x = y"], 70, "--set mailhost/none.cf: the profile has no such file"),
        (["up", "--set", "mailhost/main.cf:x = @{none}"], 70, "unknown placeholder @{none}"),
        (["up", "--set", "../x:y"], 70, "--set ../x: the profile has no such file"),
        (["stop"], 69, "no lab runs; start one with: hardmail up"),
        (["reload"], 69, "no lab runs; start one with: hardmail up"),
    ],
)
def test_failures_are_one_line(terminal: Terminal, arguments: list[str], status: int, text: str) -> None:
    done = terminal.run(*arguments)
    assert done.returncode == status
    assert text in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("hardmail: ")


def test_up_is_quick(terminal: Terminal) -> None:
    idle = os.getloadavg()[0] < 0.3
    start = time.monotonic()
    lab = terminal.up()
    seconds = time.monotonic() - start
    children = Path(f"/proc/{lab['pid']}/task/{lab['pid']}/children").read_text().split()
    ticks = 0
    for pid in (lab["pid"], *children):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    # Processor time does not depend on what else the machine does, or not as much as the clock.
    assert ticks / os.sysconf("SC_CLK_TCK") < 6
    if idle:
        assert seconds < 1.5


class Session:
    """A line-based session with one of the lab's services."""

    def __init__(self, where: list[Any]) -> None:
        self.sock = socket.create_connection((where[0], where[1]), 20)
        self.file = self.sock.makefile("rb")
        self.greeting = self.line()

    def line(self) -> str:
        """The next line without its end; empty when the service has hung up."""
        return self.file.readline().decode().rstrip()

    def ask(self, command: str) -> str:
        """Send a line and return the next one."""
        self.sock.sendall(command.encode() + b"\r\n")
        return self.line()

    def close(self) -> None:
        """Hang up."""
        self.file.close()
        self.sock.close()


@pytest.fixture
def sessions() -> Iterator[list[Session]]:
    """Sessions that are closed with the test."""
    opened: list[Session] = []
    yield opened
    for session in opened:
        session.close()


QUESTIONS = {
    "smtp": ("RSET", "250 2.0.0 Ok"),
    "submission": ("NOOP", "250 2.0.0 Ok"),
    "imap": ("a NOOP", "a OK NOOP completed"),
    "pop3": ("CAPA", "+OK"),
}


def test_reload_keeps_every_session(terminal: Terminal, sessions: list[Session], helpers: type[Helpers]) -> None:
    lab = terminal.up("--keep")
    endpoints = lab["instances"]["mailhost"]["endpoints"]
    old = {name: Session(endpoints[name]) for name in QUESTIONS}
    sessions += old.values()
    main = Path(lab["directory"], "mailhost/main.cf")
    main.write_text(main.read_text() + "\nsmtpd_banner = $myhostname ESMTP reloaded\n")
    assert terminal.run("reload", "--dir", lab["directory"]).returncode == 0
    log = Path(lab["log"], "hardmail.log")
    helpers.wait_for(lambda: "generation 2 serves" in log.read_text())
    for name, (question, answer) in QUESTIONS.items():
        assert old[name].ask(question).startswith(answer)
    fresh = Session(endpoints["smtp"])
    sessions.append(fresh)
    assert "reloaded" not in old["smtp"].greeting
    assert fresh.greeting == "220 mail.lab.example ESMTP reloaded"


@pytest.mark.slow
def test_reload_under_load_refuses_nobody(terminal: Terminal, helpers: type[Helpers]) -> None:
    lab = terminal.up()
    endpoints = lab["instances"]["mailhost"]["endpoints"]
    password = next(user["password"] for user in lab["users"] if user["name"] == "bob")
    trust = ssl.create_default_context(cafile=lab["ca_file"])
    done = threading.Event()
    counts: Counter[str] = Counter()
    failures: list[str] = []

    def submission() -> None:
        smtp = smtplib.SMTP(*endpoints["submission"], timeout=30)
        smtp._host = "mail.lab.example"  # type: ignore[attr-defined]
        smtp.starttls(context=trust)
        smtp.login("bob", password)
        smtp.quit()

    def plain() -> None:
        smtp = smtplib.SMTP(*endpoints["smtp"], timeout=30)
        smtp.ehlo()
        smtp.quit()

    def imap() -> None:
        with imaplib.IMAP4(*endpoints["imap"], timeout=30) as client:
            client.host = "127.0.0.2"
            client.starttls(trust)
            client.login("bob", password)
            client.select()

    def imaps() -> None:
        with socket.create_connection(tuple(endpoints["imaps"]), 30) as raw:
            with trust.wrap_socket(raw, server_hostname="mail.lab.example") as tls:
                assert tls.recv(100).startswith(b"* OK")

    def submissions() -> None:
        with socket.create_connection(tuple(endpoints["submissions"]), 30) as raw:
            with trust.wrap_socket(raw, server_hostname="mail.lab.example") as tls:
                assert tls.recv(100).startswith(b"220 ")

    def repeat(work: Callable[[], None]) -> None:
        while not done.is_set():
            try:
                work()
                counts[work.__name__] += 1
            except (OSError, AssertionError, smtplib.SMTPException, imaplib.IMAP4.error) as error:
                failures.append(f"{work.__name__}: {error!r}")

    works = (submission, plain, imap, imaps, submissions)
    threads = [threading.Thread(target=repeat, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    log = Path(lab["log"], "hardmail.log")
    try:
        for generation in (2, 3, 4):
            assert terminal.run("reload").returncode == 0
            helpers.wait_for(lambda n=generation: f"generation {n} serves" in log.read_text())
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(counts) == {work.__name__ for work in works}


def test_stop_says_goodbye_in_every_protocol(terminal: Terminal, sessions: list[Session]) -> None:
    lab = terminal.up()
    endpoints = lab["instances"]["mailhost"]["endpoints"]
    idle = {name: Session(endpoints[name]) for name in QUESTIONS}
    sessions += idle.values()
    idle["imap"].ask("a NOOP")
    start = time.monotonic()
    assert terminal.run("stop").returncode == 0
    assert time.monotonic() - start < 6
    assert idle["smtp"].line().startswith("421 4.3.2 ")
    assert idle["imap"].line().startswith("* BYE ")
    assert idle["pop3"].line().startswith("-ERR ")


def test_render_refuses_a_directory_nobody_can_enter(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("an ordinary user's services run as that user")
    (place / "closed").mkdir(mode=0o700)
    with pytest.raises(LabError, match="lets nobody through"):
        profiles.render("hardened", place / "closed" / "lab")


def test_rendered_lab_cannot_be_moved(place: Path) -> None:
    lab = profiles.render("hardened", place / "lab")
    for reserved in lab.reserved.values():
        for _, sock in reserved:
            sock.close()
    (place / "lab").rename(place / "moved")
    with pytest.raises(LabError, match="cannot be moved"):
        profiles.open_lab(place / "moved")


@pytest.mark.slow
def test_six_days_pass_for_a_null_client_without_its_smarthost(terminal: Terminal, place: Path) -> None:
    lab = place / "lab"
    terminal.up(
        "--dir", str(lab), "--clock", "--instance", "nullclient", "--set", "nullclient/main.cf:delay_warning_time = 4h"
    )
    confdir = str(lab / "nullclient")
    sent = subprocess.run(
        [sys.executable, "-m", "lab", "sendmail", "-C", confdir, "-f", "alice@lab.example", "bob@elsewhere.example"],
        input="Subject: hello\n\nbody\n",
        text=True,
        env=terminal.environment,
        timeout=60,
        check=False,
    )
    assert sent.returncode == 0
    for time_span in ("5h", "6d"):
        advanced = terminal.run("clock", "advance", time_span, "--dir", str(lab))
        assert advanced.returncode == 0, advanced.stderr
    assert "6d 5h ahead" in terminal.run("clock", "show", "--dir", str(lab)).stdout
    log = (lab / "log/nullclient.log").read_text()
    assert log.count("sender delay notification") == 1
    assert log.count("from=<alice@lab.example>, status=expired, returned to sender") == 1
    assert "MAILER-DAEMON" in terminal.run("mailq", "-C", confdir).stdout


def test_the_clock_of_an_ordinary_lab_stays_where_it_is(terminal: Terminal, place: Path) -> None:
    terminal.up("--dir", str(place / "lab"), "--instance", "nullclient")
    refused = terminal.run("clock", "advance", "4h", "--dir", str(place / "lab"))
    assert refused.returncode == os.EX_SOFTWARE
    assert refused.stderr == (
        "hardmail: its time is the system's: start it with hardmail_simulated_clock = yes, or hardmail up --clock\n"
    )
    assert terminal.run("clock", "advance", "soon", "--dir", str(place / "lab")).returncode != 0
