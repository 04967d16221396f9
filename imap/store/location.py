"""`mail_location`: where a user's mail lies and in which layout (Dovecot's mail location syntax).

    maildir:PATH[:LAYOUT=maildir++|fs][:INBOX=PATH][:CONTROL=PATH][:INDEX=PATH|MEMORY]

`%` variables are already expanded; `::` inside a path stands for one colon. Paths come out relative to the
mail root, which they may not leave.
"""

import posixpath
import re
from dataclasses import dataclass
from typing import Literal

from imap.store.errors import StoreError

LayoutName = Literal["maildir++", "fs"]


class BadLocation(StoreError):
    """A mail_location that this store cannot serve; `reason` says why. The client sees an internal error."""

    code = "SERVERBUG"


@dataclass(frozen=True, slots=True)
class Location:
    """All paths are relative to the mail root, without leading slash. `index` is None for INDEX=MEMORY."""

    root: str
    layout: LayoutName
    inbox: str
    control: str
    index: str | None

    @property
    def separator(self) -> str:
        """The separator that the layout puts between the parts of a name."""
        return "." if self.layout == "maildir++" else "/"


def parse(text: str, mail_root: str, home: str | None = None) -> Location:
    """Read a mail_location whose variables are expanded; `~/` stands for the home directory. Raises BadLocation."""
    fields = [part.replace("\0", ":") for part in text.replace("::", "\0").split(":")]
    if fields[0].casefold() != "maildir" or len(fields) < 2 or not fields[1]:
        raise BadLocation(reason=f"mail_location {text!r}: only maildir:PATH is served")

    def place(path: str) -> str:
        return beneath(_at_home(path, home), mail_root)

    root = place(fields[1])
    options: dict[str, str] = {}
    for field in fields[2:]:
        key, equals, value = field.partition("=")
        if not equals or key.upper() not in ("LAYOUT", "INBOX", "CONTROL", "INDEX", "UTF-8"):
            raise BadLocation(reason=f"mail_location {text!r}: unknown setting {field!r}")
        options[key.upper()] = value
    layout = options.get("LAYOUT", "maildir++").casefold()
    if layout not in ("maildir++", "fs"):
        raise BadLocation(reason=f"mail_location {text!r}: unknown LAYOUT {layout!r}")
    control = place(options["CONTROL"]) if "CONTROL" in options else root
    index: str | None = control
    if "INDEX" in options:
        index = None if options["INDEX"] == "MEMORY" else place(options["INDEX"])
    return Location(
        root=root,
        layout="fs" if layout == "fs" else "maildir++",
        inbox=place(options["INBOX"]) if "INBOX" in options else root,
        control=control,
        index=index,
    )


def _at_home(path: str, home: str | None) -> str:
    if path != "~" and not path.startswith("~/"):
        return path
    if not home:
        raise BadLocation(reason=f"mail path {path!r} needs a home directory, which the userdb does not give")
    return home.rstrip("/") + path[1:]


def beneath(path: str, mail_root: str) -> str:
    """The path relative to the mail root. Raises BadLocation for one that lies outside, by its text alone."""
    if "\0" in path or not path.startswith("/") or ".." in path.split("/"):
        raise BadLocation(reason=f"mail path {path!r} is not an absolute path without '..'")
    inside = posixpath.relpath(re.sub("/+", "/", path), mail_root)
    if inside in (".", "..") or inside.startswith("../"):
        raise BadLocation(reason=f"mail path {path!r} is not beneath the mail root {mail_root!r}")
    return inside
