"""Postfix's policy delegation protocol (SMTPD_POLICY_README), the server's side: requests in, actions out. Pure."""

from __future__ import annotations

from typing import Final

REQUEST_LIMIT: Final = 64 * 1024
"""Octets of one request: thirty attributes, the longest of which are addresses."""


class ProtocolError(ValueError):
    """What came is no request; the connection is of no use any more."""


class RequestReader:
    """Collects octets into requests: name=value lines, ended by an empty line."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, octets: bytes) -> list[dict[str, str]]:
        """The requests that are whole now. Raises ProtocolError."""
        *whole, self._buffer = (self._buffer + octets).split(b"\n\n")
        if len(self._buffer) > REQUEST_LIMIT or any(len(each) > REQUEST_LIMIT for each in whole):
            raise ProtocolError(f"request longer than {REQUEST_LIMIT} octets")
        return [_attributes(each) for each in whole]


def _attributes(octets: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in octets.decode("utf-8", "replace").split("\n"):
        name, equals, value = line.partition("=")
        if not name or not equals:
            raise ProtocolError("not a name=value line")
        found.setdefault(name, value)
    if found.get("request") != "smtpd_access_policy":
        raise ProtocolError("not an smtpd_access_policy request")
    return found


def answer(action: str) -> bytes:
    """One answer; an action cannot hold a line end, so it cannot begin another attribute."""
    return f"action={' '.join(action.splitlines())}\n\n".encode()
