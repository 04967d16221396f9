"""Generated input for SMTP sessions in memory, from every state, whole and octet by octet. Run it for long by

    python -m tests.mta.smtpd.fuzzing 2000000 [SEED]

which tells how many inputs were run, and each one that does harm, with what was answered.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import selectors
import ssl
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from auth.client import AuthFailed, AuthSuccess, Mechanism
from mta.config import MainConfig
from mta.queue import NewMessage
from mta.smtpd.connection import Connection
from mta.smtpd.replies import Reply
from mta.smtpd.server import Server
from tls.authority import Authority

MAIN_CF = """
compatibility_level = 3.6
myhostname = mx.example.com
mydestination = example.com
mynetworks = 127.0.0.1/32
inet_interfaces = 127.0.0.1
alias_maps =
alias_database =
local_recipient_maps = inline:{alice=x}
smtpd_error_sleep_time = 0s
smtpd_peername_lookup = no
smtpd_forbid_bare_newline = normalize
smtpd_forbid_bare_newline_exclusions =
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_tls_security_level = may
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_authorized_xforward_hosts = 127.0.0.1
header_checks = regexp:{{/^X-Refuse/ REJECT refused}}
message_size_limit = 5000
line_length_limit = 512
"""

ENVELOPE = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<alice@example.com>\r\n"
STATES = {
    "connected": b"",
    "after HELO": b"HELO x\r\n",
    "after EHLO": b"EHLO x\r\n",
    "after MAIL": b"EHLO x\r\nMAIL FROM:<a@b.example> BODY=8BITMIME SIZE=10\r\n",
    "after RCPT": ENVELOPE,
    "in DATA": ENVELOPE + b"DATA\r\n",
    "in a line of DATA": ENVELOPE + b"DATA\r\nSubject: x\r\n\r\nx",
    "in a chunk of BDAT": ENVELOPE + b"BDAT 20\r\nSubject: x",
    "after a chunk of BDAT": ENVELOPE + b"BDAT 14\r\nSubject: x\r\n\r\n",
    "after a mail": ENVELOPE + b"DATA\r\n\r\nx\r\n.\r\n",
    "in AUTH PLAIN": b"EHLO x\r\nAUTH PLAIN\r\n",
    "in AUTH LOGIN": b"EHLO x\r\nAUTH LOGIN\r\nYWxpY2U=\r\n",
    "after AUTH": b"EHLO x\r\nAUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n",
    "after STARTTLS": b"EHLO x\r\nSTARTTLS\r\n",
    "after STARTTLS and RCPT": b"STARTTLS\r\n" + ENVELOPE,
}
"""What was said before the generated input begins. `STARTTLS` is said alone, with a handshake behind it."""

WORDS = (
    """
HELO x|EHLO x|EHLO|MAIL FROM:|RCPT TO:|MAIL FROM:<a@b.example>|RCPT TO:<alice@example.com>|DATA|BDAT |BDAT 3|BDAT 0 LAST
 LAST|RSET|NOOP|VRFY |ETRN |AUTH PLAIN |AUTH LOGIN|AUTH |STARTTLS|QUIT|XCLIENT |XFORWARD |NAME=|ADDR=|ADDR=IPV6:|PROTO=
LOGIN=|HELP|GET / HTTP/1.0|Received: |Subject: x|<a@b.example>|<alice@example.com>|<>|<|>|"|@|:|;|,|(|)|[|]|\\
 SIZE=| BODY=8BITMIME| BODY=| SMTPUTF8| NOTIFY=| NOTIFY=NEVER| ORCPT=rfc822;| ENVID=| RET=| AUTH=|SUCCESS,FAILURE
