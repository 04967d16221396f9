"""The base subject of a message (RFC 5256 section 2.1): what is left without Re:, Fwd:, [list] and the like."""

from __future__ import annotations

import re

_SPACE = re.compile(r"\s+")
_TRAILER = re.compile(r"(?:\s|\(fwd\))+\Z", re.IGNORECASE)
_BLOB = re.compile(r"\[[^\[\]]*\]\s*")
_REFWD = re.compile(r"(?:re|fwd?)\s*(?:\[[^\[\]]*\]\s*)?:", re.IGNORECASE)


def base_subject(decoded: str) -> tuple[str, bool]:
    """The base subject in upper case, and whether the subject was one of a reply or forward."""
    text = _SPACE.sub(" ", decoded).strip()
    is_reply = False
    while True:
        stripped = _TRAILER.sub("", text)
        is_reply |= len(stripped) < len(text.rstrip())
        text = stripped
        while True:
            text = text.lstrip()
            before = text
            text, replied = _without_leader(text)
            is_reply |= replied
            blob = _BLOB.match(text)
            if blob is not None and text[blob.end() :].strip():
                text = text[blob.end() :]
            if text == before:
                break
        if text[:5].lower() == "[fwd:" and text.endswith("]"):
            text, is_reply = text[5:-1], True
            continue
        return text.upper(), is_reply


def _without_leader(text: str) -> tuple[str, bool]:
    """Take off ``*subj-blob subj-refwd`` from the beginning, if it is there."""
    position = 0
    while (blob := _BLOB.match(text, position)) is not None:
        position = blob.end()
    found = _REFWD.match(text, position)
    return (text[found.end() :], True) if found is not None else (text, False)
