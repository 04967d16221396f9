"""Matching mailbox names against LIST patterns (RFC 3501 section 6.3.8), in time linear in the name.

``*`` matches anything, ``%`` anything but the separator. A pattern is run as an automaton whose states are the bits
of one integer (Baeza-Yates and Gonnet's Shift-And), so no pattern can make it backtrack.
"""

from __future__ import annotations


class Pattern:
    """One compiled pattern."""

    __slots__ = ("_accept", "_any", "_letters", "_level", "_separator", "text")

    def __init__(self, text: str, separator: str) -> None:
        self.text = text
        self._separator = separator
        self._letters: dict[str, int] = {}  # octet -> states that it leaves for the next one
        self._any = 0  # states that stay themselves on any octet: a * stands there
        self._level = 0  # the same for %, on any octet but the separator
        state = 1
        for char in text:
            if char == "*":
                self._any |= state
            elif char == "%":
                self._level |= state
            else:
                self._letters[char] = self._letters.get(char, 0) | state
                state <<= 1
        self._accept = state

    def _step(self, states: int, char: str, *, folded: bool = False) -> int:
        letters = self._letters.get(char, 0)
        if folded:
            letters |= self._letters.get(char.lower(), 0)
        after = (states & letters) << 1 | states & self._any
        return after if char == self._separator else after | states & self._level

    def matches(self, name: str) -> bool:
        """Whether the whole name matches; INBOX in any case."""
        return bool(self._run(name) & self._accept)

    def matches_below(self, name: str) -> bool:
        """Whether a name below this one could match."""
        return bool(self._step(self._run(name), self._separator))

    def _run(self, name: str) -> int:
        states = 1
        inbox = 5 if name == "INBOX" or name.startswith("INBOX" + self._separator) else 0
        for index, char in enumerate(name):
            states = self._step(states, char, folded=index < inbox)
            if not states:
                break
        return states


def parents(name: str, separator: str) -> list[str]:
    """The names above ``name``, the highest first."""
    pieces = name.split(separator)
    return [separator.join(pieces[:depth]) for depth in range(1, len(pieces))]
