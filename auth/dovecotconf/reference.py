"""The parameter reference of dovecot.conf: a Markdown page made from the table of parameters."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from .parameters import SECTIONS, Parameter
from .values import show

HEAD = """# Parameters of dovecot.conf

Names, defaults and meaning are Dovecot 2.3's; names that begin with `hardmail_` are hardmail's own. The page named is
that of Dovecot's wiki (in the source distribution under `doc/wiki`). This page is made by
`python -m auth.dovecotconf.reference` from the tables in `auth/dovecotconf/parameters`.

A *time* is a number with a unit (`secs`, `mins`, `hours`, `days`, `weeks`, each may be cut short); only 0 goes without.
A *size* is a number of octets with an optional `k`, `M`, `G` or `T`. `plugin { }` and `dict { }` take any names.
"""

_KINDS = {
    "string": "text", "boolean": "yes or no", "seconds": "time", "size": "size", "number": "number",
    "octal": "file mode", "port": "port",
}  # fmt: skip


def markdown() -> str:
    """The page: the global settings, then those of each block."""
    parts = [HEAD]
    for path, rows in SECTIONS.items():
        parts.append(f"## {_title(path)}\n")
        parts.append("| parameter | type | default | wiki page |\n|---|---|---|---|")
        parts += _rows(rows.values())
        parts.append("")
    return "\n".join(parts)


def _title(path: str) -> str:
    return "Global settings" if not path else " ".join(f"`{kind} {{ }}`" for kind in path.split("/"))


def _rows(rows: Iterable[Parameter]) -> list[str]:
    return [
        f"| `{row.name}` | {_KINDS.get(row.kind) or _choices(row)} | {_code(show(row, row.default))} | {row.page} |"
        for row in sorted(rows, key=lambda row: row.name)
        if not row.hidden
    ]


def _choices(row: Parameter) -> str:
    return ", ".join(f"`{choice}`" for choice in row.choices)


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`" if text else ""


def main() -> int:
    """Print the page."""
    sys.stdout.write(markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
