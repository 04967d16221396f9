"""The commands that README and docs show: in blocks of code and in the text."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docs.markdown import ROOT, pages, tokens

IN_A_BLOCK = re.compile(r"\$ |(?:\./)?hardmail |(?:echo|printf) .*\| *hardmail |bench/run|python -m |\.ci/")
IN_THE_TEXT = re.compile(
    r"(?:\./)?hardmail [a-z]|python -m |bench/run|pytest |\.ci/"
    r"|(?:postqueue|postsuper|postconf|postcat|saslauthd) -|(?:doveadm|doveconf) [a-z-]"
)
COMMENT = re.compile(r"\s{2,}#.*")


@dataclass(frozen=True)
class Shown:
    """A command, and the first page that shows it."""

    command: str
    page: str


def shown() -> Iterator[Shown]:
    """Each command once."""
    seen = set[str]()
    for page in (page for page in pages() if page.name != "CHANGELOG.md"):
        for command in _commands(page):
            if command not in seen:
                seen.add(command)
                yield Shown(command, str(page.relative_to(ROOT)))


def _commands(page: Path) -> Iterator[str]:
    for token in tokens(page):
        if token.type in ("code_block", "fence") and token.info != "mermaid":
            lines = [line for line in token.content.splitlines() if IN_A_BLOCK.match(line)]
        elif token.type == "code_inline" and IN_THE_TEXT.match(token.content):
            lines = [token.content]
        else:
            continue
        yield from (COMMENT.sub("", line.removeprefix("$ ")).removeprefix("./").strip() for line in lines)


class Ways:
    """How each is run (commands.toml): as it is, in other words, or not, with the reason."""

    def __init__(self) -> None:
        data: dict[str, Any] = tomllib.loads(Path(__file__).with_name("commands.toml").read_text("utf-8"))
        self.instead: dict[str, str] = data["instead"]
        self._not: dict[str, str] = data["not"]
        self._places: dict[str, str] = data["places"]

    def why_not(self, command: str) -> str | None:
        """Why a command is not run; None if it is."""
        return next((why for pattern, why in self._not.items() if re.fullmatch(pattern, command)), None)

    def line(self, command: str) -> str:
        """What the shell gets."""
        line = self.instead.get(command, command)
        for theirs, ours in self._places.items():
            line = line.replace(theirs, ours)
        return line

    def unused(self, commands: list[str]) -> list[str]:
        """Entries that no command needs."""
        patterns = [p for p in self._not if not any(re.fullmatch(p, command) for command in commands)]
        return [*patterns, *(command for command in self.instead if command not in commands)]
