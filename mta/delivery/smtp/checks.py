"""smtp_header_checks, smtp_mime_header_checks, smtp_nested_header_checks and smtp_body_checks (header_checks(5)).

They change what is sent (REPLACE, PREPEND, IGNORE, STRIP), never where it goes: other actions are logged and no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mta.message import headers
from mta.message.checks import Checks, Findings, Lookup, check_body, check_fields
from mta.message.submission import Rejected
from mta.tables import TableError, maps_of

if TYPE_CHECKING:
    from mta.config import MainConfig


def outbound_checks(config: MainConfig, prefix: str) -> Checks | None:
    """The checks of one client service; None if there are none. Opens tables; raises ConfigErrors."""

    def lookup(name: str) -> Lookup | None:
        maps = maps_of(config, f"{prefix}_{name}_checks")
        return maps.lookup if maps else None

    header = lookup("header")
    checks = Checks(header, lookup("mime_header"), lookup("nested_header"), lookup("body"))
    return checks if header is not None or checks.look_inside else None


async def checked(checks: Checks, content: bytes, queue_id: str) -> bytes:
    """The message as the checks want it. Raises TableError."""
    fields, rest = headers.split(content)
    findings = Findings()
    try:
        fields = await check_fields(checks, fields, findings, queue_id)
        if rest and checks.look_inside:
            rest = await check_body(checks, fields, rest, findings, queue_id)
    except Rejected as error:
        raise TableError(str(error)) from error
    return headers.join(fields, rest)
