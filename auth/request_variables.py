"""The ``%`` variables that settings and fields of the auth service know (doc/wiki Variables)."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .fields import Fields
    from .request import AuthRequest

_OF_USER: dict[str, Callable[[str], str]] = {
    "user": lambda user: user,
    "username": lambda user: user.partition("@")[0],
    "domain": lambda user: user.partition("@")[2],
    "domain_first": lambda user: user.partition("@")[2],
    "domain_last": lambda user: user.rpartition("@")[2] if "@" in user else "",
}
"""Variables that are parts of a user name."""

_ALIASES = {
    "u": "user", "n": "username", "d": "domain", "s": "service", "l": "lip", "r": "rip", "a": "lport", "b": "rport",
    "m": "mech", "c": "secured", "k": "cert", "p": "pid", "h": "home",
    "local_ip": "lip", "remote_ip": "rip", "local_port": "lport", "remote_port": "rport", "mechanism": "mech",
    "real_local_ip": "real_lip", "real_remote_ip": "real_rip", "real_local_port": "real_lport",
    "real_remote_port": "real_rport", "original_user": "orig_user", "original_username": "orig_username",
    "original_domain": "orig_domain",
}  # fmt: skip


def value_of(request: AuthRequest, name: str) -> str | None:
    """The value of a variable by its long name or its letter; None when there is no such variable."""
    name = _ALIASES.get(name, name)
    kind, colon, rest = name.partition(":")
    if colon and kind in ("passdb", "userdb"):
        return _field(request.extra if kind == "passdb" else request.userdb, rest)
    if colon and kind == "env":
        # As little of the environment as Dovecot's own import_environment lets through.
        return os.environ.get(rest, "") if rest == "TZ" else ""
    prefix, _, part = name.partition("_")
    if part in _OF_USER and prefix in ("orig", "login", "auth"):
        named = {
            "orig": request.original_user,
            "login": request.login_user,
            "auth": request.master_user or request.user,
        }
        return _OF_USER[part](named[prefix] or "")
    if name in _OF_USER:
        return _OF_USER[name](request.user or "")
    return _of_connection(request, name)


def _field(fields: Fields | None, name: str) -> str:
    """``name`` or ``name:default``."""
    name, _, default = name.partition(":")
    found = fields.get(name) if fields is not None else None
    return default if found is None else found


def _of_connection(request: AuthRequest, name: str) -> str | None:
    request.known_until = 0.0
    given = request.parameters
    values = {
        "master_user": request.master_user or "",
        "service": given.service or "",
        "lip": given.lip,
        "rip": given.rip,
        "lport": str(given.lport),
        "rport": str(given.rport),
        "real_lip": given.real_lip or given.lip,
        "real_rip": given.real_rip or given.rip,
        "real_lport": str(given.real_lport or given.lport),
        "real_rport": str(given.real_rport or given.rport),
        "local_name": given.local_name,
        "session": given.session,
        "session_pid": "",
        "client_id": given.client_id,
        "mech": request.mechanism,
        "secured": {"": "", "tls": "TLS"}.get(given.secured, "secured"),
        "cert": "valid" if given.valid_client_cert else "",
        "pid": "0",  # that of the client's process, which is none of the protocol
        "uid": str(os.geteuid()),
        "gid": str(os.getegid()),
        "home": "",
        "hostname": request.settings.hostname,
    }
    return values.get(name)
