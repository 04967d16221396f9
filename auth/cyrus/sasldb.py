"""sasldb: the users of saslpasswd2, in a file that holds no clear text.

Cyrus SASL's own sasldb2 keeps passwords in the clear. Ours is a passwd-file, ``user@realm:{SCRAM-SHA-256}keys``, good
for PLAIN, LOGIN and SCRAM-SHA-256: with ``passdb { driver = passwd-file }``, of real Dovecot too, and with
``saslauthd -a sasldb``.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from auth import schemes

DEFAULT_PATH = Path("/etc/sasldb2.users")
SCHEME = "SCRAM-SHA-256"
PROPERTY = f"cmusaslsecret{SCHEME}"
"""How sasldblistusers2 names a secret for one mechanism."""

BERKELEY_DB = (b"\x61\x15\x06\x00", b"\x00\x06\x15\x61", b"\x62\x31\x05\x00", b"\x00\x05\x31\x62")
"""Magic numbers of Berkeley DB hash and btree files, at octet 12."""


class SasldbError(Exception):
    """The file cannot be used; the text is for the operator."""


class Sasldb:
    """One file, read and written as a whole."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def users(self) -> dict[str, str]:
        """Name with realm to stored password. Raises SasldbError."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SasldbError(f"{self.path}: {error.strerror}") from None
        if data[12:16] in BERKELEY_DB:
            raise SasldbError(
                f"{self.path} is Cyrus SASL's own sasldb2 with passwords in the clear: name another with -f"
            )
        lines = (line.split(":") for line in data.decode("utf-8", "surrogateescape").splitlines() if line[:1] != "#")
        return {parts[0]: parts[1] for parts in lines if len(parts) >= 2 and parts[0]}

    def set(self, name: str, password: bytes, *, create: bool) -> bool:
        """Set a user's password; whether there is such a user now. Raises SasldbError."""
        with self._locked():
            users = self.users()
            if name not in users and not create:
                return False
            users[name] = f"{{{SCHEME}}}{schemes.generate(SCHEME, password)}"
            self._write(users)
        return True

    def delete(self, name: str) -> None:
        """Remove a user, if there is one. Raises SasldbError."""
        with self._locked():
            users = self.users()
            if users.pop(name, None) is not None:
                self._write(users)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time; the lock is a file of its own, as the data file is replaced."""
        try:
            lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SasldbError(f"{self.path}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, users: dict[str, str]) -> None:
        """Put the new file in the old one's place, with its owner and mode (0600 at first)."""
        try:
            with tempfile.NamedTemporaryFile(dir=self.path.parent, prefix=f".{self.path.name}.", delete=False) as file:
                try:
                    if self.path.exists():
                        status = self.path.stat()
                        os.fchmod(file.fileno(), status.st_mode & 0o7777)
                        os.fchown(file.fileno(), status.st_uid, status.st_gid)
                    text = "".join(f"{name}:{stored}\n" for name, stored in users.items())
                    file.write(text.encode("utf-8", "surrogateescape"))
                    file.flush()
                    os.fsync(file.fileno())
                    Path(file.name).replace(self.path)
                except BaseException:
                    Path(file.name).unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise SasldbError(f"{self.path}: {error.strerror}") from None
