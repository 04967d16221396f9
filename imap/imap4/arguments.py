"""The arguments of a command: atoms, strings and lists as a tree, taken one after the other (RFC 3501 section 9)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from imap.imap4.errors import INVALID, MISSING, Bad, ParseError
from imap.imap4.reader import Literal

# Lists nested deeper than this are refused: nothing honest comes near it, and it bounds every later recursion.
MAX_NESTING = 150

_TOKEN = re.compile(
    rb' +|(?P<open>\()|(?P<close>\))|"(?P<quoted>(?:[^"\\\0\r]|\\[^\0\r])*)"|(?P<atom>[^\x00-\x20(){"\x7f-\xff]+)'
)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_NUMBER = re.compile(rb"[0-9]{1,20}")


class Atom(bytes):
    """An atom as written; NIL is one of them."""

    __slots__ = ()


class Quoted(bytes):
    """The text of a quoted string."""

    __slots__ = ()


class Group(list["Argument"]):
    """A parenthesized list."""


Argument = Atom | Quoted | Literal | Group


def parse(pieces: Sequence[bytes], start: int, *, whole: bool = True) -> Group:
    """Read the arguments of a command from offset ``start`` of its first piece. Raises ParseError.

    With ``whole`` false the command may go on behind the pieces: lists may be open at the end.
    """
    root = Group()
    if len(pieces) == 1 and start >= len(pieces[0]):
        return root
    current = root
    above: list[Group] = []
    for number, piece in enumerate(pieces):
        if isinstance(piece, Literal):
            current.append(piece)
            continue
        position = start if number == 0 else 0
        while position < len(piece):
            found = _TOKEN.match(piece, position)
            if found is None:
                raise ParseError(_complaint(piece, position))
            position = found.end()
            kind = found.lastgroup
            if kind == "atom":
                current.append(Atom(found["atom"]))
            elif kind == "quoted":
                text = found["quoted"]
                current.append(Quoted(_ESCAPE.sub(rb"\1", text) if b"\\" in text else text))
            elif kind == "open":
                above.append(current)
                if len(above) > MAX_NESTING:
                    raise ParseError("Too many nested parentheses.")
                current = Group()
                above[-1].append(current)
            elif kind == "close":
                if not above:
                    raise ParseError("Unexpected ')'")
                current = above.pop()
    if above and whole:
        raise ParseError("Missing ')'")
    return root


def _complaint(piece: bytes, position: int) -> str:
    octet = piece[position]
    if octet == 0x22:
        return "Missing '\"'"
    if octet == 0:
        return "NULs not allowed in strings"
    return "8bit data in atom" if octet >= 0x80 else "Invalid characters in atom"


class Arguments:
    """A cursor over arguments. Every method takes one and raises Bad where it is missing or of another kind."""

    __slots__ = ("_index", "_items")

    def __init__(self, items: Sequence[Argument]) -> None:
        self._items = items
        self._index = 0

    def more(self) -> bool:
        """Whether an argument is left."""
        return self._index < len(self._items)

    def peek(self) -> Argument | None:
        """The next argument, left where it is."""
        return self._items[self._index] if self.more() else None

    def take(self) -> Argument:
        """The next argument, whatever it is."""
        if not self.more():
            raise Bad(MISSING)
        item = self._items[self._index]
        self._index += 1
        return item

    def rest(self) -> list[Argument]:
        """All that are left."""
        left = list(self._items[self._index :])
        self._index = len(self._items)
        return left

    def end(self) -> None:
        """Raise Bad if an argument is left."""
        if self.more():
            raise Bad(INVALID)

    def atom(self) -> bytes:
        """An atom, case kept."""
        item = self.take()
        if not isinstance(item, Atom):
            raise Bad(INVALID)
        return bytes(item)

    def word(self) -> str:
        """An atom in upper case, as names of things are compared."""
        return self.atom().decode("ascii").upper()

    def astring(self) -> bytes:
        """An atom or a string."""
        item = self.take()
        if isinstance(item, Group) or (isinstance(item, Literal) and item.binary):
            raise Bad(INVALID)
        return bytes(item)

    def nstring(self) -> bytes | None:
        """A string, or NIL."""
        item = self.take()
        if isinstance(item, Group):
            raise Bad(INVALID)
        if isinstance(item, Atom):
            if item.upper() != b"NIL":
                raise Bad(INVALID)
            return None
        return bytes(item)

    def number(self, most: int = (1 << 63) - 1) -> int:
        """Digits only, at most ``most``; RFC 7162 has ``mod-sequence-value`` end at 2**63 - 1."""
        text = self.atom()
        if not _NUMBER.fullmatch(text) or int(text) > most:
            raise Bad(INVALID)
        return int(text)

    def group(self) -> Arguments:
        """The inside of a parenthesized list."""
        item = self.take()
        if not isinstance(item, Group):
            raise Bad(INVALID)
        return Arguments(item)

    def is_group(self) -> bool:
        """Whether the next argument is a parenthesized list."""
        return isinstance(self.peek(), Group)
