"""State diagrams of the protocol machines in Mermaid, drawn from the very tables the machines run on."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from . import client, master_client, master_server, server

Transitions = Mapping[tuple[Any, str], tuple[object, Any]]
"""Rows of any machine: (state, line) to (handler, state after it); states are members of its Enum."""


def mermaid(transitions: Transitions) -> str:
    """One machine as a Mermaid state diagram; lines between the same two states share an arrow."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, command), (_, after) in transitions.items():
        arrows.setdefault((state.name, after.name), []).append(command)
    sources = dict.fromkeys(state for state, _ in arrows)
    reached = {after for state, after in arrows if state != after}
    lines = ["stateDiagram-v2", *(f"    [*] --> {state}" for state in sources if state not in reached)]
    lines += [f"    {state} --> {after}: {', '.join(commands)}" for (state, after), commands in arrows.items()]
    return "\n".join([*lines, *(f"    {state} --> [*]: anything else" for state in sources)])


MACHINES: tuple[tuple[str, Transitions], ...] = (
    ("The server of the client protocol 1.2", server.TRANSITIONS),
    ("Its client", client.TRANSITIONS),
    ("The server of the master and userdb protocol 1.1", master_server.TRANSITIONS),
    ("Its client", master_client.TRANSITIONS),
)


def main() -> int:
    """Print the diagrams as a Markdown page."""
    print("# The auth protocols as state machines\n")
    print("Made by `python -m auth.protocol.diagram` from the transition tables in `auth/protocol`.\n")
    for title, transitions in MACHINES:
        print(f"## {title}\n\n```mermaid\n{mermaid(transitions)}\n```\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
