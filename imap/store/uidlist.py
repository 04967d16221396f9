"""`dovecot-uidlist`, version 3: which UID belongs to which maildir file (read and written as Dovecot does).

    3 V<uidvalidity> N<next uid> G<mailbox guid>
    <uid> [<letter><value> ...] :<base name>

Values seen: G the message's GUID if it is not the base name, W and S its sizes if the name does not tell them, P the
POP3 UIDL, O the POP3 order. They are kept as they are. Between rewrites new lines are only added at the end, so the
next UID is the larger of N and the last UID plus one.
"""

import re
import secrets
import time
from dataclasses import dataclass, field

from imap.store.errors import Corrupt

NAME = "dovecot-uidlist"
UID_MAX = 0xFFFFFFFF
_HEADER = re.compile(r"3(?P<fields>( [A-Za-z][^ \n]*)*)")
_OLD_HEADER = re.compile(r"1 ([0-9]{1,10}) ([0-9]{1,10})")
_OLD_LINE = re.compile(r"([1-9][0-9]{0,9}) ([^\n]+)")
_LINE = re.compile(r"([1-9][0-9]{0,9})((?: [A-Za-z][^ \n:]*)*) :([^\n]+)")


@dataclass(slots=True)
class Entry:
    """One line: `extra` are the fields between UID and name as they stand ("W290 Gabc", or "")."""

    uid: int
    base: str
    extra: str = ""

    def line(self) -> str:
        """The line as it stands in the file."""
        return f"{self.uid} {self.extra} :{self.base}\n" if self.extra else f"{self.uid} :{self.base}\n"


@dataclass(slots=True)
class UidList:
    """The whole file. `uidnext` is never below what was handed out."""

    uidvalidity: int
    uidnext: int = 1
    guid: str = ""
    entries: list[Entry] = field(default_factory=list)
    truncated: bool = False  # last line not finished, or an old version: nothing may be added behind it

    def format(self) -> bytes:
        """The file's content."""
        head = f"3 V{self.uidvalidity} N{self.uidnext} G{self.guid}\n"
        return (head + "".join(entry.line() for entry in self.entries)).encode("utf-8", "surrogateescape")


def new_guid() -> str:
    """A mailbox GUID of 32 hex digits: nanoseconds and randomness."""
    return f"{time.time_ns() & 0xFFFFFFFFFFFFFFFF:016x}{secrets.token_hex(8)}"


def parse(data: bytes) -> UidList:
    """Read the file. A line that was cut off by a crash ends the list; anything else odd raises Corrupt.

    Version 1 (`1 <uidvalidity> <next uid>`, lines of UID and name) is read, too; it is never written.
    """
    text = data.decode("utf-8", "surrogateescape")
    head, newline, rest = text.partition("\n")
    old = _OLD_HEADER.fullmatch(head)
    if old is not None:
        head = f"3 V{old[1]} N{old[2]}"
        rest = "".join(_OLD_LINE.sub(r"\1 :\2", line) for line in rest.splitlines(keepends=True))
    match = _HEADER.fullmatch(head)
    if match is None or not newline:
        raise Corrupt(reason=f"{NAME}: bad header {head[:80]!r}")
    values = {part[0]: part[1:] for part in match["fields"].split()}
    result = UidList(uidvalidity=_number(values.get("V", "")), guid=values.get("G", ""))
    if not re.fullmatch(r"[0-9a-f]{32}", result.guid):
        result.guid = ""
    last = 0
    lines = rest.split("\n")
    result.truncated = (
        bool(lines.pop()) or old is not None
    )  # behind the last newline: nothing, or a line that was not finished
    for line in lines:
        entry = _LINE.fullmatch(line)
        if entry is None or int(entry[1]) <= last or int(entry[1]) > UID_MAX:
            raise Corrupt(reason=f"{NAME}: bad line {line[:80]!r}")
        last = int(entry[1])
        # Older versions wrote the flags into the name; they are not part of it.
        result.entries.append(Entry(last, entry[3].partition(":")[0], entry[2].strip()))
    result.uidnext = max(_number(values.get("N", "1")), last + 1)
    return result


def _number(text: str) -> int:
    """An unsigned 32-bit number above zero. Raises Corrupt."""
    if not re.fullmatch(r"[0-9]{1,10}", text) or not 0 < int(text) <= UID_MAX:
        raise Corrupt(reason=f"{NAME}: bad number {text[:20]!r}")
    return int(text)
