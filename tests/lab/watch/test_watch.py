"""`hardmail watch`: what passes the filters, the page, and a running lab whose watcher comes, stalls and goes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.behaviours.base import Change
from lab.behaviours.stack import Lab
from lab.supervisor import state
from lab.watch import Filters, Watch, attach
from lab.wire import Transcript


def event(*lines: tuple[str, str], **more: Any) -> dict[str, Any]:
    ends = {
        "protocol": "smtp",
        "client": "127.0.0.3:5000",
        "server": "127.0.0.2:25",
        "user": "",
        "tls": False,
        "outgoing": False,
    }
    return {"id": "1-1", "at": 0.0, "service": "mailhost/smtpd", "lost": 0, **ends, "lines": list(lines), **more}


def told(filters: Filters, *events: dict[str, Any]) -> list[str]:
    said: list[str] = []
    watch = Watch(filters, said.append)
    for one in events:
        watch.hear(one)
    return [re.sub(r" \d\d:\d\d:\d\d", "", line) for line in said]


HEAD = "\n#1 smtp 127.0.0.3:5000 -> mailhost/smtpd 127.0.0.2:25"


def test_who_to_whom_what_and_whether_under_tls() -> None:
    assert told(Filters(), event(("S", "220 a"), ("C", "EHLO x")), event(("S", "250 a"), tls=True)) == [
        HEAD, "#1 S: 220 a", "#1 C: EHLO x", "#1 S= 250 a",
    ]  # fmt: skip


def test_a_connection_is_shown_from_its_start_once_its_user_is_known() -> None:
    assert told(Filters(user="alice"), event(("S", "220 a")), event(("S", "235 ok"), user="alice")) == [
        HEAD.replace("5000", "5000 (alice)"), "#1 S: 220 a", "#1 S: 235 ok",
    ]  # fmt: skip
    assert told(Filters(user="bob"), event(("S", "220 a")), event(("S", "235 ok"), user="alice")) == []


@pytest.mark.parametrize(
    ("filters", "shown"),
    [
        (Filters(service="smtpd"), True),
        (Filters(service="smtp"), True),
        (Filters(service="imap"), False),
        (Filters(client="127.0.0.3"), True),
        (Filters(client="127.0.0.4"), False),
        (Filters(port=25), True),
        (Filters(port=5), False),
        (Filters(grep=re.compile("22.")), True),
        (Filters(grep=re.compile("^EHLO")), False),
    ],
)
def test_filters(filters: Filters, shown: bool) -> None:
    assert told(filters, event(("S", "220 a"))) == ([HEAD, "#1 S: 220 a"] if shown else [])


def test_what_a_service_says_to_others_is_shown_if_wanted() -> None:
    own = event(("S", "220 a"), outgoing=True, service="mailhost/qmgr")
    assert told(Filters(), own) == []
    head = "\n#1 smtp mailhost/qmgr 127.0.0.3:5000 -> 127.0.0.2:25"
    assert told(Filters(outgoing=True), own) == [head, "#1 S: 220 a"]


def test_a_long_watch_forgets_old_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.watch.KEPT_CONNECTIONS", 3)
    watch = Watch(Filters(grep=re.compile("^220 kept")), lambda _: None)
    for number, text in enumerate(["220 kept", *["220 a"] * 10]):
        watch.hear(event(("S", text), id=str(number)))
    assert [seen.number for seen in watch._seen.values()] == [1, 10, 11]


def test_what_was_lost_is_told() -> None:
    assert "3 groups of lines were not seen" in told(Filters(), event(("S", "250 a"), lost=3))[0]


def test_hostile_text_reaches_neither_terminal_nor_page() -> None:
    watch = Watch(Filters(), lambda _: None)
    watch.hear(event(("C", "<script>alert(1)</script>\x1b[2J"), user='"><b>'))
    page = watch.page()
    assert "<script>" not in page and "<b>" not in page and "\x1b" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J" in page
    assert re.findall(r"(?:src|href|url)\s*[=(]", page) == []  # nothing is loaded
    assert told(Filters(), event(("C", "\x1b[2J")))[1] == "#1 C: \\x1b[2J"


@asynccontextmanager
async def watching(lab: Lab, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """`hardmail watch`, which has seen a first line."""
    argv = [sys.executable, "-m", "lab", "watch", "--dir", str(lab.directory), *arguments]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        waiting = asyncio.create_task(process.stdout.readline())
        while not waiting.done():
            async with await lab.smtp("mailhost.smtp", Transcript()) as smtp:
                await smtp.command("QUIT")
            await asyncio.wait([waiting], timeout=0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.slow
async def test_a_lab_is_watched(place: Path) -> None:
    async with Lab.start(["mailhost"]) as lab:
        alice, html = lab.user("alice"), place / "page.html"
        async with watching(lab, "--outgoing", "--html", str(html)) as watcher:
            assert watcher.stdout is not None
            again = await lab.hardmail("watch", "--dir", str(lab.directory))
            assert (again.status, again.errors.strip()) == (70, "hardmail: somebody watches already")
            token, evidence = lab.token(), Transcript()
            async with await lab.smtp_logged_in(alice, evidence) as smtp:
                await smtp.send_message(alice.address, [alice.address], lab.message(token, "PRIVATE\n"))
            await lab.arrived(alice, token, evidence)
            async with await lab.pop3("mailhost.pop3s", evidence, tls=True) as pop3:
                await pop3.command(f"USER {alice.name}")
                await pop3.command(f"PASS {alice.password}")
                await pop3.command("QUIT")
            os.kill(watcher.pid, signal.SIGINT)
            output = (await watcher.stdout.read()).decode()
            assert await watcher.wait() == 0
        for wanted in (
            r"C= AUTH PLAIN <secret>", r"S= 235 2\.7\.0", r"C= <\d+ octets>", r"C= PASS <secret>", r"S= \+OK Logged in",
            r"lmtp unix -> mailhost/lmtp unix", r"auth unix -> mailhost/auth", r"smtp mailhost/qmgr unix -> unix", r"\(alice\) -> mailhost/imap ",
        ):  # fmt: skip
            assert re.search(wanted, output), wanted
            assert (
                wanted.startswith("C")
                or re.search(wanted.replace(" -> ", " -&gt; "), html.read_text())
                or "S=" in wanted
            )
        assert alice.password not in output and "PRIVATE" not in output
        assert html.stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
async def test_a_watcher_that_stalls_holds_nobody_up() -> None:
    """It is stopped while five thousand replies are given: they come, and what it missed is counted when it wakes."""
    patient = Change("mailhost/main.cf", "smtpd_junk_command_limit = 1000000")
    async with Lab.start(["mailhost"], [patient]) as lab, watching(lab) as watcher:
        assert watcher.stdout is not None
        os.kill(watcher.pid, signal.SIGSTOP)
        async with await lab.smtp("mailhost.smtp", Transcript()) as smtp:
            await smtp.ehlo()
            for _ in range(5000):
                assert (await smtp.command("NOOP")).code == 250
            os.kill(watcher.pid, signal.SIGCONT)
            seen = b""
            while b"were not seen: they came too fast" not in seen:
                await smtp.command("NOOP")
                seen = seen[-200:] + await watcher.stdout.read(1 << 16)
        os.kill(watcher.pid, signal.SIGTERM)
        await watcher.stdout.read()
        assert await watcher.wait() == 0


@pytest.mark.slow
async def test_the_socket_is_its_owners_and_goes_with_the_lab() -> None:
    async with Lab.start(["mailhost"]) as lab:
        path = state.find(lab.directory).watch_path
        assert path.stat().st_mode & 0o777 == 0o600
        for _ in range(2):  # a watcher that has gone leaves room for the next
            supervisor, lines = await _attached(path)
            with supervisor, lines:
                async with await lab.smtp("mailhost.smtp", Transcript()) as smtp:
                    await smtp.command("QUIT")
                first = json.loads(await asyncio.to_thread(lines.recv, 1 << 16))
                assert first["lines"][0][1].startswith("220 ")
    assert not path.exists()


async def _attached(path: Path) -> tuple[socket.socket, socket.socket]:
    while True:
        try:
            return attach(path)
        except Exception as error:
            if "somebody watches already" not in str(error):
                raise
            await asyncio.sleep(0.01)
