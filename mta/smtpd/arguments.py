"""Splits an SMTP command line into words, as smtpd(8) does: addresses keep their quotes, spaces and brackets. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_CLOSING: Final = {"<": ">", "[": "]", '"': '"'}
_NESTED: Final = {"<": ">", '"': '"', "(": ")"}
_USUAL: Final = re.compile(r"([A-Za-z]+) ((?i:FROM:|TO:)) ?(<[A-Za-z0-9@._+=-]*>)( [A-Za-z0-9=;@.,_+ -]*)?")
"""MAIL and RCPT as nearly all clients send them; nothing in them needs to be looked at twice."""
_SPECIAL: Final = re.compile(r'[<\["\\:]')
"""What makes more of a line than words between spaces."""
_SPACE: Final = frozenset(" \t\r\n\v\f")


class Word(NamedTuple):
    """One word of a command. `unbalanced`: a bracket or quote was opened and never closed."""

    text: str
    unbalanced: bool = False


def split_command(line: str) -> list[Word]:
    """The words of a command line; the first is the command's name.

    White space separates words except inside <>, [], "" and behind a backslash; comments count inside <> only. A word
    that reads `FROM:` or `TO:` ends at its colon, so that both `MAIL FROM:<a@b>` and `MAIL FROM: a@b` give the address
    as the third word.
    """
    if match := _USUAL.fullmatch(line):
        return [Word(text) for text in (*match.group(1, 2, 3), *(match[4].split() if match[4] else ()))]
    if not _SPECIAL.search(line):
        return [Word(text) for text in line.split()]
    words: list[Word] = []
    position = _skip_space(line, 0)
    while position < len(line):
        word, position = _next_word(line, position)
        words.append(word)
        position = _skip_space(line, position)
    return words


def _skip_space(line: str, position: int) -> int:
    while position < len(line) and line[position] in _SPACE:
        position += 1
    return position


def _next_word(line: str, start: int) -> tuple[Word, int]:
    position = start
    balanced = True
    while position < len(line) and line[position] not in _SPACE:
        character = line[position]
        if character in _CLOSING:
            position, closed = _skip_group(line, position + 1, _CLOSING[character])
            balanced = balanced and closed
        elif character == "\\":
            position += 2
        elif character == ":" and line[start:position].lower() in ("from", "to"):
            position += 1
            break
        else:
            position += 1
    position = min(position, len(line))
    return Word(line[start:position], not balanced), position


def _skip_group(line: str, position: int, closing: str) -> tuple[int, bool]:
    """Past the `closing` character; groups may hold groups, but inside quotes only quotes count."""
    expected = [closing]
    while position < len(line):
        character = line[position]
        position += 1
        if character == "\\":
            position += 1
        elif character == expected[-1]:
            expected.pop()
            if not expected:
                return position, True
        elif expected[-1] == '"':
            continue
        elif character in _NESTED:
            expected.append(_NESTED[character])
    return len(line), False


def join_words(words: list[Word]) -> str:
    """Several words where one was meant (`HELO two words`): joined by single spaces."""
    return " ".join(word.text for word in words)


def is_digits(text: str, longest: int = 20) -> bool:
    """Digits only, and not so many that arithmetic on them costs: the only numbers we read from the wire."""
    return 0 < len(text) <= longest and text.isascii() and text.isdigit()


def unxtext(text: str) -> str | None:
    """xtext of RFC 3461 section 4 decoded (UTF-8 inside), None where it is malformed or not printable."""
    decoded = decode_xtext(text)
    return decoded if decoded is not None and all(c.isprintable() for c in decoded) else None


def decode_xtext(text: str) -> str | None:
    """The same, whatever characters come out."""
    octets = bytearray()
    position = 0
    while position < len(text):
        character = text[position]
        if character == "+":
            pair = text[position + 1 : position + 3]
            if len(pair) != 2 or any(digit not in "0123456789ABCDEFabcdef" for digit in pair):
                return None
            octets.append(int(pair, 16))
            position += 3
        else:
            octets += character.encode("utf-8", "surrogateescape")
            position += 1
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        return None
