"""saslauthd: its command line, its directory, and real Cyrus SASL programs that log in through it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import smtplib
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from auth.cyrus import mux
from auth.cyrus import testsaslauthd as tester
from auth.cyrus.saslauthd import main
from lab.sandbox import landlock
from tests import peers
from tests.auth.worker.machine import ROOT, accounts, running
from tests.interop import realpostfix
from tests.servers import free_port

Started = Callable[..., AbstractAsyncContextManager[Path]]
Test = Callable[..., Awaitable[tuple[int | None, str]]]


async def until(path: Path, process: asyncio.subprocess.Process) -> Path:
    """Wait until it answers behind the socket."""
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, (await process.communicate())[1].decode()
            try:
                reader, writer = await asyncio.open_unix_connection(path)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.write(mux.Request(b"", b"").encode())
            assert (await reader.read())[2:4] == b"NO"
            writer.close()
            return path


@contextlib.asynccontextmanager
async def saslauthd(directory: Path, *arguments: str) -> AsyncIterator[Path]:
    """Ours, in a process of its own; the path of its socket."""
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-P", "-m", "lab", "saslauthd", "-m", str(directory / "run"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
    )
    try:
        yield await until(directory / "run/mux", process)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
    assert not (directory / "run/mux").exists()


async def takes(path: Path, user: str, password: str) -> bool:
    """Whether the service takes the password."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(mux.Request(user.encode(), password.encode()).encode())
    answer = await reader.read()
    writer.close()
    return answer[2:4] == b"OK"


async def test_a_file_of_users_may_be_a_link(place: Path, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("alice:{PLAIN}secret\n")
    (place / "users").symlink_to(tmp_path / "users")
    async with saslauthd(place, "-a", "passwd-file", "-O", str(place / "users")) as path:
        assert await takes(path, "alice", "secret")


@pytest.mark.skipif(landlock.abi() == 0, reason="the kernel has no Landlock")
async def test_other_files_than_its_own_are_not_there_for_it(place: Path, tmp_path: Path) -> None:
    (tmp_path / "users").write_text("alice:{PLAIN}secret\nbob:{PLAIN}secret\n")
    (place / "own").mkdir()
    users = place / "own/users"
    users.write_text("alice:{PLAIN}secret\n")
    async with saslauthd(place, "-a", "passwd-file", "-O", str(users)) as path:
        assert await takes(path, "alice", "secret")
        users.unlink()
        users.symlink_to(tmp_path / "users")
        async with asyncio.timeout(30):
            while await takes(path, "alice", "secret"):  # it looks at the file once a second
                await asyncio.sleep(0.05)
        assert not await takes(path, "bob", "secret")
        users.unlink()
        users.write_text("bob:{PLAIN}secret\n")
        async with asyncio.timeout(30):
            while not await takes(path, "bob", "secret"):
                await asyncio.sleep(0.05)


async def real(path: Path, user: str, password: str, *more: str) -> tuple[int | None, str]:
    """Cyrus SASL's testsaslauthd."""
    program = peers.find("testsaslauthd", "sasl2-bin")
    arguments = ["-f", str(path), "-u", user, "-p", password, *more]
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=subprocess.PIPE)
    out, _ = await process.communicate()
    return process.returncode, out.decode()


GOOD, BAD = (0, '0: OK "Success."\n'), (255, '0: NO "authentication failed"\n')


@pytest.fixture
def users(place: Path) -> Path:
    path = place / "users"
    path.write_text("alice:{PLAIN}secret\nalice@x.test:{PLAIN}realm-Pw\nnolog:{PLAIN}secret::::::nologin\n")
    return path


@pytest.mark.interop
@pytest.mark.needs("testsaslauthd", "sasl2-bin")
async def test_real_testsaslauthd(place: Path, users: Path) -> None:
    async with saslauthd(place, "-a", "passwd-file", "-O", str(users)) as path:
        assert await real(path, "alice", "secret") == GOOD
        assert await real(path, "alice", "wrong") == BAD
        assert await real(path, "nobody", "secret") == BAD
        assert await real(path, "nolog", "secret") == BAD
        assert await real(path, "alice", "") == BAD
        assert await real(path, "a" * 300, "secret") == BAD
        assert await real(path, "alice", "secret", "-r", "x.test") == GOOD  # the realm is told, not used
        assert (await real(path, "alice", "secret", "-R", "3"))[0] == 0
    async with saslauthd(place, "-r", "-a", "passwd-file", "-O", str(users)) as path:
        assert await real(path, "alice", "realm-Pw", "-r", "x.test") == GOOD
        assert await real(path, "alice", "secret", "-r", "x.test") == BAD


