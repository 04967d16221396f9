"""What a parameter declaration is: name, type, default, bounds, manual page, meaning and behaviours, said once."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

_UNIT_AT_END = re.compile(r"[0-9}]([smhdw])$")


class Kind(Enum):
    """How a value is read after expansion."""

    TEXT = "text"
    # Not expanded when read: its `$name` belongs to another moment (templates, filters).
    RAW = "raw"
    BOOLEAN = "yes or no"
    INTEGER = "number"
    TIME = "time"


@dataclass(frozen=True)
class Parameter:
    """One main.cf parameter.

    default: as it would be written in main.cf, references unexpanded.
    minimum, maximum: bounds of a number, of a time in seconds, or of a text's length; 0 means none.
    page: the manual page that describes the program using it ("smtpd.8"); all are in postconf(5).
    serves: slugs of the hardening behaviours it switches.
    """

    name: str
    kind: Kind
    default: str
    meaning: str
    page: str
    minimum: int = 0
    maximum: int = 0
    serves: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit of a bare number: `s`, `h`, `d`... for a time (the default's own unit), else empty."""
        if self.kind is not Kind.TIME:
            return ""
        match = _UNIT_AT_END.search(self.default)
        return match[1] if match else "s"


@dataclass(frozen=True)
class Section:
    """Parameters of one manual page; its methods declare one parameter each."""

    page: str

    def text(
        self, name: str, default: str, meaning: str, *, least: int = 0, most: int = 0, serves: str = ""
    ) -> Parameter:
        """A text parameter; least = 1 forbids an empty value."""
        return Parameter(name, Kind.TEXT, default, meaning, self.page, least, most, tuple(serves.split()))

    def raw(self, name: str, default: str, meaning: str, *, least: int = 0, serves: str = "") -> Parameter:
        """A text parameter whose references are not expanded when main.cf is read."""
        return Parameter(name, Kind.RAW, default, meaning, self.page, least, 0, tuple(serves.split()))

    def boolean(self, name: str, default: str, meaning: str, *, serves: str = "") -> Parameter:
        """A yes/no parameter."""
        return Parameter(name, Kind.BOOLEAN, default, meaning, self.page, 0, 0, tuple(serves.split()))

    def number(
        self, name: str, default: str, meaning: str, *, least: int = 0, most: int = 0, serves: str = ""
    ) -> Parameter:
        """A decimal parameter within bounds (inclusive; 0 means none)."""
        return Parameter(name, Kind.INTEGER, default, meaning, self.page, least, most, tuple(serves.split()))

    def time(
        self, name: str, default: str, meaning: str, *, least: int = 0, most: int = 0, serves: str = ""
    ) -> Parameter:
        """A time; bounds in seconds. A bare number takes the unit of the default."""
        return Parameter(name, Kind.TIME, default, meaning, self.page, least, most, tuple(serves.split()))


@dataclass(frozen=True)
class ClientSection:
    """Declares what SMTP and LMTP client share: `name` becomes smtp_name and lmtp_name, `{}_` in a default likewise."""

    page: str

    def _both(self, declare: Callable[..., Parameter], name: str, default: str, rest: Any) -> list[Parameter]:
        return [
            declare(f"{prefix}_{name}", default.replace("{}_", f"{prefix}_"), *rest[0], **rest[1])
            for prefix in ("smtp", "lmtp")
        ]

    def text(self, name: str, default: str, *rest: Any, **options: Any) -> list[Parameter]:
        """As Section.text, twice."""
        return self._both(Section(self.page).text, name, default, (rest, options))

    def boolean(self, name: str, default: str, *rest: Any, **options: Any) -> list[Parameter]:
        """As Section.boolean, twice."""
        return self._both(Section(self.page).boolean, name, default, (rest, options))

    def number(self, name: str, default: str, *rest: Any, **options: Any) -> list[Parameter]:
        """As Section.number, twice."""
        return self._both(Section(self.page).number, name, default, (rest, options))

    def time(self, name: str, default: str, *rest: Any, **options: Any) -> list[Parameter]:
        """As Section.time, twice."""
        return self._both(Section(self.page).time, name, default, (rest, options))
