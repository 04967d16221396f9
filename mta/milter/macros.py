"""The macros of MILTER_README: which are told with which event, and where their values come from."""

from __future__ import annotations

from dataclasses import dataclass

from mta.config import MainConfig
from mta.milter.protocol import Command

_PARAMETERS = {
    Command.CONNECT: "milter_connect_macros",
    Command.HELO: "milter_helo_macros",
    Command.MAIL: "milter_mail_macros",
    Command.RCPT: "milter_rcpt_macros",
    Command.DATA: "milter_data_macros",
    Command.END_OF_HEADER: "milter_end_of_header_macros",
    Command.END_OF_BODY: "milter_end_of_data_macros",
    Command.UNKNOWN: "milter_unknown_command_macros",
}


def site_values(config: MainConfig) -> dict[str, str]:
    """Macros that are the same in every session; milter_macro_defaults first, so that real values win."""
    pairs = (word.partition("=") for word in config.list("milter_macro_defaults"))
    return {bare(name): value for name, _, value in pairs} | {
        "j": config.str("myhostname"),
        "daemon_name": config.str("milter_macro_daemon_name"),
        "v": config.str("milter_macro_v"),
    }


def bare(name: str) -> str:
    """`{name}` without its braces."""
    return name[1:-1] if name.startswith("{") and name.endswith("}") else name


@dataclass(frozen=True, slots=True)
class MacroNames:
    """Names by event, and values that the site gives (milter_macro_defaults)."""

    by_event: dict[Command, tuple[str, ...]]
    daemon_name: str = ""
    version: str = ""

    @classmethod
    def from_config(cls, config: MainConfig) -> MacroNames:
        names = {event: tuple(config.list(parameter)) for event, parameter in _PARAMETERS.items()}
        return cls(names, config.str("milter_macro_daemon_name"), config.str("milter_macro_v"))

    def of(self, event: Command) -> tuple[str, ...]:
        return self.by_event.get(event, ())
