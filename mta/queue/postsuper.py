"""postsuper(1): delete, hold, release and requeue messages."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from mta.queue import control
from mta.queue.changes import Change, Expire, Move, Sequel
from mta.queue.ids import is_queue_id
from mta.queue.message import QueuedMessage, QueueName
from mta.queue.store import Queue
from mta.queue.tool import Fatal, Tool, as_owner, load_config, open_queue
from mta.queue.wakeup import SCAN_DEFERRED

TOOL = Tool(
    "postsuper",
    "postsuper [-c config_dir] [-d queue_id (delete)] [-e queue_id (expire)] [-f queue_id (expire and/or un-hold)]"
    " [-h queue_id (hold)] [-H queue_id (un-hold)] [-p (purge temporary files)] [-r queue_id (requeue)]"
    " [-s (structure fix)] [-S (redundant structure fix)][-v (verbose)] [queue...]",
    """\
usage: postsuper [-c config_dir] [-d|-e|-f|-h|-H|-r queue_id|ALL|-]... [queue_name...]
  -d  delete    -h  put on hold    -H  release from hold    -r  try again at once, as if new
  -e  return to the sender with the next queue run    -f  the same, also from hold
  queue_id: ALL is every message; - reads ids from standard input; queue_name: hold, incoming or deferred, with ALL
example: postsuper -d ALL deferred""",
)

PORTION = 200
"""Messages changed in one transaction."""

WORDS = {
    "-d": "Deleted",
    "-e": "Force-expired",
    "-f": "Force-expired",
    "-h": "Placed on hold",
    "-H": "Released from hold",
    "-r": "Requeued",
}


def main(argv: list[str]) -> int:
    """Run with the arguments behind the program's name; returns the exit status."""
    return TOOL.run(argv, _run)


def _run(argv: list[str]) -> int:
    options, names = TOOL.arguments(argv, "c:d:e:f:h:H:psr:Sv")
    known = {str(name) for name in QueueName}
    for name in names:
        if name not in known and name not in ("active", "corrupt", "maildrop"):
            raise Fatal(f"invalid directory name: {name}")
    config = load_config(dict(options).get("-c"))
    queues = {QueueName(name) for name in names if name in known} or set(QueueName)
    with as_owner(config), open_queue(config) as queue:
        counts: Counter[str] = Counter()
        for option, value in options:
            if option in WORDS:
                counts[option] += _act(queue, option, value, queues)
        for option in (option for option in WORDS if option in counts):
            _tell(f"{WORDS[option]}: {counts[option]} message{'' if counts[option] == 1 else 's'}")
        control.send(queue.directory, SCAN_DEFERRED)
    return os.EX_OK


def _act(queue: Queue, option: str, value: str, queues: set[QueueName]) -> int:
    """How many messages it was done to."""
    make = _maker(queue, option)
    count = 0
    for portion in _portions(_chosen(queue, value, queues)):
        pairs = [(message, change) for message in portion if (change := make(message)) is not None]
        if not pairs:
            continue
        queue.change_blocking(*(change for _, change in pairs))
        for message, _ in pairs:
            count += 1
            if value != "ALL":
                _tell(f"{message.queue_id}: {_done(option)}")
    return count


def _maker(queue: Queue, option: str) -> Callable[[QueuedMessage], Change | None]:
    now = queue.now()

    def make(message: QueuedMessage) -> Change | None:
        match option:
            case "-d":
                return queue.remove(message)
            case "-h":
                return None if message.queue is QueueName.HOLD else Move(message.sequence, QueueName.HOLD, now)
            case "-H":
                if message.queue is not QueueName.HOLD:
                    return None
                return Move(message.sequence, QueueName.DEFERRED, now, QueueName.HOLD)
            case "-e":
                return None if message.forced_expire else Expire(message.sequence)
            case "-f":
                return _expire_and_release(message, now)
            case _:
                return Move(message.sequence, QueueName.DEFERRED, 0.0)

    return make


def _expire_and_release(message: QueuedMessage, now: float) -> Change | None:
    held = message.queue is QueueName.HOLD
    if message.forced_expire and not held:
        return None
    release = [Move(message.sequence, QueueName.DEFERRED, now, QueueName.HOLD)] if held else []
    return Sequel([Expire(message.sequence), *release])


def _chosen(queue: Queue, value: str, queues: set[QueueName]) -> Iterator[QueuedMessage]:
    if value == "ALL":
        # The rows change while they are read: what was seen once is not seen again, as sequences only grow.
        yield from (message for message in queue.messages() if message.queue in queues)
        return
    ids: Iterable[str] = (line.split()[0] for line in sys.stdin if line.strip()) if value == "-" else [value]
    for queue_id in ids:
        if not is_queue_id(queue_id):
            _tell(f"warning: invalid mail queue id: {queue_id}")
            continue
        message = queue.find(queue_id)
        if message is not None and message.queue in queues:
            yield message


def _portions(messages: Iterator[QueuedMessage]) -> Iterator[list[QueuedMessage]]:
    portion: list[QueuedMessage] = []
    for message in messages:
        portion.append(message)
        if len(portion) == PORTION:
            yield portion
            portion = []
    yield portion


def _done(option: str) -> str:
    return {
        "-d": "removed",
        "-e": "expired",
        "-f": "expired",
        "-h": "placed on hold",
        "-H": "released from hold",
        "-r": "requeued",
    }[option]


def _tell(text: str) -> None:
    print(f"postsuper: {text}", file=sys.stderr)
