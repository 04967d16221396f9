"""The acceptor's side of GSS-API over Kerberos 5: a small binding of libgssapi_krb5 (RFC 2743, RFC 2744).

The maintained binding for Python, gssapi, comes without wheels for Linux: it would ask every installation for a
compiler and headers. The C interface is standardised, and a SASL server needs few of its functions.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
from ctypes import POINTER, byref, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = "libgssapi_krb5.so.2"
TOKEN_MAX = 65536
"""Octets of one token; tickets with many group memberships come near it."""

_ACCEPT = 2
_INDEFINITE = 0xFFFFFFFF
_CONTINUE = 1
_ERRORS = 0xFFFF0000
_GSS_CODE, _MECHANISM_CODE = 1, 2


class KerberosError(Exception):
    """A token or ticket was refused, or there is no keytab; the text is for the log."""


class _Buffer(ctypes.Structure):
    _fields_ = (("length", c_size_t), ("value", c_void_p))

    @classmethod
    def of(cls, data: bytes) -> _Buffer:
        return cls(len(data), ctypes.cast(ctypes.c_char_p(data), c_void_p))

    def data(self) -> bytes:
        return ctypes.string_at(self.value, self.length) if self.length else b""


class _Oid(ctypes.Structure):
    _fields_ = (("length", c_uint32), ("elements", c_void_p))


_HOSTBASED = bytes.fromhex("2a864886f71201020104")
"""GSS_C_NT_HOSTBASED_SERVICE, 1.2.840.113554.1.2.1.4 (RFC 2743 section 4.1)."""


@cache
def _library() -> Any:
    """The library with the types of its functions. Raises KerberosError."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise KerberosError(f"{LIBRARY} is not installed: {error}") from None
    minor, buffer = POINTER(c_uint32), POINTER(_Buffer)
    handle = POINTER(c_void_p)
    types: dict[str, tuple[Any, ...]] = {
        "gss_import_name": (minor, buffer, POINTER(_Oid), handle),
        "gss_acquire_cred": (minor, c_void_p, c_uint32, c_void_p, c_int, handle, c_void_p, c_void_p),
        "gss_accept_sec_context": (minor, handle, c_void_p, buffer, c_void_p, handle, c_void_p, buffer, c_void_p,
                                   c_void_p, handle),
        "gss_inquire_context": (minor, c_void_p, handle, handle, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p),
        "gss_wrap": (minor, c_void_p, c_int, c_uint32, buffer, c_void_p, buffer),
        "gss_unwrap": (minor, c_void_p, buffer, buffer, c_void_p, c_void_p),
        "gss_display_name": (minor, c_void_p, buffer, c_void_p),
        "gss_display_status": (minor, c_uint32, c_int, c_void_p, POINTER(c_uint32), buffer),
        "gss_release_buffer": (minor, buffer),
        "gss_release_name": (minor, handle),
        "gss_release_cred": (minor, handle),
        "gss_delete_sec_context": (minor, handle, c_void_p),
    }  # fmt: skip
    for name, arguments in types.items():
        function = getattr(library, name)
        function.argtypes, function.restype = arguments, c_uint32
    return library


def available() -> str:
    """Why Kerberos cannot be offered here, "" when it can."""
    try:
        _library()
    except KerberosError as error:
        return str(error)
    return ""


def use_keytab(path: str) -> None:
    """Take service keys from this file ("" for the system's own). What replay caches are for, SASL does by itself: the
    last message needs the session key, which who repeats a ticket has not."""
    if path:
        os.environ["KRB5_KTNAME"] = path
    os.environ["KRB5RCACHENAME"] = "none:"


def files(keytab: str) -> list[Path]:
    """What the library reads: its configuration and the service keys, as far as they are there."""
    configuration = os.environ.get("KRB5_CONFIG", "/etc/krb5.conf:/etc/krb5.conf.d").split(":")
    paths = [*configuration, keytab.removeprefix("FILE:") or "/etc/krb5.keytab"]
    return [path for path in map(Path, paths) if path.is_absolute() and path.exists()]


