"""Right-hand sides of aliases and lines of .forward files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.delivery.host.destinations import MAX_DESTINATIONS, TooMany, destinations, lines


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("root", ["root"]),
        ("joe, ann@example.net", ["joe", "ann@example.net"]),
        ("Joe <joe@example.net>, (a, comment) ann", ["joe@example.net", "ann"]),
        ('"first last"@example.net', ["first last@example.net"]),
        ("|/bin/cat", ["|/bin/cat"]),
        ('"|/usr/bin/vacation joe"', ["|/usr/bin/vacation joe"]),
        ('|"/usr/bin/vacation joe"', ["|/usr/bin/vacation joe"]),
        (
            "\"|IFS=' ' && exec /usr/bin/procmail || exit 75 #joe\"",
            ["|IFS=' ' && exec /usr/bin/procmail || exit 75 #joe"],
        ),
        ('"|echo \\"a, b\\""', ['|echo "a, b"']),
        ("/var/mail/archive, ~/copy/", ["/var/mail/archive", "~/copy/"]),
        ('"/with, comma"', ["/with, comma"]),
        (":include:/etc/list", [":include:/etc/list"]),
        (":Include:/etc/list, joe", [":Include:/etc/list", "joe"]),
        ("\\joe, joe@example.net", ["joe", "joe@example.net"]),
        ("", []),
        (" , ,", []),
    ],
)
def test_what_a_right_hand_side_names(text: str, found: list[str]) -> None:
    assert destinations(text) == found


def test_an_expansion_has_an_end() -> None:
    with pytest.raises(TooMany):
        destinations(",".join(["joe"] * (MAX_DESTINATIONS + 1)))


def test_lines_without_comments_in_pieces() -> None:
    assert list(lines("# no\njoe\nabcdef\n", 4)) == ["joe", "abcd", "ef"]


@given(st.text(st.sampled_from('ab@<>()",:|/~\\ \t\n'), max_size=60))
def test_any_text_can_be_taken_apart(text: str) -> None:
    for destination in destinations(text):
        assert isinstance(destination, str)
