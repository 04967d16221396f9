"""REPLACE in one step (RFC 8508): a note beside the old mail tells what takes its place, before that has its name.

Whoever reads the mailbox after a kill finishes what the note says: if the new mail has come, the old one goes; else the
note goes. So a reader finds the one or the other, never both and never none.
"""

import contextlib
import os
from collections.abc import Iterator

from imap.store import filenames
from imap.store.errors import JailEscape
from imap.store.jail import Directory
from imap.store.maildir import Maildir

NAME = "hardmail.replace"
_LIMIT = 16384


def note(source: Maildir, old: str, destination: Maildir, new: str) -> None:
    """Write down that the mail of the base name `new`, soon in `destination`, takes the place of `old` in `source`."""
    text = "\n".join((old, destination.folder.mail, new))
    source.control.replace(NAME, os.fsencode(text), sync=source.fsync != "never")
    os.utime(source.cur.fd)  # or nobody would look


def done(source: Maildir) -> None:
    """It was done, or undone."""
    source.control.unlink(NAME, missing_ok=True)


def finish(source: Maildir, root: Directory) -> None:
    """Finish what a killed process left, under the lock of the index."""
    try:
        text = os.fsdecode(source.control.read(NAME, _LIMIT))
    except FileNotFoundError:
        return
    old, _, rest = text.partition("\n")
    mail, _, new = rest.partition("\n")
    with contextlib.suppress(OSError, JailEscape), root.directory(mail) as destination:
        if new and any(base == new for _, base, _ in _files(destination)):
            with root.directory(source.folder.mail) as directory:
                for place, base, name in _files(directory):
                    if base == old:
                        with directory.directory(place) as found:
                            found.unlink(name, missing_ok=True)
    done(source)


def _files(maildir: Directory) -> Iterator[tuple[str, str, str]]:
    """Place, base name and name of each mail."""
    for place in ("new", "cur"):
        with maildir.directory(place) as directory:
            for name in directory.names():
                yield place, filenames.split(name)[0], name
