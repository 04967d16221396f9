"""Pages made from the tables: they name every parameter and every line of the protocols."""

from __future__ import annotations

import pytest

from auth.dovecotconf import reference
from auth.dovecotconf.parameters import SECTIONS
from auth.protocol import diagram


def test_the_reference_names_every_parameter() -> None:
    page = reference.markdown()
    for rows in SECTIONS.values():
        for row in rows.values():
            assert row.hidden or f"| `{row.name}` |" in page


@pytest.mark.parametrize(("title", "transitions"), diagram.MACHINES, ids=lambda value: str(value)[:20])
def test_the_diagrams_show_every_line(title: str, transitions: diagram.Transitions) -> None:
    drawn = diagram.mermaid(transitions)
    for (state, command), (_, after) in transitions.items():
        assert any(
            line.startswith(f"    {state.name} --> {after.name}:") and command in line for line in drawn.split("\n")
        )


def test_every_state_can_be_reached() -> None:
    for _, transitions in diagram.MACHINES:
        states = {state for state, _ in transitions}
        reached = {after for _, after in transitions.values()}
        assert {state for state in states - reached if not state.name.endswith("VERSION")} == set()
