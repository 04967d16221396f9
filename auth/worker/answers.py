"""The worker's answers: what a question may ask, and of whom. Runs in a process of its own for each question."""

from __future__ import annotations

import ctypes
import pwd
from collections.abc import Callable, Mapping
from typing import Any

from . import checkpassword, pam

Question = Mapping[str, Any]
Answer = dict[str, Any]


class BadQuestion(Exception):
    """A question that the auth service does not ask."""


def text(question: Question, name: str, default: str | None = None) -> str:
    """A member of the question that is a text. Raises BadQuestion."""
    value = question.get(name, default)
    if not isinstance(value, str) or "\0" in value:
        raise BadQuestion(f"{name} is missing or no text")
    return value


def flag(question: Question, name: str) -> bool:
    """A member of the question that is true or absent."""
    return question.get(name) is True


class _Shadow(ctypes.Structure):
    """struct spwd of shadow(3), as far as it is needed. Python's own spwd module is gone since 3.13."""

    _fields_ = (("name", ctypes.c_char_p), ("password", ctypes.c_char_p))


def passwd(question: Question) -> Answer:
    """The entry of passwd(5): by the name service switch, so from a directory service too."""
    try:
        entry = pwd.getpwnam(text(question, "user"))
    except (KeyError, UnicodeError):
        return {"result": "unknown"}
    return {
        "result": "ok",
        "user": entry.pw_name,
        "password": entry.pw_passwd,
        "uid": entry.pw_uid,
        "gid": entry.pw_gid,
        "home": entry.pw_dir,
    }


def passwd_list(question: Question) -> Answer:
    """All names of passwd(5) with their numbers."""
    return {"result": "ok", "users": [[entry.pw_name, entry.pw_uid, entry.pw_gid] for entry in pwd.getpwall()]}


def shadow(question: Question) -> Answer:
    """The password of shadow(5)."""
    getspnam = ctypes.CDLL(None, use_errno=True).getspnam
    getspnam.restype = ctypes.POINTER(_Shadow)
    getspnam.argtypes = [ctypes.c_char_p]
    ctypes.set_errno(0)
    found = getspnam(text(question, "user").encode("utf-8", "surrogateescape"))
    if not found:
        denied = ctypes.get_errno() in (1, 13)  # EPERM, EACCES
        return {"error": "getspnam() failed: Permission denied"} if denied else {"result": "unknown"}
    entry = found.contents
    return {
        "result": "ok",
        "user": (entry.name or b"").decode("utf-8", "surrogateescape"),
        "password": (entry.password or b"").decode("utf-8", "surrogateescape"),
    }


def ask_pam(question: Question) -> Answer:
    """Log in by PAM."""
    try:
        answer = pam.authenticate(
            text(question, "service"),
            text(question, "user"),
            text(question, "password").encode("utf-8", "surrogateescape"),
            rhost=text(question, "rhost", ""),
            setcred=flag(question, "setcred"),
            session=flag(question, "session"),
        )
    except pam.PamError as error:
        return {"error": str(error)}
    return {"result": answer.outcome.value, "user": answer.user, "said": answer.said}


def ask_checkpassword(question: Question) -> Answer:
    """Run a checkpassword program."""
    environment = question.get("environment")
    if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
        raise BadQuestion("environment is missing")
    password = question.get("password")
    if password is not None and not isinstance(password, str):
        raise BadQuestion("password is no text")
    return checkpassword.run(text(question, "command"), text(question, "user"), password, environment)


ANSWERS: Mapping[str, tuple[str, Callable[[Question], Answer]]] = {
    "passwd": ("passwd", passwd),
    "passwd-list": ("passwd", passwd_list),
    "shadow": ("shadow", shadow),
    "pam": ("pam", ask_pam),
    "checkpassword": ("checkpassword", ask_checkpassword),
}
"""By the question's name: the driver that must be configured for it to be answered, and the answer."""


def answer(question: Question, drivers: frozenset[str]) -> Answer:
    """The answer to a question; ``error`` in it says why there is none."""
    driver, function = ANSWERS.get(str(question.get("ask")), ("", None))
    if function is None or driver not in drivers:
        return {"error": "no passdb or userdb of the configuration asks that"}
    try:
        return function(question)
    except BadQuestion as error:
        return {"error": str(error)}
    except OSError as error:
        return {"error": f"{driver}: {error.strerror or error}"}
