"""postqueue(1): list the queue, or have it delivered now."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

from mta.address import domain_list, valid_hostname, valid_mailhost_literal
from mta.config import MainConfig
from mta.queue import control
from mta.queue.listing import columns, json_lines, listed
from mta.queue.tool import Fatal, Tool, as_owner, load_config, open_queue
from mta.queue.wakeup import FLUSH_DEAD, IGNORE_TIME, SCAN_DEFERRED, SCAN_INCOMING

QUEUE_ID = re.compile(r"[A-Za-z0-9_]{1,100}", re.ASCII)

TOOL = Tool(
    "postqueue",
    "postqueue -f | postqueue -i queueid | postqueue -j | postqueue -p | postqueue -s site",
    """\
usage: postqueue [-c config_dir] -p | -j | -f | -i queue_id | -s site
  -p  list the queue        -j  the same as JSON, one object a line
  -f  deliver all now       -i  deliver one message now     -s  deliver the mail for a site now
example: postqueue -c /etc/postfix -p""",
    os.EX_UNAVAILABLE,
)


def main(argv: list[str]) -> int:
    """Run with the arguments behind the program's name; returns the exit status."""
    return TOOL.run(argv, _run)


def _run(argv: list[str]) -> int:
    options, rest = TOOL.arguments(argv, "c:fi:jps:v")
    actions = [(name, value) for name, value in options if name in ("-f", "-i", "-j", "-p", "-s")]
    if rest or len(actions) != 1:
        raise TOOL.misused()
    config = load_config(dict(options).get("-c"))
    (action, value), directory = actions[0], Path(config.str("queue_directory"))
    match action:
        case "-p" | "-j":
            return show(config, as_json=action == "-j")
        case "-f":
            flush(directory)
        case "-i":
            if not QUEUE_ID.fullmatch(value):
                raise Fatal(f'Cannot flush queue ID - invalid name: "{value}"')
            _ask(directory, f"retry {value}".encode())
        case _:
            _flush_site(config, value)
    return os.EX_OK


def show(config: MainConfig, *, as_json: bool = False) -> int:
    """Print the queue."""
    with as_owner(config), open_queue(config) as queue:
        messages = listed(queue, control.active_ids(queue.directory))
        lines = json_lines(messages) if as_json else columns(messages, config.bool("enable_long_queue_ids"))
        for line in lines:
            print(line)
    return os.EX_OK


def flush(directory: Path) -> None:
    """Have everything tried now. Raises Fatal if no queue manager runs."""
    _ask(directory, FLUSH_DEAD + IGNORE_TIME + SCAN_DEFERRED + SCAN_INCOMING)


def _flush_site(config: MainConfig, site: str) -> None:
    """The deferred mail for a domain, if the site keeps track of it (fast_flush_domains)."""
    if not (valid_hostname(site) or valid_mailhost_literal(site)):
        raise Fatal(f'Cannot flush mail queue - invalid destination: "{site}"')
    if not asyncio.run(domain_list(config, "fast_flush_domains").match(site)):
        raise Fatal(f'Flush service is not configured for destination "{site}"')
    if not control.flush_site(Path(config.str("queue_directory")), site):
        raise Fatal("Cannot flush mail queue - mail system is down")


def _ask(directory: Path, request: bytes) -> None:
    if not control.send(directory, request):
        raise Fatal("Mail system is down -- cannot flush mail queue; try sendmail -q")
