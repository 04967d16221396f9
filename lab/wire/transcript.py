"""The transcript of a dialogue: who said what, in the clear or inside TLS, without the secrets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Direction = Literal["C", "S", "*"]

# A line longer than this is cut in the transcript (not on the wire): evidence is for reading.
SHOWN_OCTETS = 400


def shown(text: str) -> str:
    """`text` without anything that a terminal or an editor could take for a command: escapes in its place."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Line:
    """One line: from the client (C), from the server (S) or a remark of the probe (*)."""

    direction: Direction
    text: str
    tls: bool = False

    def __str__(self) -> str:
        return f"{self.direction}{'=' if self.tls else ':'} {self.text}"


@dataclass(slots=True)
class Transcript:
    """Lines in the order in which they were seen. `C=` and `S=` mark lines that were protected by TLS."""

    lines: list[Line] = field(default_factory=list)

    def client(self, data: bytes, *, tls: bool) -> None:
        """Record octets sent by the client, a transcript line for each line of text."""
        self._add("C", data, tls)

    def server(self, data: bytes, *, tls: bool) -> None:
        """Record octets received from the server."""
        self._add("S", data, tls)

    def note(self, text: str) -> None:
        """Record a remark of the probe."""
        self.lines.append(Line("*", text))

    def _add(self, direction: Direction, data: bytes, tls: bool) -> None:
        # Anything but CRLF is shown as an escape, so that a bare LF can be told from a line end.
        for line in data.removesuffix(b"\r\n").split(b"\r\n"):
            text = shown(line[:SHOWN_OCTETS].decode("utf-8", "backslashreplace"))
            self.lines.append(Line(direction, text + (" ..." if len(line) > SHOWN_OCTETS else ""), tls))

    def __str__(self) -> str:
        return "\n".join(map(str, self.lines))
