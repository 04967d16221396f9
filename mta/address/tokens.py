"""Address tokens (RFC 822 section 3.3, with % and ! as operators): text to tokens and back, nothing thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from mta.address.quoting import quote_822

# header_address_token_limit of postconf(5): what one header may cost.
TOKEN_LIMIT = 10240
_BLANK = " \t\r\n"
_OPERATORS = frozenset('|%!()<>@,;:\\".[]')
_CONTROLS = frozenset(map(chr, range(32))) | {"\x7f"}


class Kind(Enum):
    """What a token is. OPERATOR is one character; ADDRESS groups the tokens of one address."""

    OPERATOR = "operator"
    ATOM = "atom"
    QUOTED = "quoted string"
    LITERAL = "domain literal"
    COMMENT = "comment"
    ADDRESS = "address"
    GROUP = "group start"


@dataclass
class Token:
    """One token: text without quotes or brackets (comments keep their parentheses); children of an ADDRESS."""

    kind: Kind
    text: str = ""
    children: list[Token] = field(default_factory=list)

    def is_operator(self, character: str) -> bool:
        """Whether this is the given one-character operator."""
        return self.kind is Kind.OPERATOR and self.text == character


Tokens = list[Token]
_WORDS = (Kind.ATOM, Kind.QUOTED, Kind.COMMENT, Kind.LITERAL, Kind.ADDRESS)


def scan(text: str, limit: int = TOKEN_LIMIT) -> Tokens:
    """Split text into tokens, at most limit of them. Unfinished quotes, brackets and comments end with the text."""
    found, i = Tokens(), 0
    while i < len(text) and len(found) < limit:
        c = text[i]
        if c in _BLANK:
            i += 1
        elif c == "(":
            comment, i = _comment(text, i)
            found.append(Token(Kind.COMMENT, comment))
        elif c in '["':
            body, i = _collect(text, i + 1, "]" if c == "[" else '"')
            found.append(Token(Kind.LITERAL if c == "[" else Kind.QUOTED, body))
            i += 1
        elif c in _OPERATORS and c != "\\":
            found.append(Token(Kind.OPERATOR, c))
            i += 1
        else:
            body, i = _collect(text, i, "")
            found.append(_word(body))
    return found


def _word(body: str) -> Token:
    """An atom, or a quoted string when escapes put something into it that an atom cannot hold."""
    special = not (_OPERATORS.isdisjoint(body) and _CONTROLS.isdisjoint(body)) or " " in body
    return Token(Kind.QUOTED if special else Kind.ATOM, body)


def _collect(text: str, i: int, end: str) -> tuple[str, int]:
    """Text up to the end character (or, for an atom, a blank or operator), escapes resolved, line ends as blanks."""
    out = list[str]()
    while i < len(text):
        c = text[i]
        if c == "\\":
            i += 1
            if i == len(text):
                break
            c = text[i]
        elif c == end if end else (c in _BLANK or c in _OPERATORS):
            break
        out.append(" " if c in _BLANK else c)
        i += 1
    return "".join(out), i


def _comment(text: str, start: int) -> tuple[str, int]:
    """A comment with nested ones, in external form."""
    level, i = 0, start
    while i < len(text):
        c = text[i]
        i += 1
        if c == "(":
            level += 1
        elif c == ")":
            level -= 1
            if level == 0:
                break
        elif c == "\\":
            i += 1
    return text[start:i], min(i, len(text))


def internalize(tokens: Sequence[Token]) -> str:
    """Tokens as an internal address: no quotes."""
    return _join(tokens, _internal, spaced=True)


def externalize(tokens: Sequence[Token]) -> str:
    """Tokens in external form, quoted where needed."""
    return _join(tokens, _external, spaced=True)


def address_text(token: Token) -> str:
    """The internal form of an ADDRESS token. White space between its parts is gone, as `user @ domain` wants it."""
    return _join(token.children, _internal, spaced=False)


def _join(tokens: Sequence[Token], show: Callable[[Token], str], *, spaced: bool) -> str:
    out = list[str]()
    for i, token in enumerate(tokens):
        out.append(show(token))
        if spaced and i + 1 < len(tokens) and _space_between(token, tokens[i + 1]):
            out.append(" ")
    return "".join(out)


def _space_between(token: Token, following: Token) -> bool:
    if token.kind is Kind.GROUP or token.is_operator(",") or following.is_operator("<"):
        return True
    return token.kind in _WORDS and following.kind in _WORDS


def _internal(token: Token) -> str:
    match token.kind:
        case Kind.ADDRESS:
            return address_text(token)
        case Kind.LITERAL:
            return f"[{token.text}]"
        case Kind.GROUP:
            return ":"
        case _:
            return token.text


def _external(token: Token) -> str:
    match token.kind:
        case Kind.ADDRESS:
            return quote_822(address_text(token))
        case Kind.QUOTED:
            return f'"{_escape(token.text, chr(34) + chr(92) + chr(13) + chr(10))}"'
        case Kind.LITERAL:
            return f"[{_escape(token.text, chr(92) + chr(13) + chr(10))}]"
        case _:
            return _internal(token)


def _escape(text: str, special: str) -> str:
    return "".join("\\" + c if c in special else c for c in text)


def find(tokens: Iterable[Token], *operators: str) -> int:
    """Index of the first of these operators, -1 when there is none."""
    return next((i for i, token in enumerate(tokens) if token.kind is Kind.OPERATOR and token.text in operators), -1)


def find_last(tokens: Sequence[Token], *operators: str) -> int:
    """Index of the last of these operators, -1 when there is none."""
    for i in range(len(tokens) - 1, -1, -1):
        if tokens[i].kind is Kind.OPERATOR and tokens[i].text in operators:
            return i
    return -1
