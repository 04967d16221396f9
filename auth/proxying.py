"""The fields by which a passdb sends log-ins on to another server (doc/wiki PasswordDatabase/ExtraFields/Proxy).

They are told as Dovecot tells them, for Dovecot's own log-in processes; ours do not proxy and refuse such a user.
"""

from __future__ import annotations

import ipaddress
import logging

from .request import AuthRequest, describe

log = logging.getLogger("dovecot.auth")

FIELDS = ("proxy", "proxy_maybe", "proxy_always", "host", "port", "destuser")


def forget(request: AuthRequest) -> None:
    """No proxying: after a failure, or towards this server itself."""
    for name in FIELDS:
        request.extra.remove(name)


def finish(request: AuthRequest) -> bool:
    """After a success: what ``proxy_maybe`` means here. False when that cannot be told: a temporary failure."""
    extra, given = request.extra, request.parameters
    if not ("proxy" in extra or "proxy_maybe" in extra):
        return True
    host = extra.get("host")
    itself = False
    if host is None:
        if given.lip:
            extra.add("lip", given.lip)
        if given.lport:
            extra.add("lport", str(given.lport))
    else:
        address = _address(host) or _address(extra.get("hostip") or "")
        if address is None:
            log.error(
                "%s: proxy: host %s is no address and there is no hostip: names are not looked up",
                describe(request),
                host,
            )
            forget(request)
            return False
        itself = address == _address(given.real_lip or given.lip)
    if "proxy_maybe" in extra:
        _maybe(request, itself=itself)
    return True


def _maybe(request: AuthRequest, *, itself: bool) -> None:
    extra = request.extra
    port = extra.get("port")
    if not itself or (port is not None and port != str(request.parameters.lport)):
        extra.remove("proxy_maybe")
        extra.add("proxy", None)
        return
    always = "proxy_always" in extra
    forget(request)
    if always:
        extra.add("proxy", None)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
