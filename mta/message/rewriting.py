"""Header addresses of our own clients: completed and mapped as the envelope is (local_header_rewrite_clients)."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from mta.message.headers import Field

SENDER_FIELDS: Final = frozenset(
    {
        b"from",
        b"sender",
        b"reply-to",
        b"errors-to",
        b"return-receipt-to",
        b"disposition-notification-to",
        b"mail-followup-to",
        b"resent-from",
        b"resent-sender",
        b"resent-reply-to",
    }
)
RECIPIENT_FIELDS: Final = frozenset(
    {b"to", b"cc", b"bcc", b"apparently-to", b"mail-reply-to", b"resent-to", b"resent-cc", b"resent-bcc"}
)

# Possessive: blanks may belong to what stands before a phrase or to the phrase, and a client that makes the expression
# try every division of 60,000 of them stops everybody else's mail. Groups are not: Python before 3.11.5 gets those
# wrong, and each repetition begins with a character that nothing else takes, so they cannot be divided differently.
_QUALIFIED: Final = rb"[A-Za-z0-9_=][A-Za-z0-9_+=.-]*+@(?:[A-Za-z0-9-]++\.)+[A-Za-z0-9-]++"
_MAILBOX: Final = rb'\s*+(?:(?:"[^"\\\r\n]*+" ?+|[A-Za-z0-9 _.\'-]*+)<' + _QUALIFIED + rb">|" + _QUALIFIED + rb")\s*+"
_NOTHING_TO_COMPLETE: Final = re.compile(rb"[^:]*+:" + _MAILBOX + rb"(?:," + _MAILBOX + rb")*")
_LOOK_LIMIT: Final = 100 * 1024
"""Octets of a field that the expression is tried on: header_size_limit's default; longer fields are read as lists."""

Change = Callable[[str], Awaitable[str]]
"""One address, internal form, to what it shall be."""


class AddressList(Protocol):
    """How the addresses in a header value are found and put back; phrases and comments stay."""

    async def __call__(self, value: str, change: Change) -> str | None:
        """The value with every address changed; None if all stayed as they are."""


async def rewrite_fields(
    fields: list[Field],
    addresses: AddressList,
    change_sender: Change,
    change_recipient: Change,
    only_completes: bool,
) -> list[Field]:
    """`only_completes`: no maps are involved, so a field whose addresses are all complete needs no second look."""
    output = []
    for each in fields:
        if each.name in SENDER_FIELDS:
            change = change_sender
        elif each.name in RECIPIENT_FIELDS:
            change = change_recipient
        else:
            output.append(each)
            continue
        if only_completes and len(each.octets) <= _LOOK_LIMIT and _NOTHING_TO_COMPLETE.fullmatch(each.octets):
            output.append(each)
            continue
        name, _, value = each.octets[:-2].partition(b":")
        changed = await addresses(value.replace(b"\r\n", b"\n").decode("utf-8", "surrogateescape"), change)
        if changed is None:
            output.append(each)
        else:
            text = changed.strip(" \t").replace("\n", "\r\n").encode("utf-8", "surrogateescape")
            output.append(Field(each.name, name + b": " + text + b"\r\n"))
    return output


def masquerade(address: str, domains: Sequence[str]) -> str:
    """Hide hosts behind their domain (masquerade_domains); `!domain` is left alone."""
    local, at, domain = address.rpartition("@")
    if not at:
        return address
    folded = domain.lower()
    for pattern in domains:
        exempt = pattern.startswith("!")
        parent = pattern.lstrip("!").lower()
        if folded == parent or folded.endswith("." + parent):
            return address if exempt or folded == parent else f"{local}@{domain[-len(parent) :]}"
    return address
