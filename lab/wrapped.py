"""TCP wrappers in a plan: which files a service behind hosts.allow and hosts.deny must be able to read."""

from __future__ import annotations

from pathlib import Path

_OPEN_DIRECTORIES = (Path("/etc"), Path("/"))
"""A file that lies here is opened by itself: its neighbours are no concern of the service."""


def wrapped(allow: str, deny: str) -> tuple[tuple[Path, ...], list[str]]:
    """Paths to read, and what is wrong with the tables. Raises ValueError if one is there and cannot be read.

    Elsewhere than in /etc the whole directory may be read, so that a file that an editor puts in place anew is seen.
    """
    if not allow and not deny:
        return (), []
    from auth.tcpwrap import AccessFiles

    files = AccessFiles.of(allow, deny)
    if files is None:
        return (), []
    found = [_readable(Path(name)) for name in (allow, deny, *files.named()) if name]
    found += [Path(directory) for directory in files.banner_directories()]
    return tuple(path for path in dict.fromkeys(found) if path.exists()), [str(each) for each in files.problems]


def _readable(path: Path) -> Path:
    return path if path.parent in _OPEN_DIRECTORIES else path.parent
