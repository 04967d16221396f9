"""main.cf: read, checked as a whole, and handed out as typed values; syntax and meaning are postconf(5)'s."""

from __future__ import annotations

import builtins
import os
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from mta.config import expand, interfaces, values
from mta.config.errors import ConfigError, ConfigErrors, ConfigWarning, Location
from mta.config.lines import BadLine, logical_lines, split_list, split_setting
from mta.config.parameter import Kind, Parameter
from mta.config.parameters import PARAMETERS, service_parameter

# Set by the program itself; a value in main.cf is ignored.
READ_ONLY = ("process_id", "process_name", "service_name")
# Far beyond any real main.cf; a device or a mistaken path must not fill the memory.
FILE_LIMIT = 8 << 20


@dataclass(frozen=True)
class Setting:
    """One `name = value` as written, and where."""

    value: str
    where: Location


class MainConfig:
    """A main.cf: what was written, over the declared defaults, with typed access.

    Values are immutable; with_overrides() makes a view such as a master.cf line with `-o` options has.
    """

    def __init__(
        self,
        confdir: Path,
        settings: Mapping[str, Setting],
        found: Iterable[ConfigWarning] = (),
    ) -> None:
        self.confdir = confdir
        self._settings = dict(settings)
        self._settings["config_directory"] = Setting(str(confdir), Location("config_directory"))
        self.reader_warnings = tuple(found)
        self._expanded = dict[builtins.str, builtins.str]()

    @classmethod
    def load(cls, confdir: Path | str, overrides: Mapping[str, str] = MappingProxyType({})) -> MainConfig:
        """Read CONFDIR/main.cf and check every value. Raises ConfigErrors that names every mistake."""
        confdir = Path(confdir)
        config = cls(confdir, *read_settings(confdir / "main.cf"))
        if overrides:
            config = config._overridden(overrides, Location("command line"))
        if errors := config.check():
            raise ConfigErrors(errors)
        return config

    def with_overrides(self, overrides: Mapping[str, str], where: Location | None = None) -> MainConfig:
        """The same configuration with some parameters set otherwise. Raises ConfigErrors for bad values."""
        config = self._overridden(overrides, where or Location("override"))
        if errors := config.check():
            raise ConfigErrors(errors)
        return config

    def _overridden(self, overrides: Mapping[str, str], where: Location) -> MainConfig:
        added = {name: Setting(value, where) for name, value in overrides.items()}
        return MainConfig(self.confdir, {**self._settings, **added}, self.reader_warnings)

    # What was written.

    @property
    def settings(self) -> Mapping[str, Setting]:
        """Every explicit setting by name, also of user-defined names."""
        return MappingProxyType(self._settings)

    def is_set(self, name: str) -> bool:
        """Whether the parameter has an explicit value."""
        return name in self._settings

    def where(self, name: str) -> Location:
        """Where the parameter was set; main.cf as a whole when it was not."""
        setting = self._settings.get(name)
        return setting.where if setting else Location(str(self.confdir / "main.cf"))

    def raw(self, name: str) -> str | None:
        """The value as written or the declared default, references unexpanded; None for an unknown name."""
        setting = self._settings.get(name) if name not in READ_ONLY else None
        return setting.value if setting else self.default(name)

    def default(self, name: str) -> str | None:
        """The default, unexpanded; None for an unknown name. Some defaults come from the running system."""
        if name in _RUNTIME:
            return _RUNTIME[name](self)
        parameter = declared(name)
        return parameter.default if parameter else None

    # Typed access. Each raises KeyError for a name neither declared nor set.

    def str(self, name: str) -> builtins.str:
        """The value with every reference expanded; RAW parameters as written."""
        # Settings do not change, so neither does what they expand to; services ask again and again.
        expanded = self._expanded.get(name)
        if expanded is None:
            value = self.raw(name)
            if value is None:
                raise KeyError(f"unknown parameter: {name}")
            parameter = declared(name)
            expanded = value if parameter and parameter.kind is Kind.RAW else self.expand(value)
            self._expanded[name] = expanded
        return expanded

    def expand(self, text: builtins.str) -> builtins.str:
        """Text with main.cf references expanded. Raises mta.config.expand.ExpandError."""
        return expand.expand(text, self.raw)

    def bool(self, name: builtins.str) -> builtins.bool:
        """A yes/no parameter."""
        return values.boolean(self.str(name))

    def int(self, name: builtins.str) -> builtins.int:
        """A numeric parameter."""
        return values.integer(self.str(name))

    def seconds(self, name: builtins.str) -> float:
        """A time parameter in seconds; a bare number has the unit of the parameter's default."""
        parameter = declared(name)
        return float(values.seconds(self.str(name), parameter.unit if parameter else "s"))

    def list(self, name: builtins.str) -> builtins.list[builtins.str]:
        """Words separated by commas or white space; `{ ... }` holds words together, braces kept."""
        return split_list(self.str(name))

    @cached_property
    def compatibility_level(self) -> tuple[builtins.int, builtins.int, builtins.int]:
        """The level as (major, minor, patch), for comparisons."""
        return expand.compatibility_level(self.str("compatibility_level"))

    @cached_property
    def own_interfaces(self) -> builtins.list[interfaces.Interface]:
        """The addresses this system receives mail on, with their networks. ValueError when one is not local."""
        return interfaces.own_interfaces(self.list("inet_interfaces"), self.list("inet_protocols"))

    # Checks.

    def check(self) -> builtins.list[ConfigError]:
        """Every mistake in the explicit settings, in file order."""
        errors = builtins.list[ConfigError]()
        for name, setting in self._settings.items():
            if message := self._complaint(name):
                errors.append(ConfigError(setting.where, message))
        return sorted(errors, key=lambda error: (error.where.file, error.where.line))

    def _complaint(self, name: builtins.str) -> builtins.str:
        parameter = declared(name)
        if parameter is None and name not in self._restriction_classes:
            # A user-defined text is only read where a parameter mentions it, and is complained about there.
            return ""
        try:
            text = self.str(name)
            if parameter:
                check_value(parameter, text)
            match name:
                case "compatibility_level":
                    expand.compatibility_level(text)
                case "inet_protocols":
                    interfaces.protocols(split_list(text))
                case "mynetworks_style":
                    interfaces.networks(text, ())
        except ValueError as error:
            return f"parameter {name}: {error}"
        return ""

    @cached_property
    def _restriction_classes(self) -> frozenset[builtins.str]:
        try:
            return frozenset(self.list("smtpd_restriction_classes"))
        except expand.ExpandError:
            return frozenset()

    @cached_property
    def unused(self) -> builtins.list[builtins.str]:
        """Names that are set but neither declared nor used by main.cf, nor by the master.cf beside it."""
        # Imported here: master.cf and the analysis need this class.
        from mta.config.mastercf import MasterConfig
        from mta.config.usage import analyse

        try:
            services = MasterConfig.load(self.confdir)
        except ConfigErrors:
            # A missing or broken master.cf is reported by whoever needs it.
            services = MasterConfig()
        return analyse(self, services).unused_main

    @property
    def warnings(self) -> builtins.list[builtins.str]:
        """`file, line N: text` for what was read but probably not meant: overridden and unused settings."""
        unused = [
            ConfigWarning(self.where(name), f"unused parameter: {name}={self._settings[name].value}")
            for name in self.unused
        ]
        return [str(warning) for warning in (*self.reader_warnings, *unused)]


