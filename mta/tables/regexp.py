"""regexp: and pcre: tables: patterns with answers, as regexp_table(5) and pcre_table(5)."""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mta.config.expand import ExpandError, tokens
from mta.config.lines import SPACE
from mta.tables.base import Options, Table
from mta.tables.pattern import PatternError, compile_extended, compile_perl
from mta.tables.rulefile import Condition, Rule, RuleFile, SkipRule, open_rules, split_negation

log = logging.getLogger("postfix.tables")


@dataclass(frozen=True)
class Pattern:
    """`/pattern/flags`, compiled; wanted is False behind an odd number of `!`."""

    expression: re.Pattern[str]
    wanted: bool

    def matches(self, key: str) -> bool:
        """Whether the rule applies to the key."""
        return (self.expression.search(key) is not None) is self.wanted


Template = Sequence[tuple[bool, str]]


def parse_template(text: str) -> tuple[Template, int]:
    """A replacement text as (is $number, text) parts, and the highest number. Raises SkipRule."""
    highest, parts = 0, list[tuple[bool, str]]()
    try:
        for is_number, part in tokens(text):
            if is_number:
                if not (part.isascii() and part.isdigit()):
                    raise SkipRule(f'non-numeric replacement index "{part}"')
                if len(part) > 4 or int(part) < 1:
                    raise SkipRule(f'out of range replacement index "{part}"')
                highest = max(highest, int(part))
            parts.append((is_number, part))
    except ExpandError as error:
        raise SkipRule(f"{error}: bad replacement syntax") from error
    return parts, highest


def fill_template(template: Template, match: re.Match[str]) -> str:
    """The replacement with each $number taken from the match; a group that took no part is empty."""
    return "".join((match[int(part)] or "") if is_number else part for is_number, part in template)


class PatternFile(RuleFile):
    """The rules of a regexp: or pcre: table; the dialect is given by compile()."""

    def compile(self, pattern: str, flags: str) -> re.Pattern[str]:
        """Compile a pattern with its flag letters. Raises PatternError, SkipRule."""
        raise TypeError("compile() belongs to the table type")

    def take_pattern(self, text: str, stop: str = "") -> tuple[Pattern, str]:
        """Read `!/pattern/flags` at the start of text: the pattern and what follows. Raises SkipRule."""
        wanted, rest = split_negation(text)
        if not rest:
            raise SkipRule("no regexp")
        delimiter, end = rest[0], 1
        while end < len(rest) and rest[end] != delimiter:
            end += 2 if rest[end] == "\\" else 1
        if end >= len(rest):
            raise SkipRule(f'no closing regexp delimiter "{delimiter}"')
        after = end + 1
        while after < len(rest) and rest[after] not in SPACE + stop:
            after += 1
        try:
            expression = self.compile(rest[1:end], rest[end + 1 : after])
        except PatternError as error:
            raise SkipRule(str(error)) from error
        return Pattern(expression, wanted), rest[after:]

    def parse_condition(self, text: str) -> Condition:
        pattern, rest = self.take_pattern(text)
        if rest.strip(SPACE):
            log.warning('%s: ignoring extra text after IF statement: "%s"', self.name, rest.strip(SPACE))
        return pattern.matches

    def finish(self, line: int, pattern: Pattern, second: Pattern | None, text: str) -> Rule:
        """Make the rule whose replacement is text. Raises SkipRule."""
        if not text:
            log.warning("%s, line %d: no replacement text: using empty string", self.name, line)
        template, highest = parse_template(text)
        if highest and not pattern.wanted:
            raise SkipRule("$number found in negative match replacement text")
        if highest > pattern.expression.groups:
            raise SkipRule(f'out of range replacement index "{highest}"')
        return Rule(line, answer=_answer(pattern, second, template, highest > 0))


def _answer(
    pattern: Pattern, second: Pattern | None, template: Template, numbered: bool
) -> Callable[[str], str | None]:
    plain = "".join(part for _is_number, part in template)

    def answer(key: str) -> str | None:
        match = pattern.expression.search(key)
        if (match is not None) is not pattern.wanted or (second and not second.matches(key)):
            return None
        return fill_template(template, match) if numbered and match else plain

    return answer


class RegexpFile(PatternFile):
    """regexp: POSIX patterns; case is ignored unless the flag i says otherwise."""

    def compile(self, pattern: str, flags: str) -> re.Pattern[str]:
        options = {"i": True, "m": False, "x": True}
        for letter in flags:
            if letter not in options:
                raise SkipRule(f'unknown regexp option "{letter}"')
            options[letter] = not options[letter]
        return compile_extended(pattern, ignore_case=options["i"], newline=options["m"], basic=not options["x"])

    def parse_rule(self, text: str, line: int) -> Rule:
        if text[0].isalnum():
            raise SkipRule("ignoring unrecognized request")
        pattern, rest = self.take_pattern(text, stop="!")
        second = None
        if rest.startswith("!"):
            second, rest = self.take_pattern(rest)
        return self.finish(line, pattern, second, rest.strip(SPACE))


class PcreFile(PatternFile):
    """pcre: Perl-compatible patterns; case is ignored and `.` matches newlines unless flags say otherwise."""

    def compile(self, pattern: str, flags: str) -> re.Pattern[str]:
        options = {"i", "s"}
        for letter in flags:
            if letter not in "imsxAEUX":
                raise SkipRule(f'unknown regexp option "{letter}"')
            options ^= {letter}
        return compile_perl(pattern, "".join(sorted(options)))

    def parse_rule(self, text: str, line: int) -> Rule:
        if text[0].isalnum():
            raise SkipRule("ignoring unrecognized request")
        pattern, rest = self.take_pattern(text)
        return self.finish(line, pattern, None, rest.strip(SPACE))


def open_regexp(name: str, options: Options) -> Table:
    """regexp:/path or regexp:{ { rule } ... }. Raises SpecError."""
    return open_rules(name, options, RegexpFile)


def open_pcre(name: str, options: Options) -> Table:
    """pcre:/path or pcre:{ { rule } ... }. Raises SpecError."""
    return open_rules(name, options, PcreFile)
