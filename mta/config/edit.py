"""postconf -e, -# and -X: main.cf and master.cf changed in place, comments and order kept."""

import os
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path

from mta.config.lines import SPACE, split_list, split_setting
from mta.config.mastercf import TYPES, overrides_of, strip_braces
from mta.config.showmaster import FIELDS, entry_line


class Edit(Enum):
    """What happens to a matching entry."""

    SET = "-e"
    COMMENT = "-#"
    REMOVE = "-X"


class EditError(ValueError):
    """A request that cannot be carried out; the file is unchanged."""


Warn = Callable[[str], None]


def edit_main(path: Path, edit: Edit, arguments: Sequence[str], warn: Warn) -> None:
    """Set, comment out or remove parameters of a main.cf. Raises EditError, OSError."""
    requests = _main_requests(edit, arguments, warn)
    found = dict.fromkeys(requests, 0)
    out, active = list[str](), False
    for line in _lines(path):
        if _is_comment(line):
            out.append(line)
            continue
        if line[0] in SPACE:
            out.extend(_rest(line, edit, active))
            continue
        name = _first_word(line)
        active = name in requests
        if not active:
            out.append(line)
            continue
        found[name] += 1
        if found[name] == 2:
            warn(f'{path}: multiple entries for "{name}"')
        out.extend([f"{name} = {requests[name]}\n"] if edit is Edit.SET else _rest(line, edit, True))
    if edit is Edit.SET:
        out.extend(f"{name} = {requests[name]}\n" for name, count in found.items() if not count)
    replace_file(path, "".join(out))


def _main_requests(edit: Edit, arguments: Sequence[str], warn: Warn) -> Mapping[str, str]:
    requests = dict[str, str]()
    for argument in arguments:
        text = _plain(argument)
        if edit is Edit.SET:
            try:
                name, value = split_setting(text)
            except ValueError as error:
                raise EditError(f'{error}: "{text}"') from error
        else:
            name, value = text.rstrip(SPACE), ""
            if not name:
                raise EditError("-X or -# requires non-blank parameter names")
            if "=" in name:
                raise EditError("-X or -# requires parameter names without value")
        if name in requests:
            warn(f"ignoring earlier request: '{name} = {requests[name]}'")
        requests[name] = value
    return requests


def edit_master(path: Path, edit: Edit, what: str, arguments: Sequence[str], warn: Warn) -> None:
    """Change master.cf. what: "entry" (name/type), "field" (name/type/field) or "parameter" (name/type/parameter).

    Raises EditError, OSError.
    """
    requests = [_MasterRequest(edit, what, argument) for argument in arguments]
    out, entry = list[str](), list[str]()

    def finish() -> None:
        if entry:
            out.extend(_edited_entry(entry, requests))
            entry.clear()

    for line in _lines(path):
        if not _is_comment(line) and line[0] not in SPACE:
            finish()
        if entry or not _is_comment(line):
            entry.append(line)
        else:
            out.append(line)
    finish()
    for request in requests:
        if request.count:
            continue
        if what == "entry" and edit is Edit.SET:
            out.append(entry_line(request.fields, fold=True) + "\n")
        elif what != "entry":
            warn(f'unmatched service_name/type: "{request.text}"')
    replace_file(path, "".join(out))


class _MasterRequest:
    def __init__(self, edit: Edit, what: str, argument: str) -> None:
        self.text, self.edit, self.what, self.count = argument, edit, what, 0
        text = _plain(argument)
        self.value = ""
        if edit is Edit.SET:
            try:
                text, self.value = split_setting(text)
            except ValueError as error:
                raise EditError(f'{error}: "{argument}"') from error
        elif "=" in text:
            raise EditError("-X or -# requires names without value")
        self.parts = text.strip(SPACE).split("/")
        if len(self.parts) != (2 if what == "entry" else 3) or not all(self.parts):
            wanted = {"entry": "-Me, -MX or -M# requires service_name/type"}
            raise EditError(wanted.get(what, f"{what} edit requires service_name/type/{what}_name"))
        self.fields = self._entry() if what == "entry" and edit is Edit.SET else []
        if what == "field" and self.parts[2] not in FIELDS:
            raise EditError(f'bad field name: "{self.parts[2]}"')
        if what == "parameter" and any(c in SPACE for c in self.value):
            raise EditError("-Pe does not accept whitespace in parameter value")

    def _entry(self) -> list[str]:
        if len(self.value.split(None, len(FIELDS))) < len(FIELDS):
            raise EditError(f'bad field count: "{self.text}"')
        fields = parse_entry(self.value)
        if fields[1] not in TYPES:
            raise EditError(f'invalid type field "{fields[1]}" in "{self.value}"')
        return fields

    def selects(self, name: str, kind: str) -> bool:
        """Whether the request is about this service, by its pattern or by the entry that it sets."""
        pattern = self.parts[0] in ("*", name) and self.parts[1] in ("*", kind)
        return pattern or (bool(self.fields) and self.fields[:2] == [name, kind])


