"""postconf -M, -F and -P: how master.cf entries, fields and `-o` parameters are printed."""

from collections.abc import Iterator, Sequence

from mta.config.lines import SPACE
from mta.config.mastercf import MasterService

# Where the eight columns begin when there is room.
_COLUMNS = (0, 11, 17, 25, 33, 41, 49, 57)
FIELDS = ("service", "type", "private", "unprivileged", "chroot", "wakeup", "process_limit", "command")
LINE_LIMIT = 80
INDENT = "    "


def service_space(service: MasterService) -> str:
    """`name/type`, the name space of a service's parameters."""
    return f"{service.name}/{service.type}"


def matches(service: MasterService, pattern: str) -> bool:
    """Whether `name`, `name/type` or `name/type/...` (with * for any) selects the service."""
    name, kind = [*pattern.split("/"), "*"][:2]
    return name in ("*", service.name) and kind in ("*", service.type)


def entry_line(fields: Sequence[str], *, fold: bool) -> str:
    """A master.cf entry in columns; with fold, options with values and long lines continue on indented lines."""
    line = ""
    for text, column in zip(fields[: len(_COLUMNS)], _COLUMNS, strict=False):
        if line:
            line = (line + " ").ljust(column)
        line += text
    return _with_arguments(line, fields[len(_COLUMNS) :], fold=fold)


def field_line(service: MasterService, position: int, *, fold: bool, hide_name: bool, hide_value: bool) -> str:
    """`name/type/field = value`; the command field includes its arguments."""
    name = "" if hide_name else f"{service_space(service)}/{FIELDS[position]}"
    if hide_value:
        return name
    line = f"{name} = " if name else ""
    line += service.fields[position]
    if position == len(FIELDS) - 1:
        line = _with_arguments(line, service.fields[len(_COLUMNS) :], fold=fold)
    return line


def _with_arguments(line: str, arguments: Sequence[str], *, fold: bool) -> str:
    done, length = "", len(line)
    for text, starts_line, ends_line in _groups(arguments):
        if starts_line:
            length = LINE_LIMIT
        if fold and length > len(INDENT) and length + 1 + len(text) >= LINE_LIMIT:
            done, line = f"{done}{line}\n", INDENT + text
        else:
            line = f"{line} {text}" if line.strip(SPACE) else line + text
        length = LINE_LIMIT if ends_line else len(line)
    return done + line


def _groups(arguments: Sequence[str]) -> Iterator[tuple[str, bool, bool]]:
    """(text, begins a line when folding, ends it): an option and its value stay together, blanks get braces."""
    words, options = iter(arguments), True
    for word in words:
        options = options and word.startswith("-") and word != "--"
        value = next(words, None) if options and word == "-o" else None
        if value is not None:
            yield f"{word} {braced(value)}", True, True
        else:
            yield (word if options else braced(word)), False, False


def braced(text: str) -> str:
    """Text as one master.cf argument."""
    return f"{{{text}}}" if any(c in SPACE for c in text) else text
