"""Dialogues as a web page that needs nothing but itself."""

from __future__ import annotations

import html
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.watch import Seen

HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>hardmail watch</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; color: #222; }
details { margin: .5em 0; border: 1px solid #ccc; border-radius: 4px; padding: .3em .8em; }
summary { cursor: pointer; font-weight: 600; }
table { border-collapse: collapse; font: 13px/1.45 ui-monospace, monospace; margin: .5em 0; }
td { padding: 0 .6em 0 0; vertical-align: top; white-space: pre-wrap; overflow-wrap: anywhere; }
td:first-child, .plain { color: #888; }
.C { color: #14507a; } .S { color: #7a3b14; }
</style></head><body>
<h1>hardmail watch</h1>
<p>C: the client, S: the server; <code>=</code> marks what was said under TLS. Passwords and mails are left out.</p>
"""


def page(connections: Sequence[Seen], lost: int) -> str:
    """The page."""
    parts = [HEAD]
    if lost:
        parts.append(f"<p><strong>{lost} groups of lines were not seen: they came too fast.</strong></p>")
    for seen in connections:
        parts += _connection(seen)
    return "\n".join([*parts, "</body></html>", ""])


def _connection(seen: Seen) -> Iterator[str]:
    yield f"<details open><summary>{html.escape(seen.title)}</summary><table>"
    for said in seen.lines:
        moment = time.strftime("%H:%M:%S", time.localtime(said.at))
        side = "C" if said.side == "C" else "S"
        yield (
            f'<tr><td>{moment}</td><td class="{side}">{side}{"=" if said.tls else ":"}</td>'
            f"<td>{html.escape(said.text)}</td></tr>"
        )
    yield "</table></details>"
