"""POSIX and Perl-compatible patterns in Python's dialect: what differs is translated, the rest is the same."""

import re
import string

# The members of POSIX bracket classes in the C locale.
_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"!-~",
    "lower": "a-z",
    "print": r" -~",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t\n\r\f\v",
    "upper": "A-Z",
    "word": "a-zA-Z0-9_",
    "xdigit": "0-9A-Fa-f",
}
_BRACKET_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")
# Perl's escapes that Python spells otherwise or does not have.
_PERL_ESCAPES = {
    "h": r"[ \t]",
    "H": r"[^ \t]",
    "R": r"(?:\r\n|[\n\v\f\r])",
    "N": r"[^\n]",
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "e": r"\x1b",
    "K": None,
    "G": None,
}
_GNU_ESCAPES = {"<": r"\b(?=\w)", ">": r"\b(?<=\w)", "`": r"\A", "'": r"\Z"}
# `(?<name>` and `(?'name'`; `(?<=` and `(?<!` look behind.
_NAMED_GROUP = re.compile(r"\(\?(?:<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')")
# Python has options in front of the whole pattern or of a group only.
_OPTION_SWITCH = re.compile(r"\(\?([imsx]+|[imsx]*-[imsx]+)\)")
# Opening brackets nested deeper than this make Python's compiler recurse too far.
_PATTERN_LIMIT = 20_000


class PatternError(ValueError):
    """A pattern that cannot be compiled."""


def compile_extended(pattern: str, *, ignore_case: bool, newline: bool, basic: bool = False) -> re.Pattern[str]:
    """A POSIX extended (or basic) regular expression, regexp_table(5). Raises PatternError.

    newline: REG_NEWLINE, `.` stops at newlines and `^`, `$` match around them. Python takes the leftmost of
    alternatives where POSIX takes the longest; that shows only in what $number holds.
    """
    source = _from_basic(pattern) if basic else pattern
    flags = (re.IGNORECASE if ignore_case else 0) | (re.MULTILINE if newline else re.DOTALL)
    return _compile(_translate(source, _GNU_ESCAPES, end="$" if newline else r"\Z", posix=True), flags)


def compile_perl(pattern: str, options: str) -> re.Pattern[str]:
    """A Perl-compatible expression with the option letters left on, pcre_table(5). Raises PatternError.

    i ignore case, m multi-line, s dot matches newline, x extended, A anchored, E `$` only at the very end,
    U ungreedy (the meaning of `*` and `*?` swapped).
    """
    flags = 0
    for letter, flag in (("i", re.IGNORECASE), ("m", re.MULTILINE), ("s", re.DOTALL), ("x", re.VERBOSE)):
        flags |= flag if letter in options else 0
    end = r"\Z" if "E" in options and "m" not in options else "$"
    source = _translate(pattern, _PERL_ESCAPES, end=end, posix=False)
    if "U" in options:
        source = _swap_greed(source)
    if "A" in options:
        source = rf"\A(?:{source})"
    return _compile(source, flags)


def _compile(source: str, flags: int) -> re.Pattern[str]:
    if len(source) > _PATTERN_LIMIT:
        raise PatternError(f"pattern is longer than {_PATTERN_LIMIT} characters")
    try:
        return re.compile(source, flags)
    except (re.error, OverflowError, RecursionError, DeprecationWarning, FutureWarning) as error:
        raise PatternError(f"error in regex: {error}") from error


def _translate(pattern: str, escapes: dict[str, str | None] | dict[str, str], *, end: str, posix: bool) -> str:
    out, i = list[str](), 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\":
            if i + 1 >= len(pattern):
                raise PatternError("trailing backslash")
            following = pattern[i + 1]
            if not posix and following == "Q":
                stop = pattern.find("\\E", i)
                stop = len(pattern) if stop < 0 else stop
                out.append(re.escape(pattern[i + 2 : stop]))
                i = stop + 2
                continue
            out.append(_escape(following, escapes, posix))
            i += 2
        elif not posix and pattern.startswith(("[[:<:]]", "[[:>:]]"), i):
            out.append(_GNU_ESCAPES[pattern[i + 3]])
            i += len("[[:<:]]")
        elif c == "[":
            text, i = _bracket(pattern, i, posix)
            out.append(text)
        elif not posix and (named := _NAMED_GROUP.match(pattern, i)):
            out.append(f"(?P<{named[1] or named[2]}>")
            i = named.end()
        elif not posix and (switch := _OPTION_SWITCH.match(pattern, i)):
            rest = _rest_of_group(pattern, switch.end(), leads=i == 0 or pattern.endswith(("(", "(?:"), 0, i))
            out.append(f"(?{switch[1]}:{_translate(rest, escapes, end=end, posix=False)})")
            i = switch.end() + len(rest)
        elif c == "$":
            out.append(end)
            i += 1
        else:
            out.append(c)
            i += 1
    return "".join(out)


