"""`dovecot-keywords`: which keyword each of the letters a to z in maildir file names stands for.

    <number> <keyword>

Numbers above 25 are kept in the file too (Dovecot does so); they have no letter and live in the index only.
"""

import itertools
from collections.abc import Mapping

from imap.store.dotlock import dotlock
from imap.store.jail import CONTROL_FILE_LIMIT, Directory

NAME = "dovecot-keywords"


def parse(data: bytes) -> dict[int, str]:
    """Number to keyword; lines that are not of that form are passed over."""
    result: dict[int, str] = {}
    for line in data.decode("utf-8", "surrogateescape").split("\n"):
        number, space, keyword = line.partition(" ")
        if space and keyword and " " not in keyword and number.isascii() and number.isdigit() and len(number) < 6:
            result.setdefault(int(number), keyword)
    return result


def format_file(keywords: dict[int, str]) -> bytes:
    """The file's content."""
    return "".join(f"{number} {keyword}\n" for number, keyword in sorted(keywords.items())).encode(
        "utf-8", "surrogateescape"
    )


def read(control: Directory) -> dict[int, str]:
    """The keywords of a mailbox; none if the file is missing."""
    try:
        return parse(control.read(NAME, CONTROL_FILE_LIMIT))
    except FileNotFoundError:
        return {}


def number_of(keywords: dict[int, str], keyword: str) -> int | None:
    """The number of a keyword; upper and lower case are the same."""
    folded = keyword.casefold()
    return next((number for number, known in keywords.items() if known.casefold() == folded), None)


def add(control: Directory, wanted: list[str], numbered: Mapping[int, str] | None = None) -> dict[int, str]:
    """Add the keywords that are missing and return all; each takes the lowest free number, those in `numbered` theirs.

    Other programs' additions are kept: the file is read again under its lock.
    """
    with dotlock(control, NAME):
        known = read(control)
        for number, keyword in (numbered or {}).items():
            known.setdefault(number, keyword)
        for keyword in wanted:
            if number_of(known, keyword) is None:
                known[next(number for number in itertools.count() if number not in known)] = keyword
        temporary = f"{NAME}.tmp"
        control.unlink(temporary, missing_ok=True)
        control.write(temporary, format_file(known), sync=False)
        control.rename(temporary, control, NAME)
    return known