class Acceptor:
    """One security context, seen from the server. Raises KerberosError everywhere."""

    def __init__(self, service: str, hostname: str) -> None:
        """``service`` and ``hostname`` name the key in the keytab; an empty name takes any that is there."""
        self._library = _library()
        self._credentials, self._context, self._name = c_void_p(), c_void_p(), c_void_p()
        self._minor = c_uint32()
        target = self._import(f"{service}@{hostname}") if hostname else c_void_p()
        try:
            self._call(
                "gss_acquire_cred", target, _INDEFINITE, None, _ACCEPT, byref(self._credentials), None, None
            )  # fmt: skip
        finally:
            self._library.gss_release_name(byref(self._minor), byref(target))

    def step(self, token: bytes) -> tuple[bytes, bool]:
        """The answer to a token of the client, and whether the context is complete."""
        if len(token) > TOKEN_MAX:
            raise KerberosError("the token is too long")
        given, answer, name = _Buffer.of(token), _Buffer(), c_void_p()
        status = self._call(
            "gss_accept_sec_context", byref(self._context), self._credentials, byref(given), None, byref(name), None,
            byref(answer), None, None, None,
        )  # fmt: skip
        if name.value:
            self._library.gss_release_name(byref(self._minor), byref(self._name))
            self._name = name
        return self._taken(answer), not status & _CONTINUE

    def client(self) -> str:
        """The client's principal, ``alice@EXAMPLE.ORG``."""
        return self._display(self._name)

    def realm(self) -> str:
        """The realm of the service that the client has a ticket for: ours."""
        source, target = c_void_p(), c_void_p()
        self._call(
            "gss_inquire_context", self._context, byref(source), byref(target), None, None, None, None, None
        )  # fmt: skip
        try:
            return self._display(target).rpartition("@")[2]
        finally:
            for name in (source, target):
                self._library.gss_release_name(byref(self._minor), byref(name))

    def _display(self, name: c_void_p) -> str:
        text = _Buffer()
        self._call("gss_display_name", name, byref(text), None)
        return self._taken(text).decode("utf-8", "surrogateescape")

    def wrap(self, data: bytes) -> bytes:
        """Protect (not encrypt) a message for the client."""
        given, made = _Buffer.of(data), _Buffer()
        self._call("gss_wrap", self._context, 0, 0, byref(given), None, byref(made))
        return self._taken(made)

    def unwrap(self, data: bytes) -> bytes:
        """The client's protected message."""
        given, found = _Buffer.of(data), _Buffer()
        self._call("gss_unwrap", self._context, byref(given), byref(found), None, None)
        return self._taken(found)

    def close(self) -> None:
        """Let go of what the library holds."""
        minor = byref(self._minor)
        self._library.gss_delete_sec_context(minor, byref(self._context), None)
        self._library.gss_release_name(minor, byref(self._name))
        self._library.gss_release_cred(minor, byref(self._credentials))

    def _import(self, name: str) -> c_void_p:
        text, found = _Buffer.of(name.encode()), c_void_p()
        kind = _Oid(len(_HOSTBASED), ctypes.cast(ctypes.c_char_p(_HOSTBASED), c_void_p))
        self._call("gss_import_name", byref(text), byref(kind), byref(found))
        return found

    def _taken(self, buffer: _Buffer) -> bytes:
        data = buffer.data()
        self._library.gss_release_buffer(byref(self._minor), byref(buffer))
        return data

    def _call(self, function: str, *arguments: Any) -> int:
        status = int(getattr(self._library, function)(byref(self._minor), *arguments))
        if status & _ERRORS:
            raise KerberosError(f"{self._text(status, _GSS_CODE)}: {self._text(self._minor.value, _MECHANISM_CODE)}")
        return status

    def _text(self, code: int, kind: int) -> str:
        more, text, ignored = c_uint32(), _Buffer(), c_uint32()
        self._library.gss_display_status(byref(ignored), code, kind, None, byref(more), byref(text))
        return self._taken(text).decode("utf-8", "replace")
