"""Envelope recipients: canonical and virtual alias mapping, automatic copies, duplicates (canonical(5), virtual(5))."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from mta.message.submission import Rejected
from mta.queue import Notify, Recipient
from mta.tables import TableError

log = logging.getLogger("postfix.cleanup")

Find = Callable[[str], Awaitable[list[str] | None]]
"""Maps one address, in internal form, to others (mta.address.search); None when no map has it. Raises TableError."""

Rewrite = Callable[[str], str]
"""Completes an address: `user` -> `user@$myorigin` (trivial-rewrite(8))."""


@dataclass(frozen=True, slots=True)
class Limits:
    """virtual_alias_recursion_limit, virtual_alias_expansion_limit, virtual_alias_address_length_limit."""

    recursion: int = 1000
    expansion: int = 1000
    address_length: int = 1000


EXPANSION_ERROR: Final = (451, "4.6.0", "Alias expansion error")
MAPPING_PROBLEM: Final = (451, "4.3.0", "Error: queue file write error")
CANONICAL_NESTING: Final = 10
"""Canonical mapping that runs in circles stops here."""


async def map_one(address: str, find: Find) -> str:
    """canonical(5): one address in, one address out, followed until nothing changes."""
    for _ in range(CANONICAL_NESTING):
        try:
            found = await find(address)
        except TableError as error:
            log.warning("canonical map lookup problem for %s: %s", address, error)
            raise Rejected(*MAPPING_PROBLEM) from None
        if found is None:
            return address
        if len(found) != 1:
            log.warning("multi-valued canonical map entry for %s", address)
            return address
        if found[0] == address:
            return address
        address = found[0]
    log.warning("unreasonable canonical map nesting for %s", address)
    return address


async def expand_alias(address: str, find: Find, limits: Limits) -> list[str]:
    """virtual(5): one address in, any number out; an alias that names itself stays as it is. Raises Rejected.

    As cleanup(8) does it, the first result takes the place of the alias and is expanded further, the others wait at
    the end. Aliases that lead to each other in a circle exceed the nesting limit.
    """
    result = [address]
    done: set[str] = set()
    position = nesting = 0
    while position < len(result):
        current = result[position]
        found = None if current.lower() in done else await _aliases_of(current, find)
        if found is None:
            position, nesting = position + 1, 0
            continue
        nesting += 1
        if nesting > limits.recursion or any(len(each) > limits.address_length for each in found):
            log.warning("unreasonable virtual alias nesting or address length for %s", address)
            raise Rejected(*EXPANSION_ERROR)
        if len(result) + len(found) - 1 > limits.expansion:
            log.warning("unreasonable virtual alias expansion size for %s", address)
            raise Rejected(*EXPANSION_ERROR)
        result[position] = found[0]
        result += found[1:]
        if current.lower() in map(str.lower, found):
            done.add(current.lower())
    return result


async def _aliases_of(address: str, find: Find) -> list[str] | None:
    try:
        return await find(address) or None
    except TableError as error:
        log.warning("virtual alias map lookup problem for %s: %s", address, error)
        raise Rejected(*MAPPING_PROBLEM) from None


def copies(addresses: Iterable[str], rewrite: Rewrite) -> list[Recipient]:
    """Recipients of automatic copies; nobody is told what became of those (NOTIFY=NEVER)."""
    return [Recipient(full, full, f"rfc822;{full}", Notify.NEVER) for full in map(rewrite, addresses)]


def without_duplicates(recipients: Iterable[Recipient], by_original: bool, limit: int) -> list[Recipient]:
    """Each recipient once; with `by_original` (enable_original_recipient) once for each address that led to it.

    At most `limit` recipients are remembered (duplicate_filter_limit), so memory is bounded; later ones pass.
    """
    recipients = list(recipients)
    if len(recipients) == 1:
        return recipients
    seen: set[tuple[object, ...]] = set()
    kept = []
    for recipient in recipients:
        if by_original:
            key: tuple[object, ...] = (
                recipient.orcpt.lower(),
                recipient.notify,
                recipient.original.lower(),
                recipient.address.lower(),
            )
        else:
            key = (recipient.address.lower(),)
        if key in seen:
            continue
        if len(seen) < limit:
            seen.add(key)
        kept.append(recipient)
    return kept


def redirected(recipients: Iterable[Recipient], address: str) -> list[Recipient]:
    """REDIRECT: every recipient is replaced, the original stays known."""
    return [replace(recipient, address=address) for recipient in recipients]
