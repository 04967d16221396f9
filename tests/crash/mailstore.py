"""What the crash test of the mail store shares: a mail host that is killed, sessions at work in it, a ledger of its words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import random
import re
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lab.behaviours.processes import children
from lab.wire import IMAP, SMTP, Transcript, WireError
from lab.wire.imap import Response
from tests.servers import free_port

FOLDERS = ("INBOX", "Archive", "Work")
USERS = ("ann", "bob", "cyd", "dan")
AGAIN_SECONDS = 0.05
PASSWORD = "correct-Horse-7"
MAIL_UID = 8
CONFIGURATION = """\
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/log
protocols = imap lmtp
ssl = no
first_valid_uid = 1
default_login_user = {login}
default_internal_user = {internal}
mail_max_userip_connections = 100
mail_location = maildir:%h/Maildir
passdb {{
  driver = passwd-file
  args = {directory}/users
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={directory}/mail/%n
}}
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""

Place = tuple[str, str]  # user and folder


class MailHost:
    """`hardmail run` with IMAP and LMTP alone, in a directory that outlives its processes."""

    def __init__(self, directory: Path) -> None:
        root = os.geteuid() == 0
        me = pwd.getpwuid(os.geteuid())
        self.directory, self.imap, self.lmtp = directory, free_port(), free_port()
        self._process: asyncio.subprocess.Process | None = None
        (directory / "mail").mkdir()
        (directory / "users").write_text("".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in USERS))
        (directory / "users").chmod(0o644)
        values = {"imap": self.imap, "lmtp": self.lmtp, "directory": directory}
        values |= {"uid": MAIL_UID if root else me.pw_uid, "gid": MAIL_UID if root else me.pw_gid}
        values |= {"login": "nobody" if root else me.pw_name, "internal": "nobody" if root else me.pw_name}
        (directory / "dovecot.conf").write_text(CONFIGURATION.format(**values))
        if root:
            os.chown(directory / "mail", MAIL_UID, MAIL_UID)

    async def start(self) -> None:
        """Start, as often as it takes: the ports of a killed one may not be free yet."""
        while True:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "lab", "run", "-c", str(self.directory)
            )
            while self._process.returncode is None:
                with contextlib.suppress(WireError):
                    async with await IMAP.open("127.0.0.1", self.imap):
                        return
                await asyncio.sleep(AGAIN_SECONDS)

    async def kill(self, name: str) -> bool:
        """SIGKILL to a service, or to the supervisor, which is started again; whether there was one."""
        assert self._process is not None
        if name == "supervisor":
            self._process.kill()
            await self._process.wait()
            await self.start()
            return True
        for pid in children(self._process.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    async def stop(self) -> None:
        """SIGTERM and wait."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            await self._process.wait()


@dataclass(eq=False)
class Item:
    """One message in one folder, as its session was told."""

    mark: str
    place: Place
    uid: int
    flags: set[str] = field(default_factory=set)
    fate: str = "here"  # moving, doomed (told to go, not yet answered), gone
    target: Place = ("", "")


@dataclass
class Ledger:
    """What was acknowledged, and which UID has ever named which message."""

    items: list[Item] = field(default_factory=list)
    delivered: set[tuple[str, str]] = field(default_factory=set)  # user and mark
    names: dict[tuple[Place, int], str] = field(default_factory=dict)
    validity: dict[Place, str] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)

    def named(self, place: Place, uid: int, mark: str) -> None:
        """A UID names a message, now and for ever."""
        assert self.names.setdefault((place, uid), mark) == mark, f"UID {uid} of {place} was used twice"

    def new(self, place: Place, uid: int, mark: str, flags: set[str]) -> Item:
        self.named(place, uid, mark)
        item = Item(mark, place, uid, flags)
        self.items.append(item)
        return item

    def selected(self, place: Place, response: Response) -> None:
        """The UIDVALIDITY is what it was."""
        found = re.search(rb"UIDVALIDITY (\d+)", b" ".join(response.untagged))
        assert found is not None, response
        assert self.validity.setdefault(place, found[1].decode()) == found[1].decode(), f"UIDVALIDITY of {place}"


@dataclass
class Worker:
    """One client, that connects again whenever its server dies."""

    host: MailHost
    ledger: Ledger
    user: str
    dice: random.Random
    over: Callable[[], bool]
    mine: list[Item] = field(default_factory=list)
    made: int = 0

    async def run(self) -> None:
        while not self.over():
            try:
                if self.dice.random() < 0.2:
                    await self._deliver()
                else:
                    await self._session()
            except WireError:
                await asyncio.sleep(AGAIN_SECONDS)

    def _mark(self) -> str:
        self.made += 1
        return f"{self.user}-{id(self):x}-{self.made}"

    def _message(self, mark: str) -> str:
        return f"From: a@b.test\r\nSubject: {mark}\r\n\r\n{'A line.' * self.dice.randrange(400)}\r\n"

    async def _deliver(self) -> None:
        async with await SMTP.open("127.0.0.1", self.host.lmtp) as lmtp:
            await lmtp.command("LHLO crash.test")
            for _ in range(5):
                mark = self._mark()
                reply = await lmtp.send_message("a@b.test", [self.user], self._message(mark))
                if reply.code == 250:
                    self.ledger.delivered.add((self.user, mark))
                    self.ledger.done["deliver"] += 1

    async def _session(self) -> None:
        async with await IMAP.open("127.0.0.1", self.host.imap, transcript=Transcript()) as imap:
            if not await self._command(imap, f"LOGIN {self.user} {PASSWORD}"):
                return
            place = self.user, self.dice.choice(FOLDERS)
            response = await imap.command(f"SELECT {place[1]}")
            if response.status != "OK":  # it is not made yet
                await imap.command(f"CREATE {place[1]}")
                return
            self.ledger.selected(place, response)
            for _ in range(self.dice.randrange(5, 40)):
                imap.transcript.lines.clear()
                here = [item for item in self.mine if item.place == place]
                what = self.dice.choice((self._append, self._flag, self._copy, self._move, self._expunge))
                if what == self._append or len(here) < 3:
                    await self._append(imap, place)
                else:
                    await what(imap, self.dice.choice(here))  # type: ignore[operator]
                if self.over():
                    return

    async def _command(self, imap: IMAP, line: str) -> Response | None:
        """A command that is answered OK, None where it is refused (a lock that is not free in time)."""
        response = await imap.command(line)
        assert response.status != "BAD", response
        return response if response.status == "OK" else None

    async def _append(self, imap: IMAP, place: Place) -> None:
        mark = self._mark()
        text = self._message(mark)
        response = await self._command(imap, f"APPEND {place[1]} (\\Seen) {{{len(text)}+}}\r\n{text}")
        if response is not None:
            uid = int(response.text.split()[2].rstrip("]"))
            self.mine.append(self.ledger.new(place, uid, mark, {"\\Seen"}))
            self.ledger.done["append"] += 1

    async def _flag(self, imap: IMAP, item: Item) -> None:
        flag = self.dice.choice(("\\Flagged", "\\Answered", "kw1", "kw2"))
        if await self._command(imap, f"UID STORE {item.uid} +FLAGS.SILENT ({flag})"):
            item.flags.add(flag)
            self.ledger.done["flag"] += 1

    async def _copy(self, imap: IMAP, item: Item) -> None:
        place = self.user, self.dice.choice(FOLDERS)
        response = await self._command(imap, f"UID COPY {item.uid} {place[1]}")
        if response is not None:
            uid = int(response.text.split()[3].rstrip("]"))
            self.mine.append(self.ledger.new(place, uid, item.mark, set(item.flags)))
            self.ledger.done["copy"] += 1

    async def _move(self, imap: IMAP, item: Item) -> None:
        place = self.user, self.dice.choice(FOLDERS)
        item.fate, item.target = "moving", place
        self.mine.remove(item)
        response = await self._command(imap, f"UID MOVE {item.uid} {place[1]}")
        if response is not None:
            found = re.search(rb"COPYUID \d+ \d+ (\d+)\]", b" ".join(response.untagged))
            assert found is not None, response
            item.fate = "gone"
            self.mine.append(self.ledger.new(place, int(found[1]), item.mark, item.flags))
            self.ledger.done["move"] += 1

    async def _expunge(self, imap: IMAP, item: Item) -> None:
        item.fate = "doomed"
        self.mine.remove(item)
        if await self._command(imap, f"UID STORE {item.uid} +FLAGS.SILENT (\\Deleted)") and await self._command(
            imap, f"UID EXPUNGE {item.uid}"
        ):
            item.fate = "gone"
            self.ledger.done["expunge"] += 1


async def read(host: MailHost, ledger: Ledger) -> dict[Place, dict[int, tuple[str, set[str]]]]:
    """Every folder of every user: UIDs with mark and flags. Each of them opens."""
    found: dict[Place, dict[int, tuple[str, set[str]]]] = {}
    for user in USERS:
        async with await IMAP.open("127.0.0.1", host.imap) as imap:
            assert (await imap.login(user, PASSWORD)).status == "OK"
            for folder in FOLDERS:
                response = await imap.command(f"SELECT {folder}")
                if response.status != "OK":
                    assert (user, folder) not in ledger.validity, response
                    continue
                ledger.selected((user, folder), response)
                mails = found[user, folder] = {}
                response = await imap.command("UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])")
                for line in response.untagged:
                    if b" FETCH (" in line:
                        uid, flags, mark = re.search(  # type: ignore[union-attr]
                            rb"UID (\d+) FLAGS \(([^)]*)\).*Subject: (\S+)", line, re.DOTALL
                        ).groups()
                        mails[int(uid)] = mark.decode(), set(flags.decode().split())
                        ledger.named((user, folder), int(uid), mark.decode())
    return found


def faults(ledger: Ledger, found: dict[Place, dict[int, tuple[str, set[str]]]]) -> list[str]:
    """What was acknowledged and is not so."""
    wrong = []
    marks = {place: {mark for mark, _ in mails.values()} for place, mails in found.items()}
    for item in ledger.items:
        mark, flags = found.get(item.place, {}).get(item.uid, ("", set()))
        if item.fate == "gone" and mark:
            wrong.append(f"came back: {item}")
        elif item.fate == "here" and (mark != item.mark or not item.flags <= flags):
            wrong.append(f"lost, or without its flags {flags}: {item}")
        elif item.fate == "moving" and not mark and item.mark not in marks.get(item.target, ()):
            wrong.append(f"in neither place: {item}")
    for user, mark in ledger.delivered:
        if mark not in marks.get((user, "INBOX"), ()):
            wrong.append(f"delivered and lost: {user} {mark}")
    return wrong
