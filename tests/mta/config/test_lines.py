"""Logical lines and word splitting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config.lines import BadLine, LogicalLine, logical_lines, split_list, split_setting


def joined(text: str) -> list[tuple[int, str]]:
    return [(line.number, line.text) for line in logical_lines(text.split("\n")) if isinstance(line, LogicalLine)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = b", [(1, "a = b")]),
        ("a = b\n  c\n\td", [(1, "a = b  c\td")]),
        ("a = b\n\n  c", [(1, "a = b  c")]),
        ("a = b\n# comment\n  c", [(1, "a = b  c")]),
        ("a = b\n   # comment\n  c", [(1, "a = b  c")]),
        ("# one\n\na\nb", [(3, "a"), (4, "b")]),
        ("a\n \n \nb", [(1, "a"), (4, "b")]),
        ("a # not a comment", [(1, "a # not a comment")]),
        ("", []),
    ],
)
def test_continuation_and_comments(text: str, expected: list[tuple[int, str]]) -> None:
    assert joined(text) == expected


def test_a_continuation_of_nothing_is_reported_and_skipped() -> None:
    lines = list(logical_lines(["  a = b", "c = d"]))
    assert isinstance(lines[0], BadLine)
    assert not lines[0].fatal
    assert "must not start with whitespace" in lines[0].message
    assert lines[1] == LogicalLine(2, "c = d")


def test_an_endless_line_is_an_error_not_a_memory_hog() -> None:
    lines = list(logical_lines(["a = " + "x" * 1000, *(" " + "y" * 100_000 for _ in range(20)), "b = c"]))
    assert isinstance(lines[0], BadLine)
    assert lines[0].fatal
    assert lines[1] == LogicalLine(22, "b = c")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", ("a", "b")),
        ("  a  =  b c ", ("a", "b c")),
        ("a=", ("a", "")),
        ("a = b = c", ("a", "b = c")),
    ],
)
def test_settings(text: str, expected: tuple[str, str]) -> None:
    assert split_setting(text) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("", "missing attribute name"), ("= b", "missing attribute name"), ("a b", "missing '='"), ("a", "missing '='")],
)
def test_bad_settings(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        split_setting(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b\tc", ["a", "b", "c"]),
        ("inline:{a=b, c=d}, x", ["inline:{a=b, c=d}", "x"]),
        ("{ a b } c", ["{ a b }", "c"]),
        ("{ { a } b", ["{ { a } b"]),
        (" ,, ", []),
    ],
)
def test_lists(text: str, expected: list[str]) -> None:
    assert split_list(text) == expected


@given(st.text(alphabet=' \t\n#=a{},\\"', max_size=60))
def test_any_text_splits_without_surprise(text: str) -> None:
    for line in logical_lines(text.split("\n")):
        if isinstance(line, LogicalLine):
            assert line.text[0] not in " \t#"
            assert (
                "".join(split_list(line.text, " ,\t")).replace(" ", "")
                in line.text.replace(" ", "").replace(",", "").replace("\t", "")
                or "{" in line.text
            )
