"""Prints how hardmail is built, drawn from its own tables: `python -m lab.diagrams > docs/diagrams.md`."""

from __future__ import annotations

import itertools
import tempfile
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from auth.protocol import diagram
from imap.imap4.commands import COMMANDS as IMAP
from imap.imap4.commands.base import State
from imap.pop3.commands import COMMANDS as POP3
from lab import plan, profiles
from lab.supervisor.listeners import InetListener, UnixListener
from lab.supervisor.service import Service
from mta.smtpd.commands import COMMANDS as SMTP

ROOT = Path(__file__).parents[1]
HEAD = """\
# How hardmail is built

Drawn from the code's own tables by `python -m lab.diagrams`; do not edit. [Architecture](architecture.md) tells why.
"""


def rooms() -> Iterator[str]:
    """Who may import whom: the contract that lint-imports holds."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    floors = [[room.strip() for room in floor.split("|")] for floor in settings["contracts"][0]["layers"]]
    yield "```mermaid\nflowchart TD"
    for above, below in itertools.pairwise(floors):
        for upper in above:
            yield from (f"    {upper} --> {lower}" for lower in below)
    yield "```\n\nImports follow the arrows, over several rooms too, and never run against them.\n"


def processes(instance: str) -> Iterator[str]:
    """The processes of an instance of the hardened profile: what they listen on and what the kernel lets them touch."""
    with tempfile.TemporaryDirectory(prefix="hardmail-") as name:
        Path(name).chmod(0o755)
        lab = profiles.render(profiles.DEFAULT_PROFILE, Path(name) / "lab")
        for reserved in lab.reserved.values():
            for _, sock in reserved:
                sock.close()
        place = lab.instance(instance)
        places = {Path(place[f"{kind}"]): word for kind, word in (("queue_directory", "queue"), ("mail_root", "mail"))}
        services = plan.load(Path(place["confdir"])).services
        rows = [list(_row(service, places)) for service in services]
    yield from table(("service", "listens on", "writes", "TCP to", "starts"), rows)


def _row(service: Service, places: dict[Path, str]) -> Iterator[str]:
    name, own, _ = service.name.partition("(")
    yield f"{name}, with `-o`" if own else name
    yield ", ".join(dict.fromkeys(_listener(listener) for listener in service.listeners)) or "–"
    # What local(8) may write depends on who has a home on the machine.
    written = sorted({places.get(path, path.name) for path in service.rules.write})
    yield "homes, mail spool, temporary directories" if name == "local" else ", ".join(written) or "nothing"
    connect = service.rules.connect
    yield "anywhere" if connect is True else "name servers" if connect else "nowhere"
    yield "with its first client" if service.on_demand else "at once"


def _listener(listener: object) -> str:
    if isinstance(listener, InetListener):
        return f"{listener.tag} (TCP)"
    assert isinstance(listener, UnixListener)
    return f"{listener.path.parent.name}/{listener.path.name}"


def commands() -> Iterator[str]:
    """The commands of the three servers, and when each is allowed."""
    yield "### SMTP\n"
    rows = [(row.name, yes(row.before_tls), yes(row.limited), yes(row.last_in_group)) for row in SMTP.values()]
    yield from table(
        ("command", "before TLS where TLS is required", "counts as junk", "last of a pipelined group"), rows
    )
    yield "### IMAP\n"
    states = (State.NOT_AUTHENTICATED, State.AUTHENTICATED, State.SELECTED)
    imap = [(name, *(yes(bool(state & command.states)) for state in states)) for name, command in sorted(IMAP.items())]
    yield from table(("command", "before log-in", "after log-in", "with a mailbox"), imap)
    yield "### POP3\n"
    pop3 = [(name.decode(), ", ".join(_words(command.states))) for name, command in sorted(POP3.items())]
    yield from table(("command", "states"), pop3)


def _words(states: object) -> list[str]:
    return [state.name.lower().replace("_", " ") for state in states]  # type: ignore[attr-defined]  # a Flag's members


def yes(value: bool) -> str:
    """A cell."""
    return "yes" if value else ""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A table of Markdown."""
    yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def machines() -> Iterator[str]:
    """The authentication protocol's machines."""
    for title, transitions in diagram.MACHINES:
        yield f"{title}:\n\n```mermaid\n{diagram.mermaid(transitions)}\n```\n"


def page() -> str:
    """The whole page."""
    parts = [HEAD, "## Rooms\n", *rooms(), "## Processes of the mail host\n", *processes("mailhost")]
    parts += ["## Processes of the null client\n", *processes("nullclient"), "## Commands\n", *commands()]
    parts += ["## The authentication protocol\n", *machines()]
    return "\n".join(parts).rstrip("\n") + "\n"


if __name__ == "__main__":
    print(page(), end="")
