"""Generated input for the auth protocols' machines and the SASL mechanisms, whole and cut. Run it for long by

    python -m tests.auth.fuzzing 1000000 [SEED]

which tells how many inputs were run. Anything but the typed errors (ProtocolError, Refused) ends it with the input.
"""

from __future__ import annotations

import base64
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

from auth.cyrus import backends
from auth.mechanisms import MECHANISMS, Environment, Refused
from auth.mechanisms.steps import Challenge, Credentials, Initial
from auth.penalty import Penalties
from auth.protocol import (
    ClientConnection,
    MasterClientConnection,
    MasterServerConnection,
    Parameters,
    ProtocolError,
    ServerConnection,
)
from auth.protocol.server import no_reply
from auth.recall import Recall
from auth.request import AuthRequest
from auth.schemes import sasl

HELLO = b"VERSION\t1\t3\nCPID\t7\n"
GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t10\nCUID\t3\nCOOKIE\tabc\nDONE\n"
WORDS = [
    b"VERSION", b"CPID", b"AUTH", b"CONT", b"CANCEL", b"USER", b"PASS", b"LIST", b"REQUEST", b"CACHE-FLUSH", b"MECH",
    b"SPID", b"CUID", b"COOKIE", b"DONE", b"OK", b"FAIL", b"NOTFOUND", b"1", b"2", b"0", b"4294967295", b"-1", b"PLAIN",
    b"LOGIN", b"service=imap", b"resp=", b"resp==", b"resp=AGEAYg==", b"user=alice", b"channel_binding=", b"rip=::1",
    b"lport=99999", b"secured=tls", b"fail", b"x" * 300, b"=", b"\x01t", b"\x01", b"\xff", b"\0", b"\r", b"",
]  # fmt: skip
PARTS = [
    b"n,,", b"y,,", b"p=tls-exporter,,", b"n,a=", b"n=", b"r=", b"a", b",", b"\0", b"=", b'"', b"\x01", b"auth=Bearer ",
    b"user=", b"c=biws", b"p=", b"nonce=", b"username=", b"realm=", b"qop=auth", b"response=", b"nc=00000001", b"cnonce=",
    b"digest-uri=", b"hex:", b"word:", b"init-hex:", b" ", b"\xff", b"=2C", b"=3D", b"\\",
]  # fmt: skip


class Machine(Protocol):
    """What all machines have in common."""

    def receive(self, data: bytes) -> Iterator[object]: ...
    def data_to_send(self) -> bytes: ...


def _server(known: Callable[[bytes], bytes | None] = no_reply) -> ServerConnection:
    mechanisms = {"PLAIN": ("plaintext",), "LOGIN": ("plaintext",)}
    return ServerConnection(mechanisms, spid=10, cuid=3, cookie="c" * 32, known=known)


def _remembering() -> ServerConnection:
    recall = Recall(1000, 60, lambda: None, Penalties())
    found = AuthRequest(backends.settings([]), Parameters())
    recall.keep(b"PLAIN\tservice=imap\tresp=AGEAYg==", b"user=a\n", found, None)
    return _server(recall.reply)


def _client() -> ClientConnection:
    connection = ClientConnection(7)
    connection.begin("PLAIN", Parameters(service="x"), None)
    return connection


STATES: dict[str, tuple[Callable[[], Machine], bytes]] = {
    "server": (_server, b""),
    "server, greeted": (_server, HELLO),
    "server, remembering": (_remembering, HELLO),
    "server, challenged": (_server, HELLO + b"AUTH\t1\tLOGIN\tservice=x\n"),
    "client": (_client, b""),
    "client, greeted": (_client, GREETING),
    "master server": (lambda: MasterServerConnection(spid=10, userdb_only=False), b"VERSION\t1\t1\n"),
    "userdb server": (lambda: MasterServerConnection(spid=10, userdb_only=True), b""),
    "master client": (MasterClientConnection, b""),
    "master client, greeted": (MasterClientConnection, b"VERSION\t1\t1\nSPID\t10\n"),
}
"""Every machine in every state of its greeting: how it is made and what has been said."""


PLAUSIBLE = [
    b"AUTH\t1\tPLAIN\tservice=imap", b"AUTH\t3\tPLAIN\tservice=imap\trip=::1\tresp=AGEAYg==", b"AUTH\t2\tLOGIN\tservice=imap\tresp=YQ==", b"CONT\t1\tYQ==", b"CONT\t2\tYQ==",
    b"CONT\t1\tYQ==\tchannel_binding=YQ==", b"CANCEL\t1", b"USER\t1\talice\tservice=x", b"PASS\t1\talice\tservice=x",
    b"LIST\t1\tservice=x", b"REQUEST\t1\t7\t1\t" + b"0" * 32, b"OK\t1\tuser=alice\tresp=YQ==", b"FAIL\t1\treason=x",
    b"USER\t1\talice\tuid=1", b"LIST\t1\talice", b"DONE\t1", b"NOTFOUND\t1", b"VERSION\t1\t1", b"SPID\t10", b"MECH\tX",
]  # fmt: skip