def declared(name: str) -> Parameter | None:
    """The declaration of a parameter, per-transport names such as `foo_destination_concurrency_limit` included."""
    return PARAMETERS.get(name) or service_parameter(name)


def check_value(parameter: Parameter, text: str) -> None:
    """ValueError when the expanded text is not a value of the parameter's type or lies outside its bounds."""
    match parameter.kind:
        case Kind.BOOLEAN:
            values.boolean(text)
            return
        case Kind.INTEGER:
            size = values.integer(text)
        case Kind.TIME:
            size = values.seconds(text, parameter.unit)
        case _:
            size = len(text)
    what = "string length" if parameter.kind in (Kind.TEXT, Kind.RAW) else "value"
    if parameter.minimum and size < parameter.minimum:
        raise ValueError(f"bad {what} {size} < {parameter.minimum}: {parameter.name} = {text}")
    if parameter.maximum and size > parameter.maximum:
        raise ValueError(f"bad {what} {size} > {parameter.maximum}: {parameter.name} = {text}")


def read_text(path: Path) -> str:
    """A configuration file's text, bytes that are not UTF-8 kept as surrogate escapes. Raises ConfigErrors."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_LIMIT + 1)
    except OSError as error:
        raise ConfigErrors([ConfigError(Location(str(path)), f"open: {error.strerror}")]) from error
    if len(data) > FILE_LIMIT:
        raise ConfigErrors([ConfigError(Location(str(path)), f"larger than {FILE_LIMIT} bytes")])
    return data.decode("utf-8", "surrogateescape")


def read_settings(path: Path) -> tuple[dict[str, Setting], list[ConfigWarning]]:
    """Read `name = value` lines; the last value of a name wins. Raises ConfigErrors with every syntax error."""
    settings, warnings, errors = dict[str, Setting](), list[ConfigWarning](), list[ConfigError]()
    for line in logical_lines(read_text(path).split("\n")):
        where = Location(str(path), line.number)
        if isinstance(line, BadLine):
            if line.fatal:
                errors.append(ConfigError(where, line.message))
            else:
                warnings.append(ConfigWarning(where, line.message))
            continue
        try:
            name, value = split_setting(line.text)
        except ValueError as error:
            errors.append(ConfigError(where, f'{error}: "{line.text}"'))
            continue
        earlier = settings.get(name)
        if earlier and earlier.value != value:
            warnings.append(ConfigWarning(where, f"overriding earlier entry: {name}={earlier.value}"))
        settings[name] = Setting(value, where)
    if errors:
        raise ConfigErrors(errors)
    return settings, warnings


_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


def _myhostname(config: MainConfig) -> str:
    """The system's name; a name without a dot gets `.$mydomain`, as postconf(5) says."""
    name = socket.gethostname()
    if not _HOST_NAME.fullmatch(name):
        name = "localhost"
    if "." not in name:
        domain = config.str("mydomain") if config.is_set("mydomain") else "localdomain"
        name = f"{name}.{domain}"
    return name


def _mydomain(config: MainConfig) -> str:
    host = config.str("myhostname") if config.is_set("myhostname") else _myhostname(config)
    return host.partition(".")[2] or "localdomain"


def _mynetworks(config: MainConfig) -> str:
    return interfaces.networks(config.str("mynetworks_style"), config.own_interfaces)


# Parameters whose default is found out when the program runs.
_RUNTIME: Mapping[str, Callable[[MainConfig], str]] = {
    "myhostname": _myhostname,
    "mydomain": _mydomain,
    "mynetworks": _mynetworks,
    "process_id": lambda _config: str(os.getpid()),
}
