"""Rule tables: the shape shared by cidr:, regexp: and pcre: files, `if` / `endif` and the order of rules."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mta.config.lines import SPACE, split_list
from mta.config.mastercf import strip_braces
from mta.tables.base import KEY_LIMIT, Options, SpecError, Table, TableError
from mta.tables.textfile import WatchedFile, rules

log = logging.getLogger("postfix.tables")

# Nested `if` blocks; more is a slip of the pen.
NESTING_LIMIT = 100

# Answers a key: the value, or None when the rule does not apply.
Answer = Callable[[str], str | None]
Condition = Callable[[str], bool]


@dataclass
class Rule:
    """One line of a rule table: an answer, an `if` (with where its block ends), or an `endif` (neither)."""

    line: int
    answer: Answer | None = None
    condition: Condition | None = None
    end: int = -1


class SkipRule(ValueError):
    """A rule that cannot be used; the table works on without it, as Postfix does."""


def split_keyword(text: str) -> tuple[str, str]:
    """(`if`, rest), (`endif`, rest) or ("", text), keywords in any case and not glued to letters or digits."""
    for word in ("endif", "if"):
        if text[: len(word)].lower() == word and not text[len(word) : len(word) + 1].isalnum():
            return word, text[len(word) :].strip(SPACE)
    return "", text


def split_negation(text: str) -> tuple[bool, str]:
    """Strip leading `!` and blanks: (False, rest) for an odd number of them."""
    rest = text.lstrip("!" + SPACE)
    return text[: len(text) - len(rest)].count("!") % 2 == 0, rest


class RuleFile(WatchedFile[Sequence[Rule]]):
    """A file of rules, or the rules written inline as `type:{ { rule }, { rule } }`."""

    def __init__(self, path: Path, name: str) -> None:
        super().__init__(path)
        self.name = name

    @abstractmethod
    def parse_rule(self, text: str, line: int) -> Rule:
        """Read an ordinary rule. Raises SkipRule."""

    @abstractmethod
    def parse_condition(self, text: str) -> Condition:
        """Read what follows `if`. Raises SkipRule."""

    def parse(self, text: str) -> Sequence[Rule]:
        found, stack = list[Rule](), list[Rule]()
        for line in rules(text, self.path):
            try:
                rule = self._read(line.text.strip(SPACE), line.number, len(stack))
            except SkipRule as error:
                log.warning("%s, line %d: %s: skipping this rule", self.name, line.number, error)
                continue
            if rule.condition:
                stack.append(rule)
            elif not rule.answer:
                stack.pop().end = len(found)
            found.append(rule)
        for rule in stack:
            log.warning("%s, line %d: IF has no matching ENDIF", self.name, rule.line)
        return found

    def _read(self, text: str, line: int, nesting: int) -> Rule:
        word, rest = split_keyword(text)
        if word == "if":
            if nesting >= NESTING_LIMIT:
                raise SkipRule("IF nested too deeply")
            return Rule(line, condition=self.parse_condition(rest))
        if word == "endif":
            if nesting == 0:
                raise SkipRule("ENDIF without IF")
            if rest:
                log.warning("%s, line %d: ignoring extra text after ENDIF", self.name, line)
            return Rule(line)
        return self.parse_rule(text, line)

    def evaluate(self, key: str) -> str | None:
        """The first answer; a false `if` skips to its `endif`."""
        table, i = self.content(), 0
        while i < len(table):
            rule = table[i]
            if rule.answer:
                if (value := rule.answer(key)) is not None:
                    return value
            elif rule.condition and not rule.condition(key):
                if rule.end < 0:
                    return None
                i = rule.end
            i += 1
        return None


class RuleTable(Table):
    """A cidr:, regexp: or pcre: table."""

    exact = False

    def __init__(self, name: str, source: RuleFile) -> None:
        super().__init__(name)
        self.source = source

    async def lookup(self, key: str) -> str | None:
        if len(key) > KEY_LIMIT:
            return None
        return self.source.evaluate(key)


def open_rules(name: str, options: Options, kind: Callable[[Path, str], RuleFile]) -> Table:
    """Open `type:/path`, or `type:{ { rule } ... }` with the rules in place. Raises SpecError."""
    text = name.partition(":")[2]
    if not text:
        raise SpecError(f'expecting "type:name" form instead of "{name}"')
    if text.startswith("{"):
        return RuleTable(name, _freeze(kind(Path(name), name), text))
    table = RuleTable(name, kind(Path(options.base, text), f"{name.partition(':')[0]} map {text}"))
    try:
        table.source.content()
    except TableError as error:
        log.error("%s", error)
    return table


def _freeze(source: RuleFile, text: str) -> RuleFile:
    try:
        lines = [strip_braces(word) for word in split_list(strip_braces(text))]
    except ValueError as error:
        raise SpecError(f"{source.name}: {error}") from error
    source.freeze(source.parse("\n".join(lines)))
    return source
