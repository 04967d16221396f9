"""What a POP3 command can be answered with when it fails."""

from __future__ import annotations


class Error(Exception):
    """``-ERR [code] text`` (RFC 2449 section 8 for the codes)."""

    def __init__(self, text: str, code: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
