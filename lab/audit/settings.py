"""What the one who asks for an audit has chosen and allowed."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path


class Allow(enum.Enum):
    """What an audit does only by consent; without any it reads, and leaves nothing behind but log lines."""

    MAIL = "mail"
    SMUGGLING = "smuggling"
    LOAD = "load"
    GUESSING = "guessing"


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of `hardmail audit`; see its --help."""

    allowed: frozenset[Allow] = frozenset()
    sink: str = ""
    """Where allowed mail goes."""
    sender: str = "hardmail-audit@example.com"
    victim: str = "hardmail-audit@example.net"
    """A recipient that the server must not relay to."""
    domain: str = ""
    recipient: str = ""
    helo: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    paths: tuple[str, ...] = ()
    """Further names that must not be mailboxes: paths of the server's files."""
    insecure: bool = False
    """Give the password to a server that does not prove its name."""
    name: str = ""
    """The name that the certificate has to prove; "" is the target's host."""
    ca_file: Path | None = None
    source: str = ""
    rate: float = 10.0
    """Connections a second to one host."""
    timeout: float = 10.0
    """Seconds for a connection, and for each answer."""
    connections: int = 60
    """How many at once, where load is allowed."""
    only: frozenset[str] = frozenset()
    """Names of checks; all if empty."""
