"""Address lists as headers and envelopes hold them: phrases, comments, groups and routes around addresses."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from mta.address.tokens import TOKEN_LIMIT, Kind, Token, Tokens, address_text, externalize, scan

# Longer text is no address: RFC 5321 section 4.5.3.1 allows 256 octets of path, Postfix one line of 2048.
ARGUMENT_LIMIT = 10_000
# Non-address text that one address of a header may carry (CERT CA-2003-07 broke Sendmail with more).
NON_ADDRESS_LIMIT = 250


class AddressError(ValueError):
    """Text that is not one address."""


def parse(text: str, limit: int = TOKEN_LIMIT) -> Tokens:
    """Tokens of an address list, each address's own tokens grouped under one ADDRESS token.

    Missing commas between addresses are supplied; whatever is not understood is left where it stands.
    """
    return _Grouping(scan(text, limit)).run()


class _Grouping:
    """Right to left, because only what follows (`>`, `;`) tells what words before it mean."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens
        # Both hold tokens in reverse: done is final, pending may become an address.
        self.done: Tokens = []
        self.pending: Tokens = []

    def run(self) -> Tokens:
        word_may_follow, in_group = True, False
        i = len(self.tokens) - 1
        kept = False  # tokens[i] is in done already
        while i >= 0:
            token = self.tokens[i]
            if token.kind is Kind.COMMENT:
                self.done.append(token)
            elif token.is_operator(";"):
                self._boundary(token, kept, comma=True)
                word_may_follow = in_group = True
            elif token.is_operator(":") and in_group:
                i, kept = self._group_name(i, kept)
                continue
            elif token.is_operator(">"):
                i, kept = self._route(i, kept)
                word_may_follow = True
                continue
            elif token.kind in (Kind.ATOM, Kind.QUOTED, Kind.LITERAL):
                if not word_may_follow:
                    self._flush(comma=True)
                self.pending.append(token)
                word_may_follow = False
            elif token.is_operator(","):
                self._boundary(token, kept, comma=False)
                word_may_follow = True
            else:
                if not kept:
                    self.pending.append(token)
                word_may_follow = True
            kept = False
            i -= 1
        self._flush(comma=False)
        return self.done[::-1]

    def _flush(self, *, comma: bool) -> None:
        """Make what is pending one address; with comma, separate it from what stands before."""
        if self.pending:
            self.done.append(Token(Kind.ADDRESS, children=self.pending[::-1]))
            self.pending = []
            if comma:
                self.done.append(Token(Kind.OPERATOR, ","))

    def _boundary(self, token: Token, kept: bool, *, comma: bool) -> None:
        self._flush(comma=comma)
        if not kept:
            self.done.append(token)

    def _group_name(self, i: int, kept: bool) -> tuple[int, bool]:
        """`name: ... ;`: close the group's first address, keep the name as it is up to the comma before it."""
        self._flush(comma=False)
        if kept:
            self.done.pop()
        self.done.append(Token(Kind.GROUP, ":"))
        i -= 1
        while i >= 0 and not self.tokens[i].is_operator(","):
            self.done.append(self.tokens[i])
            i -= 1
        return i, False

    def _route(self, i: int, kept: bool) -> tuple[int, bool]:
        """`phrase <address>`: the address between the brackets, then the phrase kept as it is."""
        self._boundary(self.tokens[i], kept, comma=True)
        i -= 1
        while i >= 0 and not self.tokens[i].is_operator("<"):
            (self.done if self.tokens[i].kind is Kind.COMMENT else self.pending).append(self.tokens[i])
            i -= 1
        self._flush(comma=False)
        while i >= 0 and not (self.tokens[i].kind is Kind.OPERATOR and self.tokens[i].text in ">;,:"):
            self.done.append(self.tokens[i])
            i -= 1
        if i >= 0:
            self.done.append(self.tokens[i])
        return i, True


def addresses(tokens: Sequence[Token]) -> Iterator[Token]:
    """The ADDRESS tokens of a parsed list."""
    return (token for token in tokens if token.kind is Kind.ADDRESS)


def address_list(text: str, limit: int = TOKEN_LIMIT) -> list[str]:
    """The addresses of a list, in internal form."""
    return [address_text(token) for token in addresses(parse(text, limit))]


def map_addresses(text: str, change: Callable[[str], str], limit: int = TOKEN_LIMIT) -> str:
    """An address list with every address (internal form) replaced by change's result; the rest stays.

    Used for header rewriting: phrases, comments and groups are kept, addresses are quoted again where needed.
    """
    tokens = parse(text, limit)
    for token in addresses(tokens):
        token.children = [Token(Kind.ATOM, change(address_text(token)))]
    return write_header(tokens)


def write_header(tokens: Sequence[Token]) -> str:
    """A parsed list in external form, one address a line; too much text around an address is dropped."""
    text, current = "", Tokens()
    for token in tokens:
        if not token.is_operator(","):
            current.append(token)
            continue
        # A group's colon is followed by a blank, also before an empty address.
        blank = " " if current and current[-1].kind is Kind.GROUP else ""
        text, current = f"{text}{_shortened(current)}{blank},\n", Tokens()
    return text + _shortened(current)


def _shortened(tokens: Tokens) -> str:
    text = externalize(tokens)
    address = next(addresses(tokens), None)
    empty = any(a.is_operator("<") and b.is_operator(">") for a, b in pairwise(tokens))
    if address is None and not empty:
        return text
    shown = externalize([address]) if address else ""
    return f"<{shown}>" if len(text) - len(shown) > NON_ADDRESS_LIMIT else text


def extract_address(argument: str, *, strict: bool = False, allow_empty: bool = False) -> str:
    """The address of a MAIL FROM or RCPT TO argument, in internal form. Raises AddressError.

    Postfix is lenient here (phrases, comments, missing or doubled brackets) unless strict_rfc821_envelopes is on:
    then nothing may stand outside one pair of brackets. A source route is stripped (RFC 5321 appendix C).
    """
    if len(argument) > ARGUMENT_LIMIT:
        raise AddressError("address is too long")
    bracketed = len(argument) > 1 and argument[0] == "<" and argument[-1] == ">"
    text = argument[1:-1] if bracketed else argument
    if text.startswith("@"):
        text = text.partition(":")[2] or text
    tokens = parse(text)
    found = list(addresses(tokens))
    others = [token for token in tokens if not (token.kind is Kind.ADDRESS or token.text in ("<", ">"))]
    if len(found) > 1 or (strict and (others or not argument.startswith("<"))):
        raise AddressError("not a single address in brackets" if strict else "more than one address")
    address = address_text(found[0]) if found else ""
    if not address and not allow_empty:
        raise AddressError("empty address")
    if strict and address.startswith("@"):
        raise AddressError("source route")
    return address
