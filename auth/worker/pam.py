"""PAM (pam(3), pam_start(3), pam_conv(3)) by ctypes: one log-in, as Dovecot's pam passdb does it.

The bindings there are, python-pam and pamela, are ctypes too, and their one call for a log-in does not set PAM_RHOST,
which pam_access and pam_faillock need. So it is a page of our own.
"""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_void_p
from dataclasses import dataclass
from enum import Enum
from typing import Any

# _pam_types.h (Linux-PAM)
SUCCESS = 0
USER_UNKNOWN = 10
NEW_AUTHTOK_REQD = 12
ACCT_EXPIRED = 13
CONV_ERR = 19
USER, TTY, RHOST, RUSER = 2, 3, 4, 8
PROMPT_ECHO_OFF, PROMPT_ECHO_ON, ERROR_MSG, TEXT_INFO = 1, 2, 3, 4
ESTABLISH_CRED = 2

MESSAGES_MAX = 32
"""PAM_MAX_NUM_MSG: more in one call of the conversation are an error."""


class _Message(Structure):
    _fields_ = (("style", c_int), ("text", c_char_p))


class _Response(Structure):
    _fields_ = (("text", c_void_p), ("code", c_int))


_Conversation = CFUNCTYPE(c_int, c_int, POINTER(POINTER(_Message)), POINTER(POINTER(_Response)), c_void_p)


class _Conv(Structure):
    _fields_ = (("function", _Conversation), ("data", c_void_p))


class PamError(Exception):
    """PAM itself cannot be used; the text is for the log."""


class Outcome(Enum):
    """What PAM says of a log-in."""

    OK = "ok"
    UNKNOWN = "unknown"
    MISMATCH = "mismatch"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Answer:
    """The outcome, the user's name as PAM has it in the end, and PAM's words on a failure."""

    outcome: Outcome
    user: str
    said: str = ""


_libc = ctypes.CDLL(None)
_libc.calloc.restype = c_void_p
_libc.calloc.argtypes = [c_size_t, c_size_t]
_libc.strdup.restype = c_void_p
_libc.strdup.argtypes = [c_char_p]


def library() -> ctypes.CDLL:
    """libpam. Raises PamError where there is none."""
    try:
        pam = ctypes.CDLL("libpam.so.0")  # its name since 1996; find_library() would run programs
    except OSError as error:
        raise PamError(f"libpam cannot be loaded: {error}") from None
    pam.pam_start.argtypes = [c_char_p, c_char_p, POINTER(_Conv), POINTER(c_void_p)]
    pam.pam_strerror.restype = c_char_p
    pam.pam_strerror.argtypes = [c_void_p, c_int]
    pam.pam_set_item.argtypes = [c_void_p, c_int, c_char_p]
    pam.pam_get_item.argtypes = [c_void_p, c_int, POINTER(c_char_p)]
    for name in ("authenticate", "acct_mgmt", "setcred", "open_session", "close_session", "end"):
        getattr(pam, f"pam_{name}").argtypes = [c_void_p, c_int]
    return pam


def _conversation(user: bytes, password: bytes) -> Any:
    """Answers PAM's prompts: the name where the typed text shows, the password where it does not."""

    def converse(count: int, messages: Any, responses: Any, _data: object) -> int:
        if not 0 < count <= MESSAGES_MAX:
            return CONV_ERR
        # PAM frees the array and the texts with free(3), so they come from malloc's family.
        array = ctypes.cast(_libc.calloc(count, ctypes.sizeof(_Response)), POINTER(_Response))
        for n in range(count):
            style = messages[n].contents.style
            if style in (PROMPT_ECHO_OFF, PROMPT_ECHO_ON):
                array[n].text = _libc.strdup(password if style == PROMPT_ECHO_OFF else user)
            elif style not in (ERROR_MSG, TEXT_INFO):
                return CONV_ERR
        responses[0] = array
        return SUCCESS

    return _Conversation(converse)


def authenticate(
    service: str, user: str, password: bytes, *, rhost: str = "", setcred: bool = False, session: bool = False
) -> Answer:
    """Authenticate a user against ``/etc/pam.d/<service>`` and check its account. Raises PamError."""
    pam = library()
    name = user.encode("utf-8", "surrogateescape")
    if b"\0" in name + password:
        return Answer(Outcome.MISMATCH, user, "NUL in the name or the password")
    conversation = _conversation(name, password)  # must outlive the handle
    handle = c_void_p()
    status = pam.pam_start(service.encode(), name, ctypes.byref(_Conv(conversation, None)), ctypes.byref(handle))
    if status != SUCCESS:
        raise PamError(f"pam_start({service}) failed: {pam.pam_strerror(None, status).decode(errors='replace')}")
    for item, value in ((RHOST, rhost.encode()), (RUSER, name), (TTY, b"hardmail")):
        if value:
            pam.pam_set_item(handle, item, value)
    step, status = _steps(pam, handle, setcred=setcred, session=session)
    said = "" if status == SUCCESS else f"{step}() failed: {pam.pam_strerror(handle, status).decode(errors='replace')}"
    found = c_char_p()
    if pam.pam_get_item(handle, USER, ctypes.byref(found)) == SUCCESS and found.value:
        user = found.value.decode("utf-8", "surrogateescape")
    pam.pam_end(handle, status)
    outcomes = {
        SUCCESS: Outcome.OK,
        USER_UNKNOWN: Outcome.UNKNOWN,
        NEW_AUTHTOK_REQD: Outcome.EXPIRED,
        ACCT_EXPIRED: Outcome.EXPIRED,
    }
    return Answer(outcomes.get(status, Outcome.MISMATCH), user, said)


def _steps(pam: ctypes.CDLL, handle: c_void_p, *, setcred: bool, session: bool) -> tuple[str, int]:
    """The calls of one log-in in PAM's order, up to the first that fails: its name and status."""
    calls = [("pam_authenticate", 0)]
    if setcred:
        calls.append(("pam_setcred", ESTABLISH_CRED))
    calls.append(("pam_acct_mgmt", 0))
    if session:
        calls += [("pam_open_session", 0), ("pam_close_session", 0)]
    for name, flags in calls:
        status = int(getattr(pam, name)(handle, flags))
        if status != SUCCESS:
            return name, status
    return "", SUCCESS