@pytest.mark.interop
@pytest.mark.needs_root
@pytest.mark.needs("testsaslauthd", "sasl2-bin")
@pytest.mark.parametrize("mechanism", ["pam", "shadow"])
async def test_accounts_of_the_machine(place: Path, mechanism: str) -> None:
    """The process that listens is not root; its worker asks PAM or /etc/shadow."""
    etc = accounts(place, {"tuser1": "one-Pw-1", "tuser2": "two-Pw-2"}, expired="tuser2")
    async with running(etc, "saslauthd", "-a", mechanism, "-m", str(place / "run")) as process:
        path = await until(place / "run/mux", process)
        assert await real(path, "tuser1", "one-Pw-1", "-s", "mailtest") == GOOD
        assert await real(path, "tuser1", "wrong", "-s", "mailtest") == BAD
        assert await real(path, "tuser2", "two-Pw-2", "-s", "mailtest") == (BAD if mechanism == "pam" else GOOD)
        assert await real(path, "root", "x", "-s", "mailtest") == BAD


@pytest.mark.interop
@pytest.mark.needs_root
@pytest.mark.needs("postfix", "postfix")
@pytest.mark.needs("testsaslauthd", "sasl2-bin")
async def test_real_postfix_with_cyrus_sasl(place: Path, users: Path) -> None:
    """smtpd_sasl_type = cyrus, pwcheck_method: saslauthd, mech_list: PLAIN LOGIN, as in LPI 322.2."""
    sasl = place / "pf/conf/sasl"  # Debian's Postfix looks below its configuration directory
    sasl.mkdir(parents=True)
    (sasl / "smtpd.conf").write_text(
        f"pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\nsaslauthd_path: {place}/run/mux\n"
    )
    port = free_port()
    main_cf = (
        "mydestination =\nrelayhost = [127.0.0.1]:9\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\n"
        "smtpd_sasl_path = smtpd\nsmtpd_sasl_security_options = noanonymous\n"
    )

    def dialogue() -> list[int]:
        codes = []
        for mechanism, user, password in (
            ("PLAIN", "alice", "secret"),
            ("PLAIN", "alice", "wrong"),
            ("LOGIN", "alice", "secret"),
        ):
            with smtplib.SMTP("127.0.0.1", port, timeout=20) as smtp:
                smtp.ehlo()
                assert smtp.esmtp_features["auth"].split() == ["PLAIN", "LOGIN"]
                if mechanism == "PLAIN":
                    words = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
                    codes.append(smtp.docmd("AUTH", f"PLAIN {words}")[0])
                    continue
                smtp.docmd("AUTH", "LOGIN")
                smtp.docmd(base64.b64encode(user.encode()).decode())
                codes.append(smtp.docmd(base64.b64encode(password.encode()).decode())[0])
        return codes

    with realpostfix.running(
        peers.find("postfix", "postfix"), place / "pf", f"127.0.0.1:{port} inet n - n - - smtpd\n", main_cf
    ):
        async with saslauthd(place, "-a", "passwd-file", "-O", str(users)):
            assert await asyncio.to_thread(dialogue) == [235, 535, 235]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-m", "{place}"], "no authentication mechanism specified"),
        (["-a", "rimap", "-m", "{place}"], "-a rimap is not offered"),
        (["-a", "magic", "-m", "{place}"], "unknown authentication mechanism: magic"),
        (["-a", "passwd-file", "-m", "{place}"], "needs -O FILE"),
        (["-a", "sql", "-O", "/nonexistent", "-m", "{place}/run"], "No such file"),
        (["-a", "shadow", "-m", "{place}/no/such"], "No such file or directory: make the directory with `install"),
        (["-a", "shadow", "-m", "{place}/open"], "may be written by others"),
        (["-a", "shadow", "-t", "soon"], "not a number of seconds"),
        (["-a", "shadow", "what"], "unknown argument"),
        (["--nonsense"], "option --nonsense not recognized"),
    ],
)
def test_what_cannot_start(place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    assert main([word.format(place=place) for word in arguments]) == 1
    assert said in capsys.readouterr().err


def test_a_directory_without_permission(place: Path) -> None:
    """As an ordinary user in a directory of root's: one clear line, exit status 1."""
    directory = place if os.geteuid() == 0 else Path("/proc")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        sys.stderr = os.fdopen(writer, "w")
        if os.geteuid() == 0:
            os.setuid(65534)
        status = main(["-a", "shadow", "-m", str(directory)])
        sys.stderr.flush()
        os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as stream:
        said = stream.read()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert said.startswith(f"saslauthd: {directory}") and said.count("\n") == 1 and "install -d -m 0750" in said


async def test_two_in_one_directory(place: Path, users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with saslauthd(place, "-a", "passwd-file", "-O", str(users)):
        assert main(["-a", "passwd-file", "-O", str(users), "-m", str(place / "run")]) == 1
        assert "another saslauthd runs here, process" in capsys.readouterr().err


async def test_our_testsaslauthd(place: Path, users: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with saslauthd(place, "-a", "passwd-file", "-O", str(users)) as path:

        async def ours(*arguments: str) -> tuple[int, str]:
            status = await asyncio.to_thread(tester.main, list(arguments))
            return status, capsys.readouterr().out

        assert await ours("-u", "alice", "-p", "secret", "-f", str(path)) == (0, GOOD[1])
        assert await ours("-u", "alice", "-p", "wrong", "-f", str(path)) == BAD
        assert (await ours("-u", "alice", "-p", "secret", "-f", str(place / "none")))[0] == 255
        assert (await ours("-u", "alice"))[0] == 1
        assert "example:" in (await ours("--help"))[1]
