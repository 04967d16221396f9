"""Encrypts a mail to its recipient's OpenPGP key before it is stored (PGP/MIME, RFC 3156; header protection, RFC 9788).

Everything is sealed, encrypted mail too: that a mail looks encrypted does not mean that nobody can read it.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pysequoia import Cert, encrypt

KEY_LIMIT: Final = 1024 * 1024
"""Octets of a key file: certificates with many signatures have some ten thousand."""

CONTENT_TYPE_DEFAULT: Final = b"Content-Type: text/plain; charset=us-ascii\r\n"
"""RFC 2045 section 5.2."""

# What a mail server needs to file, sort and thread a mail stays outside; the subject and all else is the recipient's.
OUTSIDE: Final = frozenset(
    b"date from to cc sender reply-to message-id in-reply-to references return-path delivered-to received".split()
)
HIDDEN_SUBJECT: Final = b"Subject: [...]\r\n"
"""RFC 9788 section 3.2.1 (the policy hcp_baseline)."""

_FIELD: Final = re.compile(rb"[^\r\n]*\r?\n(?:[ \t][^\r\n]*\r?\n)*")
_NAME: Final = re.compile(rb"([!-9;-~]+)[ \t]*:")


class CannotEncrypt(Exception):
    """There is no key that this mail can be encrypted to; the text says why, and is for the log."""


def read_key(path: Path) -> Cert:
    """A recipient's certificate, armored or binary. Raises CannotEncrypt."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            octets = file.read(KEY_LIMIT + 1)
    except OSError as error:
        raise CannotEncrypt(f"{path}: {error.strerror}") from error
    if len(octets) > KEY_LIMIT:
        raise CannotEncrypt(f"{path}: larger than {KEY_LIMIT} octets")
    try:
        certificate = Cert.from_bytes(octets)
    except Exception as error:  # the library raises RuntimeError, and in some releases types of its own
        raise CannotEncrypt(f"{path}: {_first_line(error)}") from None
    if certificate.is_revoked:
        raise CannotEncrypt(f"{path}: the key is revoked")
    if certificate.expiration is not None and certificate.expiration <= datetime.now(UTC):
        raise CannotEncrypt(f"{path}: the key expired on {certificate.expiration:%Y-%m-%d}")
    return certificate


def seal(message: bytes, certificate: Cert) -> bytes:
    """The mail as multipart/encrypted; the same mail comes out when its owner decrypts it. Raises CannotEncrypt."""
    fields, body = split(message)
    outside = [field for field in fields if _name(field) in OUTSIDE]
    try:
        sealed = encrypt(_inside(fields, outside) + body, recipients=[certificate])
    except Exception as error:
        raise CannotEncrypt(_first_line(error)) from None
    boundary = secrets.token_hex(16).encode()
    return b"".join((
        *outside,
        HIDDEN_SUBJECT,
        b'MIME-Version: 1.0\r\nContent-Type: multipart/encrypted; protocol="application/pgp-encrypted";\r\n',
        b' boundary="' + boundary + b'"\r\n',
        b"\r\n--" + boundary + b"\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n",
        b"\r\n--" + boundary + b'\r\nContent-Type: application/octet-stream; name="encrypted.asc"\r\n'
        b'Content-Disposition: inline; filename="encrypted.asc"\r\n\r\n',
        bytes(sealed).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        b"\r\n--" + boundary + b"--\r\n",
    ))  # fmt: skip


def split(message: bytes) -> tuple[list[bytes], bytes]:
    """The header fields, each with its folding and line end, and the body behind the empty line."""
    fields: list[bytes] = []
    position = 0
    while position < len(message):
        if message.startswith((b"\r\n", b"\n"), position):
            return fields, message[position + (2 if message[position] == 0x0D else 1) :]
        match = _FIELD.match(message, position)
        if match is None or not _NAME.match(message, position):
            return fields, message[position:]  # no header field: the body has begun (as sendmail(8) takes it)
        fields.append(match.group())
        position = match.end()
    return fields, b""


def _inside(fields: list[bytes], outside: list[bytes]) -> bytes:
    """The encrypted header: every field, what of them can be seen outside, and the mark of a protected header."""
    lines = list(_marked(fields))
    shown = [*outside, HIDDEN_SUBJECT] if any(_name(field) == b"subject" for field in fields) else outside
    lines += [b"HP-Outer: " + field for field in shown if _name(field) not in _TRACE]
    return b"".join(lines) + b"\r\n"


_TRACE: Final = frozenset((b"return-path", b"delivered-to", b"received"))


def _marked(fields: list[bytes]) -> Iterator[bytes]:
    """The fields, with hp="cipher" on Content-Type (RFC 9788 section 2.1.1)."""
    typed = False
    for field in fields:
        if _name(field) == b"content-type" and not typed:
            typed = True
            yield field.rstrip(b"; \t\r\n") + b';\r\n hp="cipher"\r\n'
        else:
            yield field
    if not typed:
        yield CONTENT_TYPE_DEFAULT.rstrip() + b';\r\n hp="cipher"\r\n'


def _name(field: bytes) -> bytes:
    match = _NAME.match(field)
    return match.group(1).lower() if match else b""


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
