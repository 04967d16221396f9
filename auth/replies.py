"""The words of OK, FAIL, USER and PASS replies: which fields of a request a client is told (Design/AuthProtocol)."""

from __future__ import annotations

import base64

from . import proxying
from .request import AuthRequest
from .results import Result

_BARE = ("nologin=", "proxy=")
"""Fields whose value means nothing to a client: nologin=no refuses as well."""

_CODES = {Result.DISABLED: "user_disabled", Result.EXPIRED: "pass_expired", Result.INTERNAL: "temp_fail"}


def ok_words(request: AuthRequest, final: bytes) -> list[str]:
    """Fields of OK; ``final`` is the mechanism's last message, sent along when there is one."""
    words = [f"user={request.user}", *_extra(request)]
    if final:
        words.append("resp=" + base64.b64encode(final).decode())
    return words


def fail_words(request: AuthRequest, result: Result) -> list[str]:
    """Fields of FAIL. ``code`` tells apart what the user may know: never whether it exists."""
    proxying.forget(request)
    request.extra.remove("nologin")
    words = []
    name = request.user if request.user is not None else request.original_user
    if name is not None:
        words.append(f"user={name}")
    if result is Result.INTERNAL:
        words.append("code=temp_fail")
    elif request.master_user is not None:
        # The log-in was right, but not as this user.
        words.append("code=authz_fail")
    elif result in _CODES:
        words.append(f"code={_CODES[result]}")
    if "nodelay" in request.extra:
        words.append("nodelay")
    return [*words, *_extra(request)]


def _extra(request: AuthRequest) -> list[str]:
    words = [word.partition("=")[0] if word.startswith(_BARE) else word for word in request.extra.words()]
    extra = request.extra
    if request.original_user is not None and request.original_user != request.user and "original_user" not in extra:
        words.append(f"original_user={request.original_user}")
    if request.master_user is not None and "auth_user" not in extra:
        words.append(f"auth_user={request.master_user}")
    if request.user is not None and request.user == request.settings.anonymous_username:
        words.append("anonymous")
    return words


def user_words(request: AuthRequest) -> list[str]:
    """Fields of USER."""
    words = request.userdb.words() if request.userdb is not None else []
    if not request.mechanism:
        return words  # a lookup, and no finished log-in
    if request.master_user is not None and (request.userdb is None or "master_user" not in request.userdb):
        words.append(f"master_user={request.master_user}")
    return [*words, f"auth_mech={request.mechanism}"]


def pass_words(request: AuthRequest) -> list[str]:
    """Fields of PASS."""
    return [f"user={request.user}", *request.extra.words()]
