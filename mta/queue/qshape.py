"""qshape(1): the queue by domain and age, for whoever wants to know where mail is stuck."""

from __future__ import annotations

import math
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mta.queue import control
from mta.queue.listing import Listed, listed
from mta.queue.tool import Tool, as_owner, load_config, open_queue

TOOL = Tool(
    "qshape",
    "qshape [ -s ] [ -p ] [ -m <min_subdomains> ] [ -l ] [ -b <bucket_count> ] [ -t <bucket_time> ]"
    " [ -w <terminal_width> ] [ -N <batch_msg_count> ] [ -n <batch_top_domains> ] [ -c <config_directory> ]"
    " [ <queue_name> ... ]",
    """\
usage: qshape [-s] [-p] [-m min_subdomains] [-l] [-b bucket_count] [-t bucket_time] [-w terminal_width]
              [-c config_dir] [queue_name ...]
  -s  by sender      -p  parent domains too, with a leading dot, if they have at least -m (5) subdomains
  -b  columns (10)   -t  minutes of the first (5), each further twice as long, or with -l as long
  queue_name: incoming, active, deferred, hold, maildrop (default: incoming active)
example: qshape deferred""",
    misuse_status=255,
)

TOTAL = "TOTAL"
LEAST_NAME = 18
"""Characters of a domain that are shown even on a narrow terminal."""
LEAST_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Shape:
    """What was asked for."""

    by_sender: bool = False
    parents: bool = False
    subdomains: int = 5
    linear: bool = False
    buckets: int = 10
    tick: int = 5
    """Minutes."""
    width: int = LEAST_WIDTH


@dataclass(slots=True)
class Table:
    """Counts by domain: column 0 is the sum, the others are ages."""

    shape: Shape
    rows: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    children: Counter[str] = field(default_factory=Counter)

    def add(self, message: Listed, now: float) -> None:
        bucket = self.bucket((now - message.arrival) / 60)
        for address in [message.sender] if self.shape.by_sender else [address for address, _ in message.recipients]:
            self._count(TOTAL, bucket)
            self._add_domain(_domain(address), bucket)

    def _count(self, name: str, bucket: int) -> bool:
        """True for the first of that name."""
        row = self.rows[name]
        row[0] += 1
        row[bucket] += 1
        return row[0] == 1

    def _add_domain(self, domain: str, bucket: int) -> None:
        new = self._count(domain, bucket)
        while self.shape.parents:
            parent = re.sub(r"\A\.?[^.]+\.(.*\.)", r".\1", domain)
            if parent == domain:
                return
            self.children[parent] += new
            domain, new = parent, self._count(parent, bucket)

    def bucket(self, minutes: float) -> int:
        """The column of an age."""
        ticks = minutes / self.shape.tick
        if ticks < 1:
            return 1
        column = int(ticks + 1) if self.shape.linear else 2 + int(math.log2(ticks))
        return min(column, self.shape.buckets)

    # --- printing --------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """Heading and rows, the largest first."""
        total = self.rows[TOTAL]
        heads = self._heads()
        sizes = [max(len(head), len(str(total[column]))) for column, head in enumerate(heads)]
        widths = [size + 1 if size > 2 else 3 for size in sizes]
        room = max(self.shape.width - sum(widths), LEAST_NAME)
        yield _row("", heads, widths, room)
        for name, row in sorted(self.rows.items(), key=lambda item: (-item[1][0], len(item[0]), item[0])):
            if not name.startswith(".") or self.children[name] >= self.shape.subdomains:
                yield _row(name, [str(row[column]) for column in range(len(heads))], widths, room)

    def _heads(self) -> list[str]:
        ages, age = ["T"], 0
        for _ in range(self.shape.buckets - 1):
            age += age if age and not self.shape.linear else self.shape.tick
            ages.append(str(age))
        return [*ages, f"{age}+"]


def _row(name: str, cells: Iterable[str], widths: Iterable[int], room: int) -> str:
    if len(name) > room:
        name = f".+{name[2 - room :]}" if name.startswith(".") else f"+{name[1 - room :]}"
    return name.rjust(room) + "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _domain(address: str) -> str:
    if not address:
        return "MAILER-DAEMON"
    domain = re.sub(r"\.\.", ".", address.lower().rpartition("@")[2])
    return re.sub(r"\A\.?(.+?)\.?\Z", r"\1", domain)


def main(argv: list[str]) -> int:
    """Run with the arguments behind the program's name; returns the exit status."""
    return TOOL.run(argv, _run)


def _run(argv: list[str]) -> int:
    options, names = TOOL.arguments(argv, "lhc:psw:b:t:m:n:N:")
    given = dict(options)
    if "-h" in given:
        raise TOOL.misused()
    shape = Shape(
        by_sender="-s" in given,
        parents="-p" in given,
        subdomains=_number(given, "-m", 5),
        linear="-l" in given,
        buckets=_number(given, "-b", 10),
        tick=_number(given, "-t", 5),
        width=max(_number(given, "-w", LEAST_WIDTH), LEAST_WIDTH),
    )
    wanted, table = set(names or ("incoming", "active")), Table(shape)
    config = load_config(given.get("-c"))
    with as_owner(config), open_queue(config) as queue:
        active, now = control.active_ids(queue.directory), queue.now()
        for message in listed(queue, active):
            if message.queue_name in wanted:
                table.add(message, now)
    for line in table.lines():
        print(line)
    return os.EX_OK


def _number(given: dict[str, str], option: str, default: int) -> int:
    text = given.get(option, "")
    return int(text) if text.isascii() and text.isdigit() and 0 < len(text) < 6 and int(text) else default
