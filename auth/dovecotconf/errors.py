"""Errors of dovecot.conf: each with file and line, all of them raised together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ConfigError:
    """One fault; ``line`` is 0 when it belongs to the file as a whole."""

    file: Path
    line: int
    text: str

    def __str__(self) -> str:
        where = f"{self.file} line {self.line}" if self.line else str(self.file)
        return f"Error in configuration file {where}: {self.text}"


class ConfigErrors(Exception):
    """Every fault found in a configuration, in the order of the files."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors

    @classmethod
    def single(cls, file: Path, text: str) -> ConfigErrors:
        """One fault of a file as a whole."""
        return cls([ConfigError(file, 0, text)])
