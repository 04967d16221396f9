"""Which tables proxymap serves: those that proxy_read_maps or proxy_write_maps name with `proxy:`, and no others."""

import logging
from collections.abc import Iterable, Iterator

from mta.config import MainConfig
from mta.config.lines import split_list
from mta.config.mastercf import strip_braces

log = logging.getLogger("postfix.proxymap")

PREFIX = "proxy:"
# Who a command runs as, and which command: never asked of a process that others talk to. Programs open these tables
# themselves, so that a proxymap that has been taken over cannot choose a user for them (proxymap(8), SECURITY).
SENSITIVE = ("mailbox_command_maps", "virtual_gid_maps", "virtual_uid_maps")
# Braces in a list of tables: `{ type:name, search_order=... }`; deeper nesting is a mistake.
DEPTH_LIMIT = 5


def proxied(text: str, depth: int = 0) -> Iterator[str]:
    """The `type:name` of every `proxy:type:name` in a parameter's value."""
    for word in split_list(text):
        if word.startswith("{"):
            try:
                inner = strip_braces(word)
            except ValueError as error:
                log.warning("%s: %s", word, error)
                continue
            if depth < DEPTH_LIMIT:
                yield from proxied(inner, depth + 1)
        elif word.startswith(PREFIX) and ":" in (name := plain(word)):
            yield name


def plain(name: str) -> str:
    """A table's name without `proxy:` in front, however often it stands there."""
    while name.startswith(PREFIX):
        name = name[len(PREFIX) :]
    return name


class Approved:
    """The tables of one service, and the warning for others."""

    def __init__(self, config: MainConfig, *, write: bool) -> None:
        self.parameter = "proxy_write_maps" if write else "proxy_read_maps"
        self._way = "read-write" if write else "read-only"
        self._sensitive = frozenset(_specs(config, SENSITIVE))
        self._names = frozenset(proxied(config.str(self.parameter))) - self._sensitive

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._names))

    def refuse(self, name: str) -> None:
        """Log why a table is not served."""
        log.warning('request for unapproved table: "%s"', name)
        if name in self._sensitive:
            log.warning("%s holds security-sensitive data, which programs read themselves", name)
        else:
            wanted = f"list proxy:{name} in main.cf:{self.parameter}"
            log.warning("to approve this table for %s access, %s", self._way, wanted)


def _specs(config: MainConfig, parameters: Iterable[str]) -> Iterator[str]:
    for parameter in parameters:
        yield from proxied(config.str(parameter))