+|+3D|=|==|10|-1|99999999999999999999|0x10|AGFsaWNlAHNlY3JldA==|*|[127.0.0.1]|[IPv6:::1]|%|!|.|..| |x@y.example
X-Refuse: y|Content-Type: multipart/mixed; boundary=b|--b|--b--|From: |To: |Date: |Message-ID: |Bcc: a@b
""".strip("\n")
    .replace("\n", "|")
    .split("|")
)
ENDS = [b"\r\n"] * 8 + [
    b"\n",
    b"\r",
    b"\r\n.\r\n",
    b".\r\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r\n\r\n",
    b"\n.\n",
    b"\r\r\n",
    b"\r.\r",
]
ODD = [
    b"\0",
    b"\xff",
    b"\xc3\xa4",
    b"\xe2\x80\xae",
    b"\x80",
    b"\t",
    b"\x0b",
    b"\x7f",
    b"\x1b[2J",
    b"x" * 600,
    b"a" * 60 + b".",
]
VOCABULARY = [word.encode() for word in WORDS]

LEAKS = re.compile(rb"Traceback|internal error|Exception|NoneType|codec|object at 0x|Errno|/tmp|\.py")
REPLY = re.compile(rb"(?:\d{3}[ -][^\n\0]*\r\n)*")
"""Carriage returns may be in it: like smtpd(8), VRFY repeats what the client said."""
KEPT = re.compile(rb"(?m)^250 2\.0\.0 Ok: queued as ")
ENDED = re.compile(rb"(?i)(?=\r\n\.\r\n)|(?=DATA[^\n]*\n\.\r\n)")
"""Ends of content, also of content that is empty."""


def generate(source: random.Random) -> bytes:
    """One input: words of SMTP and of mail, line ends good and bad, a little noise, and sometimes a slip of the pen."""
    parts: list[bytes] = []
    for _ in range(source.randint(1, 6)):
        kind = source.random()
        if kind < 0.55:
            parts.append(source.choice(VOCABULARY))
        elif kind < 0.85:
            parts.append(source.choice(ENDS))
        elif kind < 0.95:
            parts.append(source.choice(ODD))
        else:
            parts.append(source.randbytes(source.randint(1, 8)))
    octets = bytearray(b"".join(parts))
    if octets and source.random() < 0.1:
        octets[source.randrange(len(octets))] = source.randrange(256)
    return bytes(octets)


PATIENCE = 20
"""Harmful inputs after which a long run ends."""


class Harm(AssertionError):
    """An input that did what none may do."""


class Queue:
    """Keeps messages in a list."""

    def __init__(self) -> None:
        self.messages: list[NewMessage] = []

    def new_id(self) -> str:
        return "QID"

    def check_space(self, size: int = 0) -> None: ...

    async def put(self, message: NewMessage) -> str:
        self.messages.append(message)
        return "QID"


class Auth:
    """PLAIN and LOGIN for alice, without a service behind it."""

    async def close(self) -> None: ...

    async def mechanisms(self) -> list[Mechanism]:
        return [Mechanism("PLAIN", frozenset({"plaintext"})), Mechanism("LOGIN", frozenset({"plaintext"}))]

    async def authenticate(self, name: str, initial: bytes | None, challenge: Any, **about: Any) -> AuthSuccess:
        if name == "LOGIN":
            said = [initial if initial is not None else await challenge(b"Username:"), await challenge(b"Password:")]
        else:
            said = (initial if initial is not None else await challenge(b"")).split(b"\0")[1:]
        if said != [b"alice", b"secret"]:
            raise AuthFailed({})
        return AuthSuccess("alice", {})


class Wire:
    """A transport that keeps what is written, so that a session needs no socket and no time."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: object = None) -> object:
        return {"peername": ("127.0.0.1", 4711), "sockname": ("127.0.0.1", 25)}.get(name, default)

    def write(self, octets: bytes) -> None:
        self.written += octets

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class InMemory(Connection):
    """A connection whose TLS handshake always succeeds, with nothing encrypted."""

    agreed: ssl.SSLObject

    async def start_tls(self, context: ssl.SSLContext, go_ahead: Reply | None) -> ssl.SSLObject:
        if go_ahead is not None:
            await self.reply(go_ahead)
            self.flush()
        self.input.clear()
        return self.agreed


class Null(selectors.BaseSelector):
    """Nothing ever happens outside."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


def handshake(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLObject]:
    """A server's context, and its side of a session that has been agreed."""
    leaf = Authority.load_or_create(directory / "ca").issue_server(["localhost"])
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(leaf.certificate_file, leaf.key_file)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname, client_context.verify_mode = False, ssl.CERT_NONE
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = client_context.wrap_bio(down, up), server_context.wrap_bio(up, down, server_side=True)
    waiting = list(sides)
    while waiting:
        for side in waiting[:]:
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    return server_context, sides[1]


