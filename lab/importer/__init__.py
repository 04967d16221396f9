"""Other mail servers' configuration as main.cf: exim.conf, sendmail.mc and sendmail.cf, sendmail's access table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lab.errors import UsageError
from lab.importer import access, exim, sendmail
from lab.importer.translation import Missing, Translation

__all__ = ["FORMATS", "Missing", "Translation", "translate"]

FILE_LIMIT = 1 << 20
"""Octets; far beyond what people write by hand."""

FORMATS: dict[str, Callable[[Path, str, Translation], None]] = {
    "exim": exim.translate,
    "sendmail": sendmail.translate,
    "access": access.translate,
}


def translate(path: Path, kind: str | None = None) -> Translation:
    """Translate a file of that format, by default the one that its name tells. Raises UsageError, OSError."""
    kind = kind or _kind(path.name)
    with path.open("rb") as file:
        data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise UsageError(f"{path}: longer than {FILE_LIMIT} octets")
    result = Translation()
    FORMATS[kind](path, data.decode("utf-8", "replace"), result)
    return result


def _kind(name: str) -> str:
    if name.startswith("exim"):
        return "exim"
    if name.endswith((".mc", ".cf")) and name not in ("main.cf", "master.cf"):
        return "sendmail"
    if name == "access":
        return "access"
    raise UsageError(f"{name}: the name does not tell what it is; say --format {' | '.join(FORMATS)}")
