"""Arguments of LMTP commands: paths and parameters (RFC 5321 section 4.1.2), with Dovecot's words for each fault."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]"
_LOCAL = re.compile(rf'{_ATOM}+|"(?:[\x20\x21\x23-\x5B\x5D-\x7E]|\\[\x20-\x7E])*"')
_DOMAIN = re.compile(r"\[[!-Z^-~]+\]|[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*")
# A reverse-path that is no address but keeps inside its brackets is taken as it is: the mail is not lost for it.
_BROKEN = re.compile(r"<([!-;=?-~]+)>")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_PLAIN_LOCAL = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")

# RFC 5321 section 4.5.3.1.8 asks for 100; each recipient costs a lookup and a delivery.
RECIPIENT_LIMIT = 1000


class CommandError(Exception):
    """A command that is refused; str() is the whole reply line."""


@dataclass(frozen=True, slots=True)
class Address:
    """A mailbox, unquoted. `domain` is "" where none was given; the null path has both empty."""

    local: str = ""
    domain: str = ""
    broken: str = ""  # a reverse-path that could not be read, as it came

    def __str__(self) -> str:
        if self.broken:
            return self.broken
        if not self.local and not self.domain:
            return ""
        local = self.local if _PLAIN_LOCAL.fullmatch(self.local) else _quoted(self.local)
        return f"{local}@{self.domain}" if self.domain else local

    @property
    def username(self) -> str:
        """The unquoted form, which the userdb is asked for."""
        return f"{self.local}@{self.domain}" if self.domain else self.local


@dataclass(frozen=True, slots=True)
class Command:
    """MAIL or RCPT: the path and the ESMTP parameters, names in upper case."""

    address: Address
    parameters: Mapping[str, str | None] = field(default_factory=dict)


def parse(argument: str, keyword: str, *, null_allowed: bool) -> Command:
    """Read "FROM:<a@b> BODY=8BITMIME" or "TO:<a@b>". Raises CommandError."""
    if not argument.upper().startswith(keyword + ":"):
        raise CommandError("501 5.5.4 Invalid parameters")
    text = argument[len(keyword) + 1 :]
    fault, address, rest = _path(text)
    if not fault and not null_allowed and address == Address():
        fault = "Null path not allowed"
    if fault and null_allowed and (broken := _BROKEN.match(text)) is not None:
        fault, address, rest = "", Address(broken=broken[1]), text[broken.end() :]
    if fault:
        raise CommandError(f"501 5.5.4 Invalid {keyword}: {fault}")
    if rest and not rest.startswith(" "):
        raise CommandError("501 5.5.4 Invalid parameters")
    parameters: dict[str, str | None] = {}
    for word in rest[1:].split(" ") if rest else ():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise CommandError("501 5.5.4 Invalid parameters")
        parameters[match[1].upper()] = match[2]
    return Command(address, parameters)


def _path(text: str) -> tuple[str, Address, str]:
    """(fault, address, rest): the fault in Dovecot's words, or "" and the address and what stands behind it."""
    none = Address()
    if not text:
        return "Path is empty string", none, ""
    if text[0] in " \t":
        return "Unexpected whitespace before path", none, ""
    if text[0] != "<":
        return "Missing '<' at beginning of path", none, ""
    if text.startswith("<>"):
        return "", none, text[2:]
    position = 1
    if text[1:2] == "@":
        position = _source_route(text)
        if position < 0:
            return "Missing ':' at end of source route", none, ""
    local = _LOCAL.match(text, position)
    if local is None:
        return "Invalid character in localpart", none, ""
    position = local.end()
    domain = ""
    if text[position : position + 1] == "@":
        found = _DOMAIN.match(text, position + 1)
        if found is None:
            return "Invalid domain", none, ""
        domain, position = found[0], found.end()
    elif text[position : position + 1] not in (">", ""):
        return "Invalid character in localpart", none, ""
    if text[position : position + 1] != ">":
        return "Missing '>' at end of path", none, ""
    return "", Address(_unquoted(local[0]), domain), text[position + 1 :]


def _source_route(text: str) -> int:
    """The position behind "@a,@b:" in "<@a,@b:u@d>"; -1 if it does not end. The route is not used (RFC 5321 F.2)."""
    position = 1
    while text[position : position + 1] == "@":
        found = _DOMAIN.match(text, position + 1)
        if found is None:
            return -1
        position = found.end()
        if text[position : position + 1] == ":":
            return position + 1
        if text[position : position + 1] != ",":
            return -1
        position += 1
    return -1


def _unquoted(local: str) -> str:
    return re.sub(r"\\(.)", r"\1", local[1:-1]) if local.startswith('"') else local


def _quoted(local: str) -> str:
    return '"' + re.sub(r'(["\\])', r"\\\1", local) + '"'
