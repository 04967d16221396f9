"""PEM as configuration gives it: the path of a file, or the text itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tls.errors import TLSConfigError

PEM = Path | str | bytes
"""A PEM file by its path, or (bytes, or text with `-----BEGIN`) the PEM itself, as Dovecot's `<file` yields it."""

_MARK = "-----BEGIN "
_LARGEST = 1 << 20


@contextmanager
def file_of(source: PEM) -> Iterator[str]:
    """A path that OpenSSL can open. PEM from memory stays in memory. Raises TLSConfigError for an unreadable file."""
    if not _is_content(source):
        path = os.fsdecode(source)
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise TLSConfigError(f"{path}: {error.strerror}") from error
        yield path
        return
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(content_of(source))
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def content_of(source: PEM) -> bytes:
    """The PEM text, at most a mebibyte of it. Raises TLSConfigError for an unreadable file."""
    if isinstance(source, bytes):
        return source
    if isinstance(source, str) and _is_content(source):
        return source.encode()
    try:
        with Path(source).open("rb") as file:
            return file.read(_LARGEST)
    except OSError as error:
        raise TLSConfigError(f"{name_of(source)}: {error.strerror}") from error


def _is_content(source: PEM) -> bool:
    return isinstance(source, bytes) or (isinstance(source, str) and _MARK in source)


def name_of(source: PEM) -> str:
    """How an error message calls it; never the text itself."""
    return "certificate or key given in the configuration" if _is_content(source) else os.fsdecode(source)
