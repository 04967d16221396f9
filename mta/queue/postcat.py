"""postcat(1): show a queued message, its envelope and its content."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mta.queue.ids import is_queue_id
from mta.queue.message import QueuedMessage
from mta.queue.tool import Fatal, Tool, as_owner, load_config, open_queue

logger = logging.getLogger("postfix.postcat")

TOOL = Tool(
    "postcat",
    "postcat [-b (body text)] [-c config_dir] [-d (decimal record type)] [-e (envelope records)] [-h (header text)]"
    " [-q (access queue)] [-v] [file(s)...]",
    """\
usage: postcat [-c config_dir] [-bdehnoqv] -q queue_id...
  -e  envelope    -h  header    -b  body    (default: all of them)
example: postcat -q 4F1C2A40001""",
)


def main(argv: list[str]) -> int:
    """Run with the arguments behind the program's name; returns the exit status."""
    return TOOL.run(argv, _run)


def _run(argv: list[str]) -> int:
    options, names = TOOL.arguments(argv, "bc:dehnoqv")
    given = dict(options)
    if "-q" not in given:
        return _no_queue_files(names)
    parts = ("-e", "-h", "-b")
    wanted: set[str] = {letter for letter in parts if letter in given} or set(parts)
    config = load_config(given.get("-c"))
    with as_owner(config), open_queue(config) as queue:
        for name in names:
            message = queue.find(name) if is_queue_id(name) else None
            if message is None:
                raise Fatal(f"open queue file {name}: No such file or directory")
            if "-e" in wanted:
                print(f"*** ENVELOPE RECORDS {message.queue}/{message.queue_id} ***")
                for line in envelope(message):
                    _write(f"{line}\n".encode("utf-8", "surrogateescape"))
            if wanted & {"-h", "-b"}:
                if "-e" in wanted:
                    print(f"*** MESSAGE CONTENTS {message.queue}/{message.queue_id} ***")
                _write(_part(queue.content(message), wanted))
            if "-e" in wanted:
                print(f"*** MESSAGE FILE END {message.queue}/{message.queue_id} ***")
    return os.EX_OK


def _no_queue_files(names: Sequence[str]) -> int:
    """Files, or standard input: none can be a queue file, as the queue is a database."""
    for name in names or ["stdin"]:
        try:
            start = Path(name).read_bytes()[:1] if names else sys.stdin.buffer.read(1)
        except OSError as error:
            raise Fatal(f"open {name}: {error.strerror}") from error
        if start:
            logger.warning("%s: input is not a valid queue file", name)
    return os.EX_OK


def envelope(message: QueuedMessage) -> Iterator[str]:
    """The envelope, a record a line, in Postfix's words."""
    yield f"message_size: {message.size:>15} {message.recipient_count:>15}"
    yield f"message_arrival_time: {time.asctime(time.localtime(message.arrival))}"
    for name, value in (("dsn_envelope_id", message.envid), ("dsn_return", message.ret), ("encoding", message.body)):
        if value:
            yield f"named_attribute: {name}={value}"
    for name, value in message.attributes.items():
        yield f"named_attribute: {name}={value}"
    yield f"sender: {message.sender}"
    for entry in message.recipients:
        recipient = entry.recipient
        yield f"named_attribute: dsn_orig_rcpt={recipient.orcpt}"
        if recipient.notify:
            yield f"named_attribute: notify_flags={int(recipient.notify)}"
        yield f"original_recipient: {recipient.original}"
        yield f"recipient: {recipient.address}"


def _part(content: bytes, wanted: set[str]) -> bytes:
    header, gap, body = content.partition(b"\r\n\r\n")
    if wanted >= {"-h", "-b"}:
        return content
    return header + b"\r\n" if "-h" in wanted else (body if gap else b"")


def _write(content: bytes) -> None:
    sys.stdout.flush()
    sys.stdout.buffer.write(content.replace(b"\r\n", b"\n"))
    sys.stdout.buffer.flush()
