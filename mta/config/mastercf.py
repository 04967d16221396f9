"""master.cf: which services run, with how many processes and which main.cf overrides; syntax is master(5)'s."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from mta.config.errors import ConfigError, ConfigErrors, ConfigWarning, Location
from mta.config.lines import SPACE, BadLine, LogicalLine, logical_lines, split_list, split_setting
from mta.config.maincf import MainConfig, read_text

TYPES = ("inet", "unix", "unix-dgram", "fifo", "pass")
# default_process_limit of postconf(5), where no main.cf says otherwise.
DEFAULT_PROCESS_LIMIT = 100
_LEADING_DIGITS = re.compile(r"[0-9]{1,9}")
_HOST = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[\w.-]{1,15})?|[\w-]{1,63}(\.[\w-]{1,63})*\.?")
_COLUMNS = ("service", "type", "private", "unprivileged", "chroot", "wakeup_time", "max_proc", "command")


@dataclass(frozen=True)
class MasterService:
    """One line of master.cf, defaults filled in.

    wakeup: seconds between wake-up calls, 0 for none. maxproc: process limit, 0 for none.
    args: what follows the command, braces around an argument removed; overrides: its `-o name=value` settings.
    fields: the eight columns and the arguments as written (`-` kept, outer braces of arguments removed).
    """

    name: str
    type: str
    private: bool
    unpriv: bool
    chroot: bool
    wakeup: int
    wakeup_conditional: bool
    maxproc: int
    command: str
    args: tuple[str, ...]
    overrides: Mapping[str, str]
    line: int
    file: str = "master.cf"
    fields: tuple[str, ...] = field(default=(), repr=False)

    @property
    def where(self) -> Location:
        """The place of this service in master.cf."""
        return Location(self.file, self.line)

    @property
    def endpoint(self) -> tuple[str, str]:
        """(host, port) of an inet service; the host is empty for `port` and `:port`, without brackets else."""
        return split_endpoint(self.name)


class MasterConfig(list[MasterService]):
    """The services of a master.cf, in file order; warnings: lines that were skipped."""

    def __init__(self, services: Iterable[MasterService] = (), warnings: Iterable[ConfigWarning] = ()) -> None:
        super().__init__(services)
        self.warnings = list(warnings)

    @classmethod
    def load(cls, confdir: Path | str, config: MainConfig | None = None) -> MasterConfig:
        """Read CONFDIR/master.cf. Raises ConfigErrors that names every mistake.

        config gives default_process_limit, compatibility_level and master_service_disable.
        """
        path = Path(confdir) / "master.cf"
        return cls.parse(read_text(path), str(path), config)

    @classmethod
    def parse(cls, text: str, file: str = "master.cf", config: MainConfig | None = None) -> MasterConfig:
        """Read master.cf text; file names it in messages. Raises ConfigErrors."""
        defaults = _Defaults.of(config)
        services, errors = cls(), list[ConfigError]()
        for line in logical_lines(text.split("\n")):
            where = Location(file, line.number)
            if isinstance(line, BadLine):
                if line.fatal:
                    errors.append(ConfigError(where, line.message))
                else:
                    services.warnings.append(ConfigWarning(where, line.message))
                continue
            try:
                service = _service(line, file, defaults)
            except ValueError as error:
                errors.append(ConfigError(where, str(error)))
                continue
            if not defaults.disables(service):
                services.append(service)
        if errors:
            raise ConfigErrors(errors)
        return services


@dataclass(frozen=True)
class _Defaults:
    process_limit: int = DEFAULT_PROCESS_LIMIT
    chroot: bool = False
    disabled: tuple[str, ...] = ()

    @classmethod
    def of(cls, config: MainConfig | None) -> _Defaults:
        if config is None:
            return cls()
        return cls(
            config.int("default_process_limit"),
            config.compatibility_level < (1, 0, 0),
            tuple(config.list("master_service_disable")),
        )

    def disables(self, service: MasterService) -> bool:
        """As master_service_disable in postconf(5): `name/type`, `type` or `all`, first match wins, `!` negates."""
        for pattern in self.disabled:
            negated = pattern.startswith("!")
            name, _, kind = pattern.lstrip("!").rpartition("/")
            if kind in (service.type, "all") and name in ("", service.name):
                return not negated
        return False


def _service(line: LogicalLine, file: str, defaults: _Defaults) -> MasterService:
    words = line.text.split(maxsplit=len(_COLUMNS))
    rest = words.pop() if len(words) > len(_COLUMNS) else ""
    columns = dict(zip(_COLUMNS, words, strict=False))
    kind = _text(columns, "type", "transport type")
    name = columns["service"]
    if kind not in TYPES:
        raise ValueError(f"bad transport type: {kind}")
    if kind == "inet":
        split_endpoint(name)
    private = _flag(columns, "private", True)
    if kind == "inet" and private:
        raise ValueError("inet service cannot be private")
    unprivileged = _flag(columns, "unprivileged", True)
    chroot = _flag(columns, "chroot", defaults.chroot)
    wakeup = _number(columns, "wakeup_time", 0)
    maxproc = _number(columns, "max_proc", defaults.process_limit)
    command = _text(columns, "command", "command")
    args = tuple(strip_braces(word) for word in split_list(rest, SPACE))
    return MasterService(
        name,
        kind,
        private,
        unprivileged,
        chroot,
        wakeup,
        wakeup > 0 and columns["wakeup_time"].endswith("?"),
        maxproc,
        command,
        args,
        MappingProxyType(overrides_of(args)),
        line.number,
        file,
        (*words, *args),
    )


def _column(columns: Mapping[str, str], name: str) -> str:
    value = columns.get(name)
    if value is None:
        raise ValueError(f'missing "{name}" field')
    return value


def _text(columns: Mapping[str, str], name: str, shown: str) -> str:
    if name not in columns:
        raise ValueError(f'missing "{shown}" field')
    if columns[name] == "-":
        raise ValueError(f'field "{shown}" has no default value')
    return columns[name]


def _flag(columns: Mapping[str, str], name: str, default: bool) -> bool:
    value = _column(columns, name)
    if value not in ("y", "n", "-"):
        raise ValueError(f'field "{name}": bad value: "{value}"')
    return default if value == "-" else value == "y"


def _number(columns: Mapping[str, str], name: str, default: int) -> int:
    value = _column(columns, name)
    if value == "-":
        return default
    match = _LEADING_DIGITS.match(value)
    if not match:
        raise ValueError(f'field "{name}": bad value: "{value}"')
    return int(match[0])


def overrides_of(args: Sequence[str]) -> dict[str, str]:
    """The `-o name=value` settings among a service's options. ValueError for one that is no setting."""
    settings, words = dict[str, str](), iter(args)
    for word in words:
        if not word.startswith("-") or word == "--":
            break
        if word.startswith("-o"):
            setting = word[2:] or next(words, "")
            try:
                name, value = split_setting(setting)
            except ValueError as error:
                raise ValueError(f'-o option: {error}: "{setting}"') from error
            settings[name] = value
    return settings


