"""Real programs of the machine that some behaviours and tests are shown with."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import Final

# Where Debian keeps programs that are not on everybody's PATH.
MORE_PATHS: Final = ("/usr/sbin", "/sbin", "/usr/lib/cyrus/bin", "/usr/lib/dovecot")


@dataclass(frozen=True, slots=True)
class Program:
    """A program, and the Debian package that brings it."""

    name: str
    package: str

    def path(self, *more_paths: str) -> str | None:
        """Where it is; None where it is not installed."""
        return shutil.which(self.name, path=os.pathsep.join((os.environ.get("PATH", ""), *MORE_PATHS, *more_paths)))

    def __str__(self) -> str:
        return f"{self.name} (Debian: apt install {self.package})"
