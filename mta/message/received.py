"""The Received header: who gave us the message, how and when (RFC 5321 section 4.4), in smtpd(8)'s words. Pure."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_COMMENT_UNSAFE: Final = re.compile(r"[^ -~]|[()\\]")
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(slots=True)
class Trace:
    """One hop."""

    helo: str
    name: str
    address: str
    """Numeric, with `IPv6:` in front where RFC 5321 wants it."""
    by: str
    mail_name: str
    protocol: str
    """The word after `with`: ESMTP, ESMTPSA ..."""
    queue_id: str
    recipient: str = ""
    """The only recipient in external form; empty when there are several: they may not learn of each other."""
    tls: Sequence[str] = ()
    """The lines about TLS and the client's certificate (tls.description); none without smtpd_tls_received_header."""
    authenticated: str = ""
    """The login name where smtpd_sasl_authenticated_header = yes."""


def received_header(trace: Trace, when: float) -> bytes:
    """The whole header field, folded, with CRLF at every line's end. `when` in seconds since the epoch."""
    lines = [f"Received: from {trace.helo} ({trace.name} [{trace.address}])"]
    lines += [f"\t{line}" for line in trace.tls]
    if trace.authenticated:
        lines.append(f"\t(Authenticated sender: {_COMMENT_UNSAFE.sub('?', trace.authenticated)})")
    by = f"\tby {trace.by} ({trace.mail_name}) with {trace.protocol}"
    if trace.queue_id:
        by += f" id {trace.queue_id}"
    if trace.recipient:
        lines += [by, f"\tfor <{trace.recipient}>; {mail_date(when)}"]
    else:
        lines += [f"{by};", f"\t{mail_date(when)}"]
    return ("\r\n".join(lines) + "\r\n").encode("utf-8", "surrogateescape")


def local_received_header(by: str, mail_name: str, queue_id: str, uid: int | None, when: float) -> bytes:
    """The header of mail that came by no network: from sendmail (with the caller's uid) or from the MTA itself."""
    origin = f", from userid {uid}" if uid is not None else ""
    agent = f"({mail_name}{origin})"
    return f"Received: by {by} {agent}\r\n\tid {queue_id}; {mail_date(when)}\r\n".encode("utf-8", "surrogateescape")


def mail_date(when: float) -> str:
    """`Sun, 22 Nov 2026 10:00:00 +0000 (UTC)` in local time, as Postfix writes dates (RFC 5322 section 3.3)."""
    return _mail_date(int(when))


@functools.lru_cache(maxsize=4)
def _mail_date(second: int) -> str:
    moment = time.localtime(second)
    sign = "-" if moment.tm_gmtoff < 0 else "+"
    hours, minutes = divmod(abs(moment.tm_gmtoff) // 60, 60)
    day, month = _DAYS[moment.tm_wday], _MONTHS[moment.tm_mon - 1]
    clock = f"{moment.tm_hour:02d}:{moment.tm_min:02d}:{moment.tm_sec:02d}"
    date = f"{day}, {moment.tm_mday:2d} {month} {moment.tm_year} {clock} {sign}{hours:02d}{minutes:02d}"
    return f"{date} ({moment.tm_zone})"
