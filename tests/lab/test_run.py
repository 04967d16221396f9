"""`hardmail run` on plain configuration directories: one or several, as the user who runs it."""

from __future__ import annotations

import imaplib
import os
import re
import select
import signal
import smtplib
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Helpers

ROOT = Path(__file__).parent.parent.parent


class Daemons:
    """Runs `hardmail run` over directories below one place."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "XDG_RUNTIME_DIR": str(place / "runtime"),
        }
        self.started: list[subprocess.Popen[str]] = []

    def confdir(self, name: str, port: int, host: str = "127.0.0.1", maxproc: str = "-", main: str = "") -> Path:
        """A directory with a small main.cf and master.cf; smtpd is one process."""
        path = self.place / name / "conf"
        path.mkdir(parents=True, exist_ok=True)
        (path / "main.cf").write_text(
            f"compatibility_level = 3.6\nmyhostname = {name}.example\nalias_maps =\nlocal_recipient_maps =\n"
            f"hardmail_smtpd_processes = 1\n{main}\n"
            f"queue_directory = {path.parent}/queue\ndata_directory = {path.parent}/data\n"
        )
        (path / "master.cf").write_text(
            f"{host}:{port} inet n - n - {maxproc} smtpd\nqmgr unix n - n 300 1 qmgr\nsmtp unix - - n - - smtp\n"
        )
        return path

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "lab", *arguments],
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=60,
            check=False,
        )

    def run(self, *confdirs: Path) -> subprocess.Popen[str]:
        """Start over these directories and wait for the ready line."""
        arguments = [word for confdir in confdirs for word in ("-c", str(confdir))]
        process = subprocess.Popen(
            [sys.executable, "-m", "lab", "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.started.append(process)
        assert process.stdout
        line = process.stdout.readline()
        assert line.startswith(f"hardmail: ready (pid {process.pid}, "), process.stderr.read() if process.stderr else ""
        return process

    def close(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.poll() is None:
                process.terminate()
            process.communicate(timeout=20)


@pytest.fixture
def daemons(place: Path) -> Iterator[Daemons]:
    """A place for configuration directories."""
    made = Daemons(place)
    yield made
    made.close()


def greeting(port: int, host: str = "127.0.0.1") -> str:
    """The first line that a server says."""
    with socket.create_connection((host, port), 20) as sock, sock.makefile("rb") as file:
        return file.readline().decode().rstrip()


class Clients:
    """Connections that stay."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sockets: list[socket.socket] = []
        self.said: dict[socket.socket, bytes] = {}

    def connect(self, count: int) -> None:
        """So many more."""
        self.sockets += [socket.create_connection(("127.0.0.1", self.port), 20) for _ in range(count)]

    def greetings(self, seconds: float) -> list[bytes]:
        """The first words of all that are greeted before nothing more is said for some time."""
        while readable := select.select(self.sockets, [], [], seconds)[0]:
            for sock in readable:
                said = sock.recv(1000)
                if said:
                    self.said.setdefault(sock, said)
                else:
                    self.hang_up(sock)
        return sorted(said[:3] for said in self.said.values())

    def hang_up(self, sock: socket.socket) -> None:
        """One goes."""
        self.sockets.remove(sock)
        sock.close()

    def close(self) -> None:
        """All go."""
        for sock in self.sockets[:]:
            self.hang_up(sock)


@pytest.fixture
def crowd(helpers: type[Helpers]) -> Iterator[Clients]:
    """Clients of a port that is free."""
    made = Clients(helpers.free_port())
    yield made
    made.close()


