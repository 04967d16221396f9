"""`mail_location`: where a user's mail lies and in which layout (Dovecot's mail location syntax).

    maildir:PATH[:LAYOUT=maildir++|fs][:INBOX=PATH][:CONTROL=PATH][:INDEX=PATH|MEMORY]

`%` variables and `~` are already expanded; `::` inside a path stands for one colon. Paths come out relative to the
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


def parse(text: str, mail_root: str) -> Location:
    """Read an expanded mail_location. Raises BadLocation."""
    fields = [part.replace("\0", ":") for part in text.replace("::", "\0").split(":")]
    if fields[0].casefold() != "maildir" or len(fields) < 2 or not fields[1]:
        raise BadLocation(reason=f"mail_location {text!r}: only maildir:PATH is served")
    root = beneath(fields[1], mail_root)
    options: dict[str, str] = {}
    for field in fields[2:]:
        key, equals, value = field.partition("=")
        if not equals or key.upper() not in ("LAYOUT", "INBOX", "CONTROL", "INDEX", "UTF-8"):
            raise BadLocation(reason=f"mail_location {text!r}: unknown setting {field!r}")
        options[key.upper()] = value
    layout = options.get("LAYOUT", "maildir++").casefold()
    if layout not in ("maildir++", "fs"):
        raise BadLocation(reason=f"mail_location {text!r}: unknown LAYOUT {layout!r}")
    control = beneath(options["CONTROL"], mail_root) if "CONTROL" in options else root
    index: str | None = control
    if "INDEX" in options:
        index = None if options["INDEX"] == "MEMORY" else beneath(options["INDEX"], mail_root)
    return Location(
        root=root,
        layout="fs" if layout == "fs" else "maildir++",
        inbox=beneath(options["INBOX"], mail_root) if "INBOX" in options else root,
        control=control,
        index=index,
    )


def beneath(path: str, mail_root: str) -> str:
    """The path relative to the mail root. Raises BadLocation for one that lies outside, by its text alone."""
    if "\0" in path or not path.startswith("/") or ".." in path.split("/"):
        raise BadLocation(reason=f"mail path {path!r} is not an absolute path without '..'")
    inside = posixpath.relpath(re.sub("/+", "/", path), mail_root)
    if inside in (".", "..") or inside.startswith("../"):
        raise BadLocation(reason=f"mail path {path!r} is not beneath the mail root {mail_root!r}")
    return inside
