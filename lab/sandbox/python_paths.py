"""What every confined service must still be able to read: the interpreter, its libraries, the clock."""

from __future__ import annotations

import encodings
import functools
import os
import pkgutil
import ssl
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path


def _existing(*paths: Path | str) -> tuple[Path, ...]:
    return tuple(dict.fromkeys(path for path in map(Path, paths) if path.exists()))


def _packages() -> list[Path]:
    """Where our dependencies are installed; sys.path itself may name more, such as the present directory."""
    found = (find_spec(name) for name in ("click", "cryptography", "dns", "twisted", "uvloop"))
    return [Path(spec.origin).parent.parent for spec in found if spec and spec.origin]


_ROOMS = Path(__file__).parent.parent.parent

SYSTEM = _existing(
    sys.prefix,
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("platstdlib"),
    *_packages(),
    *(_ROOMS / room for room in ("tls", "auth", "mta", "imap", "lab")),
    "/usr/lib",
    "/lib",
    "/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/etc/localtime",
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/urandom",
)

_CERTIFICATES = ssl.get_default_verify_paths()

# What name resolution and the verification of certificates read.
NETWORK = _existing(
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/ssl/openssl.cnf",
    "/etc/ssl/certs",
    "/usr/share/ca-certificates",
    _CERTIFICATES.openssl_cafile,
    _CERTIFICATES.openssl_capath,
)

# Modules that the standard library imports when they are first needed.
LATE = (
    "auth.wiretap.dialogues",
    "encodings.idna",
    "encodings.punycode",
    "stringprep",
    "unicodedata",
    "concurrent.futures.thread",
    "email.parser",
)


@functools.cache
def late_modules(*, charsets: bool) -> tuple[str, ...]:
    """What to import before the change of user, where that user cannot reach the program and its libraries.

    A checkout or an interpreter below a home directory with mode 0700 is common. `charsets`: also every character set,
    for services that decode mail.
    """
    if os.geteuid() != 0 or all(map(_open_to_all, (Path(sysconfig.get_path("stdlib")), _ROOMS, *_packages()))):
        return ()
    sets = (f"encodings.{module.name}" for module in pkgutil.iter_modules(encodings.__path__))
    return (*LATE, *(sets if charsets else ()))


def _open_to_all(directory: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (directory, *directory.parents))


# The user database, for services that look users up (local delivery, passwd and PAM databases).
ACCOUNTS = _existing("/etc/passwd", "/etc/group", "/etc/nsswitch.conf")

# useradd(8) puts a new file in place of /etc/passwd, which a rule for the old one does not cover. So who has to see new
# users without starting anew, and is not root, may read in the whole directory what everybody may read.
ACCOUNTS_DIRECTORY = Path("/etc")