def lines(chance: random.Random) -> bytes:
    """Some lines: of known and unknown words, or plausible ones, some of them with a word more or an octet changed."""
    return b"".join(
        _line(chance) + chance.choice([b"\n", b"\n", b"\n", b"\r\n", b"", b"\0"]) for _ in range(chance.randrange(1, 6))
    )


def _line(chance: random.Random) -> bytes:
    if chance.random() < 0.4:
        return b"\t".join(chance.choices(WORDS, k=chance.randrange(1, 6)))
    line = bytearray(chance.choice(PLAUSIBLE))
    if chance.random() < 0.3:
        line += b"\t" + chance.choice(WORDS)
    if chance.random() < 0.2:
        line[chance.randrange(len(line))] = chance.randrange(256)
    return bytes(line)


def outcome(state: str, pieces: list[bytes]) -> tuple[list[str], bytes, bool]:
    """The events, what is sent, and whether the machine gave up."""
    make, said = STATES[state]
    machine = make()
    events = [repr(event) for event in machine.receive(said)]
    if isinstance(machine, ServerConnection):
        machine.send_challenge(1, b"Username:", "tls-unique")
    try:
        for piece in pieces:
            for event in machine.receive(piece):
                events.append(repr(event))  # one by one: those before an error count, too
    except ProtocolError:
        return events, machine.data_to_send(), True
    return events, machine.data_to_send(), False


def run_machine(state: str, data: bytes, chance: random.Random) -> None:
    """One input whole and cut anywhere: both must come to the same."""
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(3))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert outcome(state, [data]) == outcome(state, pieces)


KEYS = {
    f"SCRAM-{name}": sasl.scram_keys(b"x", algorithm, 1)
    for name, algorithm in (("SHA-1", "sha1"), ("SHA-256", "sha256"))
}
STORED = {name: keys.text().encode() for name, keys in KEYS.items()} | {
    "CRAM-MD5": sasl.cram_context(b"x"),
    "DIGEST-MD5": sasl.digest_secret(b"x", "a"),
    "PLAIN": b"x",
}
ENVIRONMENT = Environment("host.example", ("realm",), bytes, lambda: 1234, service="imap", binds=True)


def message(chance: random.Random) -> bytes:
    """Some parts of SASL messages, and some noise."""
    if chance.random() < 0.1:
        return chance.randbytes(chance.randrange(40))
    data = b"".join(chance.choices(PARTS, k=chance.randrange(10)))
    return base64.b64encode(data) if chance.random() < 0.05 else data


def run_mechanism(name: str, messages: list[bytes | None]) -> None:
    """One exchange with these messages, the first of them initial."""
    steps = MECHANISMS[name].start(ENVIRONMENT)
    left = iter(messages)
    answer: bytes | str | None = None
    try:
        question = next(steps)
        while True:
            match question:
                case Initial():
                    answer = next(left, b"")
                case Challenge():
                    answer = next(left, b"") or b""
                case Credentials(scheme, _):
                    answer = STORED.get(scheme, b"")
                case _:
                    answer = None
            question = steps.send(answer)
    except (Refused, StopIteration):
        pass


def campaign(inputs: int, seed: int) -> Counter[str]:
    """Run so many inputs; how many of each kind."""
    chance = random.Random(seed)
    counts: Counter[str] = Counter()
    kinds = [*STATES, *sorted(MECHANISMS)]
    for number in range(inputs):
        kind = kinds[number % len(kinds)]
        counts[kind] += 1
        data: object = None
        try:
            if kind in STATES:
                data = lines(chance)
                run_machine(kind, data, chance)
            else:
                data = [None if chance.random() < 0.2 else message(chance), *(message(chance) for _ in range(3))]
                run_mechanism(kind, data)
        except Exception as error:
            raise AssertionError(f"{kind}: {data!r}") from error
    return counts


def main() -> int:
    """`INPUTS [SEED]`."""
    inputs, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    start = time.monotonic()
    counts = campaign(inputs, seed)
    seconds = time.monotonic() - start
    print(f"{counts.total()} inputs (seed {seed}) to {len(counts)} machines and mechanisms in {seconds:.0f} s: no harm")
    return 0


if __name__ == "__main__":
    sys.exit(main())
