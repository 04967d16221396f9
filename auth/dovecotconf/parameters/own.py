"""Parameters of dovecot.conf that Dovecot does not have: hardmail's own, all named ``hardmail_``."""

from __future__ import annotations

from .declare import boolean

PARAMETERS = (
    boolean("hardmail_landlock", "yes", "hardmail/kernel-jail"),
    boolean("hardmail_starttls_injection", "no", "hardmail/no-starttls-injection"),
)