def strip_braces(word: str) -> str:
    """`{ text }` without the braces and the blanks inside them. ValueError when the closing brace is misplaced."""
    if not word.startswith("{"):
        return word
    level = 0
    for i, c in enumerate(word):
        level += (c == "{") - (c == "}")
        if level == 0:
            if word[i + 1 :].strip(SPACE):
                raise ValueError(f'syntax error after "}}" in "{word}"')
            return word[1:i].strip(SPACE)
    raise ValueError(f'missing "}}" in "{word}"')


def split_endpoint(name: str) -> tuple[str, str]:
    """Split `port`, `:port`, `host:port` or `[host]:port`. ValueError as host_port(3) complains."""
    if name.startswith("["):
        host, bracket, rest = name[1:].partition("]")
        if not bracket:
            raise ValueError(f'missing "]" in "{name}"')
        if rest and not rest.startswith(":"):
            raise ValueError(f'garbage after "]" in "{name}"')
        port = rest[1:]
    else:
        host, _, port = name.rpartition(":")
    if not port:
        raise ValueError(f'missing service information in "{name}"')
    if port[0].isdigit() and not re.fullmatch("[0-9]{1,5}", port):
        raise ValueError(f'garbage after numerical service in "{name}"')
    if host[:5].lower() == "ipv6:":
        host = host[5:]
    if host and not _HOST.fullmatch(host):
        raise ValueError(f'valid hostname or network address required in "{name}"')
    return host, port
