"""postconf(1): show and change configuration, with the options and output of Postfix's own."""

import getopt
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mta.config.edit import Edit, EditError, edit_main, edit_master, normal_arguments
from mta.config.errors import ConfigErrors, Location
from mta.config.expand import ExpandError, expand
from mta.config.lines import SPACE, split_setting
from mta.config.maincf import READ_ONLY, MainConfig, Setting, declared, read_settings
from mta.config.mastercf import MasterConfig, MasterService
from mta.config.parameter import Kind
from mta.config.parameters import PARAMETERS
from mta.config.parameters.transports import service_names
from mta.config.showmaster import FIELDS, INDENT, LINE_LIMIT, entry_line, field_line, matches, service_space
from mta.config.usage import Usage, analyse, known_names

USAGE = """usage: postconf [-c DIR] [-dfhHnox] [-C CLASS] [NAME ...]      show main.cf parameters
       postconf [-c DIR] -M|-F|-P [-fhHox] [SERVICE[/TYPE[/NAME]] ...]   show master.cf
       postconf [-c DIR] -e NAME=VALUE ...                           set (also -Me, -Fe, -Pe)
       postconf [-c DIR] -# NAME ... | -X NAME ...                   comment out | remove (also -M#, -MX, -PX)
       postconf -a | -A | -m | -l                                    SASL server, client, table types, locks
example: postconf -n; postconf -e 'smtpd_tls_security_level = encrypt'; postconf -x -h smtpd_banner
"""
DEFAULT_CONFDIR = "/etc/postfix"
_CLASSES = ("builtin", "service", "user", "all")
# SASL plug-ins: server and client side. "cyrus" is spoken by the SMTP client's own mechanisms.
SASL_SERVER = ("dovecot",)
SASL_CLIENT = ("cyrus",)
LOCKS = ("flock", "fcntl", "dotlock")


class UsageError(Exception):
    """Options that contradict each other or do not exist; ends with exit status 1 as postconf does."""


@dataclass
class Options:
    """The command line."""

    flags: set[str] = field(default_factory=set)
    confdir: Path = Path(DEFAULT_CONFDIR)
    classes: set[str] = field(default_factory=lambda: {"all"})
    overrides: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @classmethod
    def parse(cls, argv: Sequence[str]) -> "Options":
        """Read the command line. Raises UsageError."""
        try:
            pairs, names = getopt.getopt(list(argv), "aAc:C:deEfFhHlmMno:pPxX#v", ["help"])
        except getopt.GetoptError as error:
            raise UsageError(f"{error}\n{USAGE}") from error
        options = cls(confdir=Path(os.environ.get("MAIL_CONFIG", DEFAULT_CONFDIR)), names=names)
        for option, value in pairs:
            match option:
                case "-c":
                    options.confdir = Path(value)
                case "-C":
                    options.classes = {word.lower() for word in value.replace(",", " ").split()}
                case "-o":
                    options.overrides.append(value)
                case _:
                    options.flags.add(option.lstrip("-"))
        unknown = options.classes - set(_CLASSES)
        if unknown:
            asked = next(value for option, value in reversed(pairs) if option == "-C")
            raise UsageError(f'unknown -C option value "{unknown.pop()}" in "{asked}"')
        options._check()
        return options

    def _check(self) -> None:
        modes = self.flags & {"a", "A", "F", "l", "m", "M", "p", "P"}
        if len(modes) > 1:
            raise UsageError(f"specify one of {' '.join(f'-{mode}' for mode in sorted(modes))}")
        edits = self.flags & {"e", "#", "X"}
        if len(edits) > 1:
            raise UsageError(f"specify one of {' '.join(f'-{edit}' for edit in sorted(edits))}")
        if {"d", "n"} <= self.flags:
            raise UsageError("specify one of -d and -n")
        if not edits and self.names and "=" in self.names[0] and not modes & {"a", "A", "l", "m"}:
            self.flags.add("e")
        if self.flags & {"e", "#", "X"} and not self.names:
            raise UsageError("-e requires name=value argument" if "e" in self.flags else "missing service argument")