def processes(daemon: subprocess.Popen[str], name: str) -> int:
    """How many processes of a service there are."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    return [Path(f"/proc/{pid}/comm").read_text().strip() for pid in children].count(name)


def test_four_processes_have_the_sessions_of_maxproc_and_others_wait(daemons: Daemons, crowd: Clients) -> None:
    daemon = daemons.run(daemons.confdir("one", crowd.port, maxproc="6", main="hardmail_smtpd_processes = 4"))
    assert processes(daemon, "smtpd") == 4
    crowd.connect(10)
    assert crowd.greetings(1.0) == [b"220"] * 6
    for sock in list(crowd.said)[:3]:
        crowd.hang_up(sock)
    assert crowd.greetings(1.0) == [b"220"] * 9  # three of those that waited


def test_a_limit_of_ten_connections_admits_ten_over_four_processes(daemons: Daemons, crowd: Clients) -> None:
    limit = "smtpd_client_connection_count_limit = 10\nsmtpd_client_event_limit_exceptions =\n"
    daemon = daemons.run(daemons.confdir("one", crowd.port, main=f"{limit}hardmail_smtpd_processes = 4"))
    assert processes(daemon, "smtpd") == 4
    crowd.connect(40)
    assert crowd.greetings(2.0) == [b"220"] * 10 + [b"421"] * 30


def test_one_directory(daemons: Daemons, helpers: type[Helpers]) -> None:
    port = helpers.free_port()
    confdir = daemons.confdir("one", port)
    process = daemons.run(confdir)
    assert greeting(port) == "220 one.example ESMTP Postfix"
    assert (confdir.parent / "queue/pid/master.pid").read_text() == f"{process.pid}\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    assert not (confdir.parent / "queue/pid/master.pid").exists()
    assert not (confdir.parent / "queue/public/qmgr").exists()


def test_imap_knows_what_the_passdb_told_of_its_user(daemons: Daemons, helpers: type[Helpers]) -> None:
    """The userdb prefetch has nothing but the fields of that very log-in; who is anonymous is in no database at all."""
    conf, mail = daemons.place / "conf", daemons.place / "mail"
    conf.mkdir()
    mail.mkdir()
    me = f"userdb_uid={os.getuid()} userdb_gid={os.getgid()}" if os.getuid() else "userdb_uid=8 userdb_gid=8"
    if not os.getuid():
        os.chown(mail, 8, 8)
    port = helpers.free_port()
    (conf / "users").write_text(f"alice:{{PLAIN}}secret::::::{me} userdb_home={mail}/alice\n")
    (conf / "dovecot.conf").write_text(
        f"protocols = imap\nssl = no\nlisten = 127.0.0.1\nbase_dir = {daemons.place}/run\nfirst_valid_uid = 1\n"
        f"state_dir = {daemons.place}/state\nmail_location = maildir:~/Maildir\nhardmail_mail_root = {mail}\n"
        "mail_uid = 8\nmail_gid = 8\nauth_mechanisms = plain anonymous\nlog_path = /dev/stderr\n"
        f"passdb {{\n  driver = passwd-file\n  args = {conf}/users\n}}\n"
        f"userdb {{\n  driver = prefetch\n}}\nuserdb {{\n  driver = static\n  args = home={mail}/%u\n}}\n"
        f"service imap-login {{\n  inet_listener imap {{\n    port = {port}\n  }}\n"
        "  inet_listener imaps {\n    port = 0\n  }\n}\n"
    )
    daemons.run(conf)
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
        client.login("alice", "secret")
        client.select()
    assert (mail / "alice" / "Maildir").is_dir()
    with imaplib.IMAP4("127.0.0.1", port, timeout=20) as client:
        assert client.authenticate("ANONYMOUS", lambda challenge: b"guest")[0] == "OK"
        client.select()
    assert (mail / "anonymous" / "Maildir").is_dir()


def test_several_directories_with_the_same_last_name(daemons: Daemons, helpers: type[Helpers]) -> None:
    ports = [helpers.free_port(), helpers.free_port()]
    confdirs = [daemons.confdir(name, port) for name, port in zip(("one", "two"), ports, strict=True)]
    daemons.run(*confdirs)
    assert [greeting(port).split()[1] for port in ports] == ["one.example", "two.example"]
    status = daemons.command("status", "-c", str(confdirs[1]))
    assert status.stdout.count("/smtpd ") == 2


def test_errors_of_all_directories_at_once(daemons: Daemons) -> None:
    confdirs = [daemons.confdir(name, 2525) for name in ("one", "two")]
    for confdir in confdirs:
        (confdir / "master.cf").write_text("oops\n")
    done = daemons.command("run", "-c", str(confdirs[0]), "-c", str(confdirs[1]))
    assert done.returncode == os.EX_CONFIG
    assert [line.split(":")[1].strip() for line in done.stderr.splitlines()] == [
        f"{confdir}/master.cf, line 1" for confdir in confdirs
    ]


def test_reload_and_stop_by_directory(daemons: Daemons, helpers: type[Helpers]) -> None:
    port = helpers.free_port()
    confdir = daemons.confdir("one", port)
    process = daemons.run(confdir)
    main = confdir / "main.cf"
    main.write_text(main.read_text().replace("one.example", "new.example"))
    assert daemons.command("reload", "-c", str(confdir)).returncode == 0
    helpers.wait_for(lambda: greeting(port) == "220 new.example ESMTP Postfix")
    assert daemons.command("stop").returncode == os.EX_UNAVAILABLE  # it must be named: it may be in service
    assert daemons.command("stop", "-c", str(confdir)).returncode == 0
    assert process.wait(20) == 0


def test_directories_that_share_a_queue_are_refused(daemons: Daemons, helpers: type[Helpers]) -> None:
    first, second = (daemons.confdir(name, helpers.free_port()) for name in ("one", "two"))
    (second / "main.cf").write_text((first / "main.cf").read_text())
    process = daemons.run(first)
    done = daemons.command("run", "-c", str(second))
    assert done.returncode == os.EX_TEMPFAIL
    assert f"already running: process {process.pid} holds {first.parent}/queue/pid/master.pid" in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has privileges to give up")
def test_no_service_process_is_root(daemons: Daemons, helpers: type[Helpers]) -> None:
    process = daemons.run(daemons.confdir("one", helpers.free_port()))
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 2
    for pid in children:
        fields = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        assert "0" not in fields["Uid"].split()
        assert "0" not in fields["Gid"].split() + fields["Groups"].split()
        assert int(fields["CapPrm"], 16) == int(fields["CapEff"], 16) == 0
        assert fields["NoNewPrivs"] == "1"


def test_mailq_marks_what_is_being_delivered(daemons: Daemons, helpers: type[Helpers]) -> None:
    """The confined queue manager answers although it may reach no socket of another process."""
    port = helpers.free_port()
    confdir = daemons.confdir("busy", port)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with (confdir / "main.cf").open("a") as file:
            file.write(f"relayhost = [127.0.0.1]:{silent.getsockname()[1]}\nmydestination =\n")
        daemons.run(confdir)
        with smtplib.SMTP("127.0.0.1", port, "client.example") as smtp:
            smtp.sendmail("a@busy.example", ["b@elsewhere.example"], "Subject: x\r\n\r\n")
        connection, _ = silent.accept()  # it is being delivered now
        listing = daemons.command("postqueue", "-c", str(confdir), "-p").stdout
        connection.close()
    assert re.search(r"^[0-9A-F]+\* ", listing, re.MULTILINE), listing