class Watch(logging.Handler):
    """Internal errors end up in the log: there they count as harm."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.faults: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.faults.append(record)


@dataclass
class Outcome:
    """What a session answered and kept."""

    written: bytes
    messages: list[bytes]


class Fuzzer:
    """Runs inputs against one server. Use inside an event loop."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        (directory / "main.cf").write_text(f"queue_directory = {directory}\n{MAIN_CF}\n{settings}\n")
        self.queue = Queue()
        self.server = Server.from_config(MainConfig.load(directory), cast(Any, self.queue))
        sasl = self.server.sasl
        self.server.sasl = type(sasl)(
            **{each: getattr(sasl, each) for each in type(sasl).__slots__} | {"client": cast(Any, Auth())}
        )
        context, InMemory.agreed = handshake(directory)
        self.server.tls = replace(self.server.tls, context=context)
        self.watch = Watch()
        logging.getLogger("postfix.smtpd").addHandler(self.watch)
        self.counts: Counter[str] = Counter()

    async def session(self, state: str, octets: bytes, *, whole: bool) -> Outcome:
        """One session: what leads to the state, then the input, then the client hangs up."""
        self.queue.messages.clear()
        wire, connection = Wire(), InMemory(self.server)
        connection.connection_made(cast(Any, wire))
        for piece in re.split(rb"(?<=STARTTLS\r\n)", STATES[state]):
            connection.data_received(piece)
            while len(connection.input) and not connection.task.done():
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        if whole:
            connection.data_received(octets)
        else:
            for position in range(len(octets)):
                connection.data_received(octets[position : position + 1])
                await asyncio.sleep(0)
        connection.eof_received()
        for _ in range(1000):
            if connection.task.done():
                break
            await asyncio.sleep(0)
        else:
            raise Harm("the session does not end")
        if error := connection.task.exception():
            raise Harm(f"the session failed: {error!r}")
        return Outcome(bytes(wire.written), [message.content for message in self.queue.messages])

    async def run(self, state: str, octets: bytes) -> None:
        """An input, whole and octet by octet. Raises Harm."""
        whole = await self.session(state, octets, whole=True)
        pieces = await self.session(state, octets, whole=False)
        self.counts[state] += 1
        self.counts["messages"] += len(whole.messages)
        for outcome in (whole, pieces):
            try:
                self.judge(state, octets, outcome)
            except Harm as harm:
                raise Harm(f"{state}: {octets!r}: {harm}: {outcome.written!r}") from None
        # What is sent ahead of a handshake is dropped, so there the cuts do count.
        if b"STARTTLS" not in octets.upper() and _undated(whole) != _undated(pieces):
            raise Harm(f"{state}: {octets!r}: whole {whole}, octet by octet {pieces}")

    def judge(self, state: str, octets: bytes, outcome: Outcome) -> None:
        """What must hold for every session."""
        written = outcome.written
        if self.watch.faults:
            raise Harm(f"internal error: {self.watch.faults[0].getMessage()} {self.watch.faults[0].exc_info}")
        if LEAKS.search(written):
            raise Harm("something private is told")
        if not REPLY.fullmatch(written):
            raise Harm("this is no SMTP")
        kept = len(KEPT.findall(written))
        if kept != len(outcome.messages):
            raise Harm(f"{kept} mails are promised, {len(outcome.messages)} are kept")
        sent = STATES[state] + octets
        ends = len(ENDED.findall(sent)) + len(re.findall(rb"(?i)BDAT\s+\d+\s+LAST", sent))
        if kept > min(ends, len(re.findall(rb"(?i)MAIL\s+FROM", sent))):
            raise Harm("a mail that nobody ended, or began")
        if state.endswith("DATA") and kept:
            _compare_content((STATES[state].partition(b"DATA\r\n")[2] + octets), outcome.messages[0])


def _undated(outcome: Outcome) -> tuple[bytes, list[bytes]]:
    """Without times and names that differ between sessions."""
    return outcome.written, [re.sub(rb"\d\d:\d\d:\d\d|Message-I[dD]: [^\r]*", b"", each) for each in outcome.messages]


def _compare_content(sent: bytes, kept: bytes) -> None:
    """The first mail ends at the first <CR><LF>.<CR><LF> and nowhere else."""
    end = (b"\r\n" + sent).find(b"\r\n.\r\n")
    body = re.sub(rb"(?<!\r)\n", b"\r\n", re.sub(rb"(?m)^\.\r?\n", b"", sent[:end]) if end else b"")
    body = re.sub(rb"(?m)^\.", b"", body)
    tail = body.split(b"\r\n")[-1] if body else b""
    if tail and tail not in kept:
        raise Harm(f"content {sent[:end]!r} became {kept!r}")


def loop() -> asyncio.AbstractEventLoop:
    """An event loop that never asks the system for events."""
    return asyncio.SelectorEventLoop(Null())


async def campaign(directory: Path, count: int, seed: int, patience: int = 0) -> Counter[str]:
    """So many inputs, the states in turn. Raises Harm, at the first or after `patience` more that are printed."""
    fuzzer, source, states = Fuzzer(directory), random.Random(seed), list(STATES)
    started = time.monotonic()
    for number in range(count):
        try:
            await fuzzer.run(states[number % len(states)], generate(source))
        except Harm as harm:
            if fuzzer.counts["harm"] >= patience:
                raise
            fuzzer.counts["harm"] += 1
            print(f"harm: {harm}", flush=True)
        if number and number % 100_000 == 0:
            print(f"{number} inputs, {number / (time.monotonic() - started):.0f} a second", flush=True)
    return fuzzer.counts


def main(argv: list[str]) -> int:
    """COUNT [SEED]."""
    count, seed = int(argv[0]), int(argv[1]) if len(argv) > 1 else random.randrange(1 << 32)
    logging.getLogger("postfix").setLevel(logging.ERROR)
    print(f"{count} inputs, seed {seed}, {len(STATES)} states", flush=True)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory, asyncio.Runner(loop_factory=loop) as runner:
        try:
            counts = runner.run(campaign(Path(directory), count, seed, PATIENCE))
        except Harm as harm:
            print(f"harm: {harm}")
            return 1
    print(f"{count} inputs in {time.monotonic() - started:.0f} s, each whole and octet by octet")
    for name, number in counts.items():
        print(f"{number:9} {name}")
    return 1 if counts["harm"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