def main(argv: Sequence[str]) -> int:
    """Run postconf with the given arguments (without the program name); the exit status is returned."""
    sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    try:
        options = Options.parse(argv)
        if "help" in options.flags:
            sys.stdout.write(USAGE)
            return 0
        return _run(options)
    except (UsageError, EditError, ExpandError) as error:
        _complain(f"fatal: {error}")
    except ConfigErrors as errors:
        mistake = errors.errors[0]  # `hardmail check` tells all
        reason = mistake.message.removeprefix("open: ")
        opening = reason != mistake.message
        _complain(f"fatal: open {mistake.where.file}: {reason}" if opening else f"fatal: {mistake}")
    except BrokenPipeError:
        # The reader went away, as in `postconf | head`: nothing is left to say it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _complain(f"fatal: {error.filename}: {error.strerror}")
    return 1


def _complain(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"postconf: {text}\n")


def _warn(text: str) -> None:
    _complain(f"warning: {text}")


def _run(options: Options) -> int:
    flags = options.flags
    lists: Mapping[str, Callable[[], Iterable[str]]] = {
        "a": lambda: SASL_SERVER,
        "A": lambda: SASL_CLIENT,
        "l": lambda: LOCKS,
        "m": _table_types,
    }
    for letter, names in lists.items():
        if letter in flags:
            if letter == "m":
                _read_main(options)
            _print(names())
            return 0
    if edit := next((edit for edit in Edit if edit.value[1:] in flags), None):
        return _edit(options, edit)
    if flags & {"M", "F", "P"}:
        return _show_master(options)
    return _show_main(options)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{line}\n")


def _table_types() -> Iterable[str]:
    # Imported when asked: the tables need the configuration, not the other way round.
    from mta.tables.registry import TYPES

    return sorted(TYPES)


def _edit(options: Options, edit: Edit) -> int:
    what = {"M": "entry", "F": "field", "P": "parameter"}
    kind = next((name for letter, name in what.items() if letter in options.flags), "")
    if kind:
        edit_master(options.confdir / "master.cf", edit, kind, options.names, _warn)
    else:
        edit_main(options.confdir / "main.cf", edit, options.names, _warn)
    return 0


def _read_main(options: Options) -> MainConfig:
    settings, warnings = read_settings(options.confdir / "main.cf")
    for warning in warnings:
        _warn(str(warning))
    for text in options.overrides:
        try:
            name, value = split_setting(text)
        except ValueError as error:
            raise UsageError(f"invalid parameter override: {text}: {error}") from error
        settings[name] = Setting(value, Location("command line"))
    return MainConfig(options.confdir, settings)


def _read_master(options: Options, *, required: bool) -> list[MasterService]:
    path = options.confdir / "master.cf"
    if not required and not path.exists():
        _warn(f"open {path}: No such file or directory")
        return []
    services = MasterConfig.load(options.confdir)
    for warning in services.warnings:
        _warn(str(warning))
    return services


def _show_main(options: Options) -> int:
    defaults_only = "d" in options.flags
    config = MainConfig(Path(DEFAULT_CONFDIR), {}) if defaults_only else _read_main(options)
    services = _read_master(options, required=False)
    usage = Usage() if defaults_only else analyse(config, services)
    _flag_undefined(config, usage, options)
    shown = known_names(services) | set(usage.user_defined)
    for name in options.names or sorted(_of_classes(shown, usage, services, options)):
        if name not in shown:
            _warn(f"{name}: unknown parameter")
        elif (line := _main_line(name, config, options)) is not None:
            sys.stdout.write(line)
    _flag_unused(config, usage, options)
    return 0


def _of_classes(
    names: Iterable[str], usage: Usage, services: Sequence[MasterService], options: Options
) -> Iterable[str]:
    made = set().union(*(service_names(service.name, service.command) for service in services))

    def kind(name: str) -> str:
        if name in usage.user_defined:
            return "user"
        return "service" if name in made else "builtin" if name in PARAMETERS else "service"

    return (name for name in names if "all" in options.classes or kind(name) in options.classes)


def _main_line(name: str, config: MainConfig, options: Options) -> str | None:
    flags = options.flags
    if "n" in flags and not (config.is_set(name) and name not in READ_ONLY):
        return None
    value = config.raw(name) if "d" not in flags else config.default(name)
    if value is None:
        return None
    if "H" in flags:
        return f"{name}\n"
    parameter = declared(name)
    if "x" in flags and not (parameter and parameter.kind is Kind.RAW):
        lookup = config.default if "d" in flags else config.raw
        value = expand(value, lookup)
    return normal_line(value if "h" in flags else f"{name} = {value}", fold="f" in flags)


