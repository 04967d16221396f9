"""`$name` expansion: the macro language of main.cf and of reply templates, as postconf(5) describes it.

$name  $(name)  ${name}     the value of a parameter; an undefined one is empty
${name?text}  ${name:text}  text when the value is not empty; when it is empty or undefined
${name?{x}:{y}}             either
${{a} == {b} ? {x} : {y}}   comparison: == != < <= >= >, numeric when both sides are digits
$$                          a dollar sign
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mta.config.lines import SPACE

# Deep enough for any real setting, shallow enough to stop `a = $b`, `b = $a` (mac_expand(3) uses the same bound).
NESTING_LIMIT = 100
# Doubling references can grow a text exponentially within the nesting limit: 1 MiB is beyond any sane parameter.
RESULT_LIMIT = 1 << 20
# Work is bounded too: `$a` that doubles an empty text sixty times would never reach the result limit.
STEP_LIMIT = 100_000

Lookup = Callable[[str], str | None]
Relation = Callable[[str, str], int]

_COMPARE: Mapping[str, Callable[[int, int], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
}
_OPERATOR_CHARACTERS = "<>!=?+-*/~&|%"
_DIGITS = frozenset("0123456789")
_NAME = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")
_COMPATIBILITY_FIELD_LIMIT = 1023


class ExpandError(ValueError):
    """A macro expression that cannot be read, or that refers to itself."""


def tokens(text: str) -> Iterator[tuple[bool, str]]:
    """Split text into (False, literal) and (True, expression) parts; raises ExpandError on an unfinished one."""
    literal: list[str] = []
    i, n = 0, len(text)
    while i < n:
        if text[i] != "$":
            end = text.find("$", i)
            end = n if end < 0 else end
            literal.append(text[i:end])
            i = end
            continue
        if text.startswith("$$", i):
            literal.append("$")
            i += 2
            continue
        if literal:
            yield False, "".join(literal)
            literal = []
        i += 1
        if i < n and text[i] in "({":
            end = _matching(text, i)
            expression, i = text[i + 1 : end], end + 1
        else:
            end = i
            while end < n and text[end] in _NAME:
                end += 1
            expression, i = text[i:end], end
        if not expression:
            raise ExpandError(f'empty macro name: "{text}"')
        yield True, expression
    if literal:
        yield False, "".join(literal)


def _matching(text: str, start: int) -> int:
    opening, closing = text[start], {"(": ")", "{": "}"}[text[start]]
    level = 0
    for i in range(start, len(text)):
        if text[i] == opening:
            level += 1
        elif text[i] == closing:
            level -= 1
            if level == 0:
                return i
    raise ExpandError(f'truncated macro reference: "{text}"')


def compare_plain(left: str, right: str) -> int:
    """Compare as numbers when both sides are digits only, otherwise as text: negative, zero or positive."""
    if left and right and _DIGITS.issuperset(left) and _DIGITS.issuperset(right):
        return _compare_digits(left.lstrip("0"), right.lstrip("0"))
    return (left > right) - (left < right)


def _compare_digits(left: str, right: str) -> int:
    a, b = (len(left), left), (len(right), right)
    return (a > b) - (a < b)


def compatibility_level(text: str) -> tuple[int, int, int]:
    """Read `major[.minor[.patch]]`; raises ExpandError when it is not a level."""
    parts = text.split(".")
    if len(parts) > 3 or not all(part and len(part) <= 9 and _DIGITS.issuperset(part) for part in parts):
        raise ExpandError(f'malformed compatibility level syntax: "{text}"')
    major, minor, patch = (int(part) for part in [*parts, "0", "0"][:3])
    if max(minor, patch) > _COMPATIBILITY_FIELD_LIMIT:
        raise ExpandError(f'malformed compatibility level syntax: "{text}"')
    return major, minor, patch


def compare_levels(left: str, right: str) -> int:
    """Compare compatibility levels, for the operators `<level`, `>=level` and so on."""
    a, b = compatibility_level(left), compatibility_level(right)
    return (a > b) - (a < b)


RELATIONS: Mapping[str, Relation] = {"": compare_plain, "level": compare_levels}


def expand(text: str, lookup: Lookup, *, recurse: bool = True, allowed: str | None = None) -> str:
    """Expand every reference in text.

    lookup gives a parameter's raw value, None when it is undefined. With recurse, values are expanded in turn.
    Without it they are copied, with characters outside `allowed` (when given) replaced by underscores: that is
    how client-controlled text enters a reply or a command. Raises ExpandError.
    """
    expansion = _Expansion(lookup, recurse, frozenset(allowed) if allowed is not None else None)
    expansion.run(text)
    return "".join(expansion.result)


def references(text: str) -> list[str]:
    """Every parameter name that text mentions, in either branch of a condition. Raises ExpandError."""
    found: list[str] = []

    def note(name: str) -> None:
        found.append(name)

    _Expansion(note, recurse=False, allowed=None, scan=True).run(text)
    return found


@dataclass
class _Expansion:
    lookup: Lookup
    recurse: bool
    allowed: frozenset[str] | None
    scan: bool = False
    result: list[str] = field(default_factory=list)
    size: int = 0
    level: int = 0
    steps: int = 0

    def run(self, text: str) -> None:
        for is_expression, part in tokens(text):
            self.steps += 1
            self.level += 1
            if self.level > NESTING_LIMIT or self.steps > STEP_LIMIT:
                raise ExpandError(f'unreasonable macro call nesting: "{part}"')
            if is_expression:
                self._expression(part)
            elif not self.scan:
                self._add(part)
            self.level -= 1

    def _add(self, text: str) -> None:
        self.size += len(text)
        if self.size > RESULT_LIMIT:
            raise ExpandError(f"expansion is longer than {RESULT_LIMIT} characters")
        self.result.append(text)

    def _expression(self, text: str) -> None:
        rest = text.lstrip(SPACE)
        if rest.startswith("{"):
            value, rest = self._relation(rest)
            if rest and rest[0] not in "?:":
                raise ExpandError(f'"?" or ":" expected at: "...}}>>>{rest[:20]}"')
        else:
            name, rest = _split_name(text)
            value = self.lookup(name)
        if not rest:
            self._use(value)
        else:
            self._branches(rest[0], rest[1:], bool(value))

    def _use(self, value: str | None) -> None:
        if not value or self.scan:
            return
        if self.recurse:
            self.run(value)
        elif self.allowed is not None:
            self._add("".join(c if c in self.allowed else "_" for c in value))
        else:
            self._add(value)

    def _branches(self, mark: str, rest: str, condition: bool) -> None:
        if mark == "?":
            chosen, rest = _operand(rest)
            if condition or self.scan:
                self.run(chosen)
            if not rest:
                return
            if rest[0] != ":":
                raise ExpandError(f'":" expected at: "...{chosen}}}>>>{rest[:20]}"')
            rest = rest[1:]
        other, rest = _operand(rest)
        if not condition or self.scan:
            self.run(other)
        if rest:
            raise ExpandError(f'unexpected input at: "...{other}}}>>>{rest[:20]}"')

    def _relation(self, text: str) -> tuple[str | None, str]:
        """Evaluate `{left} operator {right}`: ("true" or "", what follows); None when only scanning."""
        left, rest = _braced(text)
        sign = rest[: _span(rest, _OPERATOR_CHARACTERS)]
        if sign not in _COMPARE:
            wanted = '" or "'.join(_COMPARE)
            raise ExpandError(f'"{wanted}" expected at: "...{left}}}>>>{rest[:20]}"')
        rest = rest[len(sign) :]
        suffix = rest[: _span(rest, _NAME - {"_"})]
        if suffix not in RELATIONS:
            raise ExpandError(f'bad operator suffix at: "...{sign}>>>{suffix}"')
        rest = rest[len(suffix) :].lstrip(SPACE)
        if not rest.startswith("{"):
            raise ExpandError(f'"{{expression}}" expected at: "...{{{left}}} {sign}>>>{rest[:20]}"')
        right, rest = _braced(rest)
        a, b = self._operand_value(left), self._operand_value(right)
        if self.scan:
            return None, rest
        return ("true" if _COMPARE[sign](RELATIONS[suffix](a, b), 0) else ""), rest

    def _operand_value(self, text: str) -> str:
        saved, self.result = self.result, []
        self.run(text)
        value, self.result = "".join(self.result), saved
        return value


def _split_name(text: str) -> tuple[str, str]:
    """Split `name`, `name?..` or `name:..` into the name and what begins at the operator."""
    start = _span(text, SPACE)
    end = start
    while end < len(text) and text[end] in _NAME:
        end += 1
    after = end + _span(text[end:], SPACE)
    if after < len(text) and text[after] not in "?:":
        raise ExpandError(f'attribute name syntax error at: "...{text[:after]}>>>{text[after:]}"')
    return text[start:end], text[after:]


def _operand(text: str) -> tuple[str, str]:
    """The operand after ? or :, and what follows it; an operand without braces runs to the end."""
    stripped = text.lstrip(SPACE)
    return _braced(stripped) if stripped.startswith("{") else (text, "")


def _braced(text: str) -> tuple[str, str]:
    level = 0
    for i, c in enumerate(text):
        if c == "{":
            level += 1
        elif c == "}":
            level -= 1
            if level == 0:
                return text[1:i], text[i + 1 :].lstrip(SPACE)
    raise ExpandError(f'unbalanced {{}} in attribute expression: "{text}"')


def _span(text: str, characters: str | frozenset[str]) -> int:
    return next((i for i, c in enumerate(text) if c not in characters), len(text))
