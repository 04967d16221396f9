"""Replays dialogues written as text against an auth service, ours or Dovecot's.

``> plain USER PASSWORD [PARAMETER...]`` is one PLAIN exchange, ``> user NAME`` / ``> pass NAME`` / ``> list`` are
lookups; ``< ...`` is the reply without its number, fields sorted. A password of ``-`` is empty, ``USER/AUTHZID`` acts
as another, ``_`` in a user stands for a space.
"""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

DIALOGUES = Path(__file__).parent / "dialogues"
NAMES = sorted(path.name for path in DIALOGUES.iterdir() if path.is_dir())


def configuration(name: str, directory: Path) -> str:
    """Copy a dialogue's files to ``directory``; the text of its dovecot.conf. ``@DIR@`` is replaced in all."""
    for source in (DIALOGUES / name).iterdir():
        if source.name not in ("dovecot.conf", "dialogue.txt"):
            (directory / source.name).write_text(source.read_text().replace("@DIR@", str(directory)))
            (directory / source.name).chmod(0o644)
    return (DIALOGUES / name / "dovecot.conf").read_text().replace("@DIR@", str(directory))


def dialogue(name: str) -> list[tuple[str, list[str]]]:
    """What the client says, and the replies written below it."""
    turns: list[tuple[str, list[str]]] = []
    for line in (DIALOGUES / name / "dialogue.txt").read_text().splitlines():
        if line.startswith(">"):
            turns.append((line[2:], []))
        elif line.startswith("<"):
            turns[-1][1].append(line[2:])
    return turns


async def replay(sockets: Path, said: list[str]) -> list[list[str]]:
    """The replies to each line said."""
    client = await asyncio.open_unix_connection(sockets / "auth-client")
    userdb = await asyncio.open_unix_connection(sockets / "auth-userdb")
    while (await client[0].readline()) != b"DONE\n":
        pass
    client[1].write(b"VERSION\t1\t2\nCPID\t4711\n")
    await userdb[0].readline()
    await userdb[0].readline()
    userdb[1].write(b"VERSION\t1\t1\n")
    waiting: dict[int, dict[str, list[str]]] = {0: {}, 1: {}}
    for number, line in enumerate(said, 1):
        words = line.split(" ")
        exchange = words[0] == "plain"
        data = _exchange(number, words[1:]) if exchange else _lookup(number, words)
        (client if exchange else userdb)[1].write(data)
        waiting[0 if exchange else 1][str(number)] = []
    await asyncio.gather(_collect(client[0], waiting[0]), _collect(userdb[0], waiting[1]))
    for _, writer in (client, userdb):
        writer.close()
        await writer.wait_closed()
    replies = waiting[0] | waiting[1]
    return [sorted(replies[str(number)]) for number in range(1, len(said) + 1)]


def _exchange(number: int, words: list[str]) -> bytes:
    user, password, *parameters = words
    name, _, authzid = user.replace("_", " ").partition("/")
    response = base64.b64encode(f"{authzid}\0{name}\0{'' if password == '-' else password}".encode()).decode()
    return ("\t".join(["AUTH", str(number), "PLAIN", "service=imap", *parameters, f"resp={response}"]) + "\n").encode()


def _lookup(number: int, words: list[str]) -> bytes:
    names = [name.replace("_", " ") for name in words[1:]]
    return ("\t".join([words[0].upper(), str(number), *names, "service=lmtp"]) + "\n").encode()


async def _collect(reader: asyncio.StreamReader, waiting: dict[str, list[str]]) -> None:
    """Read replies until every request has its last one; fields sorted, the name after USER stays in front."""
    unanswered = set(waiting)
    while unanswered:
        line = await asyncio.wait_for(reader.readline(), 20)
        assert line, f"the connection was closed with {len(unanswered)} requests unanswered"
        word, number, *fields = line.decode().rstrip("\n").split("\t")
        head = [word, *fields[:1]] if word == "USER" else [word]
        waiting[number].append(" ".join([*head, *sorted(field for field in fields[len(head) - 1 :] if field)]))
        if word != "LIST":
            unanswered.discard(number)
