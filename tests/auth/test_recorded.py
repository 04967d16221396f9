"""What Dovecot 2.3.19 answers to right, odd and broken requests of every mechanism: ours says the same, line by line.

recorded.json holds rows of [name, configuration, turns]; a turn is what the client sends, the lines that come back
(fields sorted, challenges decoded) and whether the connection is closed then.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Running

Start = Callable[..., Awaitable["Running"]]
ROWS: list[Any] = json.loads(Path(__file__).with_name("recorded.json").read_text())

MECHANISMS = "plain login cram-md5 digest-md5 scram-sha-1 scram-sha-256 anonymous external xoauth2 oauthbearer"
USERS = {
    "auth": "alice:{PLAIN}secret\nbob:{PLAIN}hunter2\nuser@dom.test:{PLAIN}domsecret\n",
    "authmaster": "alice:{PLAIN}secret\n",
}
PASSDB = "passdb {\n  driver = passwd-file\n  args = @DIR@/users\n}\n"
MASTER = "passdb {\n  driver = passwd-file\n  args = @DIR@/masters\n  master = yes\n  result_success = continue\n}\n"
CONFIGURATIONS = {
    "auth": f"auth_mechanisms = {MECHANISMS}\n{PASSDB}",
    "authmaster": f"auth_mechanisms = {MECHANISMS}\nauth_master_user_separator = *\n{MASTER}{PASSDB}",
}


def normal(line: str) -> list[str]:
    """A reply with its fields in order and its challenge decoded."""
    words = line.split("\t")
    if words[0] == "CONT":
        return [*words[:2], base64.b64decode(words[2]).decode("latin-1")]
    return [*words[:2], *sorted(word for word in words[2:] if word)]


async def replay(path: Path, turns: list[Any], *, hello: bool) -> list[Any]:
    """The turns, which may begin with the greeting, as they come out against the service at ``path``."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        return await _talk(reader, writer, turns, hello)
    finally:
        writer.close()
        await writer.wait_closed()


async def _talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turns: list[Any], hello: bool) -> list[Any]:
    while (await reader.readline()) != b"DONE\n":
        pass
    if not hello:
        writer.write(b"VERSION\t1\t2\nCPID\t4711\n")
    found = []
    for said, lines, closed in turns:
        writer.write(said.encode("latin-1"))
        got = []
        async with asyncio.timeout(10):
            while closed or len(got) < len(lines):
                line = (await reader.readline()).decode("latin-1").rstrip("\n")
                if not line:
                    break
                got.append(normal(line))
        found.append([said, got, closed])
    return found


@pytest.mark.parametrize("name", CONFIGURATIONS)
async def test_recorded(start: Start, tmp_path: Path, name: str) -> None:
    text = CONFIGURATIONS[name].replace("@DIR@", str(tmp_path))
    running = await start(text, users=USERS[name], masters="root:{PLAIN}masterpw\n")
    rows = [row for row in ROWS if row[1] == name]
    assert len(rows) > 20
    few = asyncio.Semaphore(16)

    async def one(row: list[Any]) -> list[Any]:
        async with few:
            return await replay(running.path("auth-client"), row[2], hello=row[0].startswith("hello."))

    got = await asyncio.gather(*map(one, rows))
    wrong = [(row, have) for row, have in zip(rows, got, strict=True) if row[2] != have]
    assert wrong == []