def normal_line(text: str, *, fold: bool) -> str:
    """Words separated by single blanks; with fold, lines shorter than 80 columns where words allow it."""
    out, length = "", 0
    for word in _words(text):
        if length > 0:
            if fold and length + len(word) >= LINE_LIMIT:
                out, length = f"{out}\n{INDENT}", len(INDENT)
            else:
                out, length = f"{out} ", length + 1
        out, length = out + word, length + len(word)
    return f"{out}\n"


def _words(text: str) -> list[str]:
    for blank in SPACE:
        text = text.replace(blank, " ")
    return [word for word in text.split(" ") if word]


def _flag_undefined(config: MainConfig, usage: Usage, options: Options) -> None:
    for name in usage.read_only:
        value = config.settings[name].value
        _warn(f"{options.confdir}/main.cf: read-only parameter assignment: {name}={value}")
    for name in usage.undefined_main:
        _warn(f"{options.confdir}/main.cf: undefined parameter: {name}")
    for name in usage.undefined_master:
        _warn(f"{options.confdir}/master.cf: undefined parameter: {name}")


def _flag_unused(config: MainConfig, usage: Usage, options: Options) -> None:
    for name in usage.unused_main:
        _warn(f"{options.confdir}/main.cf: unused parameter: {name}={config.raw(name)}")
    for service, name in usage.unused_master:
        _warn(f"{options.confdir}/master.cf: unused parameter: {name}={service.overrides[name]}")


def _show_master(options: Options) -> int:
    services = _read_master(options, required=True)
    config = _read_main(options)
    usage = analyse(config, services)
    _flag_undefined(config, usage, options)
    shown = [_normal(service, config if "x" in options.flags else None) for service in services]
    for pattern in options.names if "F" in options.flags else ():
        attribute = [*pattern.split("/"), "", ""][2]
        if attribute not in ("", "*", *FIELDS):
            raise UsageError(f'invalid service attribute name: "{attribute}"')
    show = {"M": _entries, "F": _fields, "P": _parameters}[next(iter(options.flags & {"M", "F", "P"}))]
    matched = set[str]()
    for service in shown:
        for pattern in options.names or ["*"]:
            if matches(service, pattern):
                lines = show(service, pattern, options)
                if lines:
                    matched.add(pattern)
                _print(lines)
    for pattern in options.names:
        if pattern not in matched:
            _warn(f'unmatched request: "{pattern}"')
    _flag_unused(config, Usage(unused_master=usage.unused_master), options)
    return 0


def _normal(service: MasterService, config: MainConfig | None) -> MasterService:
    """The service as it is shown: settings as name=value, with config expanded in the service's own scope."""
    overrides = dict(service.overrides)
    arguments = normal_arguments(service.fields[len(FIELDS) :])
    if config:

        def lookup(name: str) -> str | None:
            return service.overrides.get(name) or config.raw(name)

        overrides = {name: expand(value, lookup) for name, value in overrides.items()}
        for i, word in enumerate(arguments[:-1]):
            name = arguments[i + 1].partition("=")[0]
            if word == "-o" and name in overrides:
                arguments[i + 1] = f"{name}={overrides[name]}"
    fields = (*service.fields[: len(FIELDS)], *arguments)
    return MasterService(**{**vars(service), "overrides": overrides, "fields": fields})


def _entries(service: MasterService, _pattern: str, options: Options) -> list[str]:
    return [entry_line(service.fields, fold="f" in options.flags)]


def _fields(service: MasterService, pattern: str, options: Options) -> list[str]:
    wanted = _third(pattern)
    flags = options.flags
    return [
        field_line(service, i, fold="f" in flags, hide_name="h" in flags, hide_value="H" in flags)
        for i, name in enumerate(FIELDS)
        if wanted in ("*", name)
    ]


def _parameters(service: MasterService, pattern: str, options: Options) -> list[str]:
    wanted, lines = _third(pattern), list[str]()
    for name in sorted(service.overrides):
        if wanted in ("*", name):
            full = f"{service_space(service)}/{name}"
            value = service.overrides[name]
            text = full if "H" in options.flags else value if "h" in options.flags else f"{full} = {value}"
            lines.append(normal_line(text, fold="f" in options.flags).rstrip("\n"))
    return lines


def _third(pattern: str) -> str:
    parts = pattern.split("/")
    return parts[2] if len(parts) > 2 else "*"
