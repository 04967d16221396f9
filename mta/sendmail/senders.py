"""local_login_sender_maps: which envelope senders a user of this host may give (postdrop(1))."""

from __future__ import annotations

import pwd
from typing import Final

from mta.address import Extensions
from mta.config import MainConfig
from mta.queue.tool import Fatal
from mta.tables import TableError, maps_of

EVERYBODY: Final = "static:*"
"""The default: there is nothing to look up."""


async def check(config: MainConfig, sender: str, uid: int) -> None:
    """Raises Fatal for a sender, in internal form, that is not the user's. Raises ConfigErrors."""
    maps = maps_of(config, "local_login_sender_maps")
    try:
        allowed = await maps.lookup(_login(uid))
    except TableError as error:
        raise Fatal(f"local_login_sender_maps: {error}") from error
    finally:
        for table in maps.tables:
            await table.aclose()
    empty = config.str("empty_address_local_login_sender_maps_lookup_key")
    patterns = (allowed or "").replace(",", " ").split()
    if not any(_matches(pattern, sender, Extensions.of(config), empty) for pattern in patterns):
        raise Fatal(f"{sender}({uid}): not authorized to use sender='{sender}'")


def _login(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid:{uid}"


def _matches(pattern: str, sender: str, extensions: Extensions, empty: str) -> bool:
    if pattern == "*":
        return True
    if not sender:
        return pattern == empty
    local, at, domain = sender.rpartition("@")
    if pattern.startswith("@"):
        return bool(at) and domain.casefold() == pattern[1:].casefold()
    user, _ = extensions.split_local(local if at else domain)
    return f"{user}{at}{domain if at else ''}".casefold() == pattern.casefold()
