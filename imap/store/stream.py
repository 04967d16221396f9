"""Big mails in pieces: on their way into a mailbox's tmp/, and out of it with CRLF line ends."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

from imap.store import filenames
from imap.store.guard import guarded
from imap.store.jail import write_all
from imap.store.maildir import Maildir, Saved, crlf, crlf_size, disk_error

PIECE = 64 << 10


class Incoming:
    """A mail that is written into tmp/ as it comes. It takes the maildir over: `close` gives that back.

    Line ends are kept as LF. What was not finished, or finished and then not published, is gone after `close`.
    """

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir
        self._name = filenames.unique.next()
        self._stored = self._size = 0
        self._return = b""  # a CR at the end of a piece: what follows tells whether it is part of a line end
        self._open = False
        try:
            self._descriptor = maildir.tmp.open(self._name, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            maildir.close()
            raise disk_error(error) from error
        self._open = True

    @property
    def size(self) -> int:
        """Octets so far, with CRLF line ends."""
        return self._size

    @guarded
    def write(self, data: bytes) -> None:
        """Take more of the mail. Raises OverQuota when the disk is full."""
        data = self._return + data
        self._return = data[-1:] if data.endswith(b"\r") else b""
        self._write(data[: len(data) - len(self._return)])

    def _write(self, data: bytes) -> None:
        stored = data.replace(b"\r\n", b"\n")
        write_all(self._descriptor, stored)
        self._stored += len(stored)
        self._size += crlf_size(stored)

    @guarded
    def sync(self) -> None:
        """All of it came: make it durable, whatever thread this is."""
        self._write(self._return)
        self._return = b""
        if self._maildir.fsync != "never":
            os.fsync(self._descriptor)

    @guarded
    def finish(self, date: float | None) -> Saved:
        """The mail as one that only waits for its name, as Maildir.save makes it; `sync` came before."""
        if date is not None:
            os.utime(self._descriptor, (date, date))
            if self._maildir.fsync != "never":
                os.fsync(self._descriptor)
        base = f"{self._name},S={self._stored},W={self._size}"
        return Saved(self._name, base, self._size, int(os.fstat(self._descriptor).st_mtime))

    def close(self) -> None:
        """Drop what was not published. A second call does nothing."""
        if self._open:
            self._open = False
            os.close(self._descriptor)
            with contextlib.suppress(OSError):
                self._maildir.tmp.unlink(self._name, missing_ok=True)
            self._maildir.close()


@dataclass(slots=True)
class Mark:
    """A place in a stored mail: so many octets of the CRLF form, and of the file, lie before it."""

    octets: int = 0
    stored: int = 0


class Outgoing:
    """A stored mail, opened: its octets stay whatever becomes of its name.

    `mark` is kept by the caller: clients ask for a mail bit by bit, and each bit is looked for from where the last one
    began.
    """

    def __init__(self, descriptor: int, mark: Mark) -> None:
        self._descriptor = descriptor
        self._mark = mark

    def pieces(self, start: int = 0, count: int | None = None) -> Iterator[bytes]:
        """The octets from `start` of the CRLF form, `count` of them at most; none of the pieces is empty."""
        left = count
        if start < self._mark.octets:
            self._mark.octets = self._mark.stored = 0
        begin = start - self._mark.octets
        for piece in self._lines(start):
            if begin >= len(piece):
                begin -= len(piece)
                continue
            piece = piece[begin:] if left is None else piece[begin : begin + left]
            begin = 0
            if piece:
                yield piece
            if left is not None:
                left -= len(piece)
                if not left:
                    return

    def size(self, start: int = 0, count: int | None = None) -> int:
        """How many octets `pieces` has."""
        return sum(map(len, self.pieces(start, count)))

    def _lines(self, start: int) -> Iterator[bytes]:
        """The octets from the mark on, which is moved as far as `start`."""
        octets, offset, rest = self._mark.octets, self._mark.stored, b""
        while True:
            stored = os.pread(self._descriptor, PIECE, offset)
            whole = rest + stored
            if octets <= start:
                self._mark.octets, self._mark.stored = octets, offset - len(rest)
            offset += len(stored)
            rest = whole[-1:] if stored and whole.endswith(b"\r") else b""
            piece = crlf(whole[: len(whole) - len(rest)])
            octets += len(piece)
            yield piece
            if not stored:
                return

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._descriptor)
