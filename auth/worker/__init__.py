"""The auth worker: the process of authentication that may keep its privileges, as Dovecot's ``service auth-worker``.

The auth process talks to the network's clients and is shut in: it may neither read /etc/shadow nor run a program. What
needs that (the drivers passwd, shadow, pam and checkpassword) is asked of the worker, over a unix socket that only the
auth service's user can open. One connection carries one question, and one forked process answers it: a PAM module that
hangs, leaks or crashes takes nobody along.
"""

DRIVERS = frozenset({"passwd", "shadow", "pam", "checkpassword"})
"""Drivers of passdb and userdb blocks that the worker answers for."""

SOCKET = "auth-worker"
"""The name of the worker's socket in base_dir."""

MESSAGE_MAX = 1 << 16
"""Octets of one question or answer."""

ANSWER_SECONDS = 60.0
"""Seconds one question may take; then the process that answers it is ended."""
