"""Logical lines: how main.cf, master.cf and text tables join physical lines, as postconf(5) describes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# The C locale's white space. Unicode blanks are ordinary characters to Postfix.
SPACE = " \t\r\n\v\f"
# A logical line is held in memory as a whole; no real setting or table entry comes near this many characters.
LINE_LIMIT = 1 << 20


@dataclass(frozen=True)
class LogicalLine:
    """Text of one logical line without line ends, and the number of its first physical line."""

    number: int
    text: str


@dataclass(frozen=True)
class BadLine:
    """A physical line that continues nothing, or a logical line longer than LINE_LIMIT characters."""

    number: int
    message: str
    # Postfix warns about and skips a continuation without a beginning; a line too long to hold is a mistake.
    fatal: bool = False


def logical_lines(physical: Iterable[str]) -> Iterator[LogicalLine | BadLine]:
    """Join physical lines: one that starts with white space continues the one before.

    Blank lines and lines whose first visible character is `#` are dropped, also between a line and its
    continuation. Continuation text keeps its leading white space, as Postfix keeps it.
    """
    start, parts, size = 0, list[str](), 0
    for number, line in enumerate(physical, 1):
        text = line.rstrip("\n")
        visible = text.lstrip(SPACE)
        if not visible or visible[0] == "#":
            continue
        if text[0] in SPACE:
            if not parts:
                shown = text[:30] + ("..." if len(text) > 30 else "")
                yield BadLine(number, f'logical line must not start with whitespace: "{shown}"')
                continue
        elif parts:
            yield _finish(start, parts, size)
            parts, size = [], 0
        if not parts:
            start = number
        size += len(text)
        if size <= LINE_LIMIT:
            parts.append(text)
    if parts:
        yield _finish(start, parts, size)


def _finish(start: int, parts: list[str], size: int) -> LogicalLine | BadLine:
    if size > LINE_LIMIT:
        return BadLine(start, f"logical line is longer than {LINE_LIMIT} characters", fatal=True)
    return LogicalLine(start, "".join(parts))


def split_setting(text: str) -> tuple[str, str]:
    """Split `name = value`; ValueError carries Postfix's complaint when it is not one."""
    body = text.lstrip(SPACE)
    if not body or body[0] == "=":
        raise ValueError("missing attribute name")
    end = next((i for i, c in enumerate(body) if c == "=" or c in SPACE), len(body))
    rest = body[end:].lstrip(SPACE)
    if not rest.startswith("="):
        raise ValueError("missing '=' after attribute name")
    return body[:end], rest[1:].strip(SPACE)


def split_list(text: str, separators: str = "," + SPACE) -> list[str]:
    """Split at separators; text inside balanced braces stays together, braces kept (postconf(5), "{ }")."""
    words, word, depth = list[str](), list[str](), 0
    for c in text:
        if depth == 0 and c in separators:
            if word:
                words.append("".join(word))
                word = []
            continue
        if c == "{":
            depth += 1
        elif c == "}" and depth:
            depth -= 1
        word.append(c)
    if word:
        words.append("".join(word))
    return words