def _rest_of_group(pattern: str, start: int, *, leads: bool) -> str:
    """What a `(?i)` in front of `start` is about: up to the end of its group. Raises PatternError for `a(?i)b|c`."""
    depth, i = 0, start
    while i < len(pattern) and (depth or pattern[i] != ")"):
        c = pattern[i]
        if c == "[":
            _, i = _bracket(pattern, i, False)
            continue
        if c == "|" and not depth and not leads:
            raise PatternError("options that change within an alternative are not supported")
        depth += (c == "(") - (c == ")")
        i += 2 if c == "\\" else 1
    return pattern[start:i]


def _escape(following: str, escapes: dict[str, str | None] | dict[str, str], posix: bool) -> str:
    if following in escapes:
        known = escapes[following]
        if known is None:
            raise PatternError(f"\\{following} is not supported")
        return known
    # An escaped letter without a meaning of its own stands for itself in POSIX; Python would refuse it.
    if posix and following in string.ascii_letters and following not in "wWsSbB":
        return following
    return "\\" + following if following.isascii() else re.escape(following)


def _bracket(pattern: str, start: int, posix: bool) -> tuple[str, int]:
    """Translate a bracket expression: (text, index after it). In POSIX a backslash inside is an ordinary character."""
    i = start + 1
    out = ["["]
    if pattern.startswith("^", i):
        out.append("^")
        i += 1
    first = True
    while i < len(pattern):
        c = pattern[i]
        if c == "]" and not first:
            return "".join([*out, "]"]), i + 1
        first = False
        if c == "[" and pattern.startswith(("[:", "[.", "[="), i):
            text, i = _bracket_class(pattern, i)
            out.append(text)
        elif c == "\\" and not posix and i + 1 < len(pattern):
            following = pattern[i + 1]
            out.append({"h": r" \t", "e": r"\x1b"}.get(following, "\\" + following))
            i += 2
        else:
            # Doubled set operators are reserved in Python; an escaped one is the character itself everywhere.
            out.append("\\" + c if c in "\\[&~|]" or (c == "-" and out[-1] == "-") else c)
            i += 1
    raise PatternError("missing terminating ] for character class")


def _bracket_class(pattern: str, i: int) -> tuple[str, int]:
    match = _BRACKET_CLASS.match(pattern, i)
    if match and match[2] in _CLASSES:
        if match[1]:
            raise PatternError(f"negated class {match[0]} is not supported")
        return _CLASSES[match[2]], match.end()
    kind = pattern[i + 1]
    stop = pattern.find(f"{kind}]", i + 2)
    if kind == ":" or stop < 0 or stop - i != 3:
        raise PatternError("unknown POSIX class name")
    # [.x.] and [=x=] of a single character are that character in the C locale.
    return re.escape(pattern[i + 2]), stop + 2


def _from_basic(pattern: str) -> str:
    """A basic regular expression in extended spelling: the backslash turns groups on instead of off."""
    out, i = list[str](), 0
    while i < len(pattern):
        c = pattern[i]
        if c == "\\" and i + 1 < len(pattern):
            following = pattern[i + 1]
            out.append(following if following in "(){}|+?" else "\\" + following)
            i += 2
        elif c == "[":
            end = pattern.find("]", i + 2)
            end = len(pattern) - 1 if end < 0 else end
            out.append(pattern[i : end + 1])
            i = end + 1
        else:
            out.append("\\" + c if c in "(){}|+?" else c)
            i += 1
    return "".join(out)


def _swap_greed(source: str) -> str:
    """Swap greedy and lazy repetition in a translated pattern."""
    out, i = list[str](), 0
    while i < len(source):
        c = source[i]
        if c == "\\":
            out.append(source[i : i + 2])
            i += 2
        elif c == "[":
            end = i + 1
            while end < len(source) and (source[end] != "]" or end in (i + 1,)):
                end += 2 if source[end] == "\\" else 1
            out.append(source[i : end + 1])
            i = end + 1
        else:
            repeat = re.compile(r"\{\d+(,\d*)?\}|[*+?]").match(source, i)
            is_group_mark = c == "?" and i > 0 and source[i - 1] == "("
            if repeat and not is_group_mark:
                lazy = source.startswith("?", repeat.end())
                out.append(repeat[0] + ("" if lazy else "?"))
                i = repeat.end() + lazy
            else:
                out.append(c)
                i += 1
    return "".join(out)