def _edited_entry(lines: Sequence[str], requests: Sequence[_MasterRequest]) -> list[str]:
    """The lines of one master.cf entry (with the comments inside it) after all requests."""
    words = "".join(line for line in lines if not _is_comment(line)).split(None, 2)
    if len(words) < 2:
        raise EditError(f"specify service name and type on the same line: {lines[0].strip(SPACE)}")
    selected = [request for request in requests if request.selects(words[0], words[1])]
    if not selected:
        return list(lines)
    comments = [line for line in lines if _is_comment(line)]
    fields: list[str] | None = None
    for request in selected:
        request.count += 1
        if request.what == "entry":
            if request.edit is Edit.COMMENT:
                return ["#" + line if not _is_comment(line) else line for line in lines]
            if request.edit is Edit.SET and request.count == 1:
                fields = request.fields
            continue
        fields = fields or parse_entry("".join(line for line in lines if not _is_comment(line)).replace("\n", " "))
        if request.what == "field":
            _set_field(fields, FIELDS.index(request.parts[2]), request.value)
        else:
            _set_parameter(fields, request.parts[2], request.value if request.edit is Edit.SET else None)
    return [entry_line(fields, fold=True) + "\n", *comments] if fields else comments


def parse_entry(text: str) -> list[str]:
    """The words of a master.cf entry, `-o` settings normalised to name=value. Raises EditError."""
    words = text.split(None, len(FIELDS))
    if len(words) < len(FIELDS):
        raise EditError(f'{len(words)} field(s) found, need at least {len(FIELDS)}: "{text.strip(SPACE)}"')
    rest = words.pop() if len(words) > len(FIELDS) else ""
    try:
        return [*words, *normal_arguments([strip_braces(word) for word in split_list(rest, SPACE)])]
    except ValueError as error:
        raise EditError(str(error)) from error


def normal_arguments(arguments: Sequence[str]) -> list[str]:
    """Arguments with every `-o { name = value }` as the two words `-o`, `name=value`. ValueError for a bad one."""
    out, words = list[str](), iter(arguments)
    for word in words:
        out.append(word)
        if not word.startswith("-") or word == "--":
            break
        if word.startswith("-o"):
            out[-1:] = ["-o", *(f"{n}={v}" for n, v in overrides_of(["-o", word[2:] or next(words, "")]).items())]
    return [*out, *words]


def _set_field(fields: list[str], position: int, value: str) -> None:
    if position < len(FIELDS) - 1:
        if any(c in SPACE for c in value) or not value:
            raise EditError("-Fe does not accept whitespace in non-command field")
        fields[position] = value
    else:
        fields[position:] = [strip_braces(word) for word in split_list(value, SPACE)]


def _set_parameter(fields: list[str], name: str, value: str | None) -> None:
    arguments, done = fields[len(FIELDS) :], False
    kept, i = list[str](), 0
    while i < len(arguments) and arguments[i].startswith("-") and arguments[i] != "--":
        if arguments[i] == "-o" and i + 1 < len(arguments):
            if arguments[i + 1].partition("=")[0] != name:
                kept += arguments[i : i + 2]
            elif value is not None:
                kept += ["-o", f"{name}={value}"]
                done = True
            i += 2
        else:
            kept.append(arguments[i])
            i += 1
    if value is not None and not done:
        kept += ["-o", f"{name}={value}"]
    fields[len(FIELDS) :] = [*kept, *arguments[i:]]


def _plain(argument: str) -> str:
    if "\n" in argument:
        raise EditError("-e, -X, or -# accepts no multi-line input")
    text = argument.lstrip(SPACE)
    if text.startswith("#"):
        raise EditError("-e, -X, or -# accepts no comment input")
    return text


def _lines(path: Path) -> list[str]:
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    return text.splitlines(keepends=True) if "\r" not in text else [f"{line}\n" for line in text.split("\n")[:-1]]


def _is_comment(line: str) -> bool:
    return line.lstrip(SPACE)[:1] in ("", "#")


def _first_word(line: str) -> str:
    return line[: next((i for i, c in enumerate(line) if c == "=" or c in SPACE), len(line))]


def _rest(line: str, edit: Edit, active: bool) -> list[str]:
    if not active:
        return [line]
    return ["#" + line] if edit is Edit.COMMENT else []


def replace_file(path: Path, text: str) -> None:
    """Write text beside path and move it there, so a reader sees the old file or the new one, never a part."""
    temporary = path.with_name(path.name + ".tmp")
    status = path.stat()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
            file.flush()
            os.fchmod(file.fileno(), status.st_mode & 0o777)
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
