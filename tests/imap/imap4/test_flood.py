"""A flood of hostile command streams, cut anywhere, before and after log-in: only tagged answers, and memory stays put.

The suite sends a few hundred. The long run, in memory so that no disk is waited for; a million take about eight minutes:

    HARDMAIL_STREAMS=1000000 .venv/bin/pytest -n 0 --basetemp=/dev/shm/flood tests/imap/imap4/test_flood.py
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imap.imap4.session import Session
from imap.imap4.settings import Settings

from .test_hostile import MAIL, WORDS, lines_of

STREAMS = int(os.environ.get("HARDMAIL_STREAMS", "600"))
# A new mail root after so many: streams append and copy.
ROOT_LIFETIME = 5000
CONNECTION_LIFETIME = 100
# What a million streams may leave behind (MiB); a leak of a hundred octets for each would be a hundred.
GROWTH = 48
MORE = [
    *b"""
    REPLACE COMPRESS DEFLATE NOTIFY SET NONE (SELECTED (MessageNew MessageExpunge)) GETQUOTA SETQUOTA XLIST LOGOUT
    EMAILID (EMAILID) (MAILBOXID) UNSEEN RECENT KEYWORD BEFORE 1-Jan-2020 SENTON HEADER LARGER FUZZY (PARTIAL 1:2)
    GETMETADATA SETMETADATA /private/a (/private/a NIL) (DEPTH infinity) (/shared/comment x) MYRIGHTS GETACL SETACL -bob
    DELETEACL LISTRIGHTS +lr anyone $g !$g owner lrwstipekxacd IMAP4rev2 UTF8=ACCEPT UTF8 (~{3} X-GUID {140000} {140000+}
    (UPDATE) (SUBSCRIBED) (RECURSIVEMATCH) CHILDREN "INBOX" (QRESYNC (1 1)) VANISHED {0} ~{5} {1+} CHARSET KOI8-R
    """.split(),
    *(bytes([octet]) for octet in b"\r\t\"'()<>[]{}\\%*~;:,\x7f\x80"),
    b"A" * 9000,
    b"(" * 300,
]


SETTINGS = Settings(extensions=True, quota=True, acl=True, metadata=True)
CONF = """
mail_plugins = quota acl
mail_attribute_dict = file:%h/attributes
plugin {{
  acl = vfile
  acl_anyone = allow
  acl_shared_dict = file:{base}/mail/shared
}}
"""


def stream(chance: random.Random) -> bytes:
    """A few lines, of words that commands are made of and of others."""
    lines = []
    for number in range(chance.randint(1, 6)):
        words = chance.choices(WORDS + MORE, k=chance.randint(0, 7))
        ends = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n", b""))
        lines.append(b"t%d %b%b" % (number, chance.choice((b" ", b" ", b" ", b"")).join(words), ends))
    data = b"".join(lines)
    if chance.random() < 0.2:  # an octet gone wrong
        place = chance.randrange(len(data))
        data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
    return data


def resident() -> float:
    """The memory that this process holds, MiB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


async def settle(session: Session) -> None:
    async with asyncio.timeout(30):
        while session.busy and not session.waits_for_line:
            await asyncio.sleep(0)


class Peer:
    """A connection that is attacked until it closes, or for a while."""

    def __init__(self, mail: Any) -> None:
        self.mail = mail
        self.session: Session | None = None
        self.left = 0  # streams that the connection still takes
        self.sent: set[bytes] = set()  # words, any of which may have been taken for a tag
        self.rest = b""  # the last word, which the next stream may go on with

    async def attack(self, data: bytes, cut: int, *, logged_in: bool) -> None:
        """Send a stream and look at what is answered."""
        session, wire = self.session, self.session.wire if self.session is not None else None
        if session is None or session.closed or not self.left or session.is_logged_in is not logged_in:
            session, wire = await self._connect(logged_in)
        self.left -= 1
        words = re.split(rb"[ \r\n]+", self.rest + data)
        self.rest = words[-1]
        self.sent.update(words)
        for start in range(0, len(data), cut):
            session.receive(data[start : start + cut])
            await settle(session)
        answer = bytes(wire.sent)  # type: ignore[union-attr] # the stand-in of the tests keeps what was sent
        wire.sent.clear()  # type: ignore[union-attr]
        for line in lines_of(answer):
            assert line.split(b" ")[0] in self.sent, (data, line)

    async def _connect(self, logged_in: bool) -> tuple[Session, Any]:
        if self.session is not None:
            self.session.lost()
            await asyncio.sleep(0)
        wire = self.mail.wire()
        session = Session(wire, await self.mail.login("imap", wire), SETTINGS)
        session.greet()
        if logged_in:
            session.receive(b"x LOGIN alice testpass\r\ny SELECT INBOX\r\n")
            await settle(session)
        wire.sent.clear()
        self.session, self.left = session, CONNECTION_LIFETIME
        self.sent, self.rest = {b"*", b"+"}, b""
        return session, wire

    def close(self) -> None:
        if self.session is not None:
            self.session.lost()


def test_a_flood_of_hostile_streams(
    mail_in: Callable[[Path, str], Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(STREAMS)
    before = 0.0

    async def root(number: int, count: int) -> None:
        directory = tmp_path / str(number)
        directory.mkdir()
        mail = mail_in(directory, CONF)
        mail.deliver("alice", MAIL, MAIL)
        stranger, user = Peer(mail), Peer(mail)
        for _ in range(count):
            logged_in = chance.random() < 0.7
            peer = user if logged_in else stranger
            data = stream(chance)
            cut = chance.choice((1, 7, len(data))) if len(data) < 500 else chance.choice((997, len(data)))
            await peer.attack(data, cut, logged_in=logged_in)
        stranger.close()
        user.close()
        mail.close()
        shutil.rmtree(directory)

    for number, start in enumerate(range(0, STREAMS, ROOT_LIFETIME)):
        asyncio.run(root(number, min(ROOT_LIFETIME, STREAMS - start)))
        assert not [record for record in caplog.records if record.levelno >= logging.ERROR], caplog.text
        caplog.clear()
        before = before or resident()
    assert resident() - before < GROWTH
