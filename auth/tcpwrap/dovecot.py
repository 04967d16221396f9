"""TCP wrappers as dovecot.conf asks for them: `login_access_sockets = tcpwrap`, and hardmail's own file names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auth.tcpwrap.files import AccessFiles

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig

SOCKET: Final = "tcpwrap"
ALLOW, DENY = "/etc/hosts.allow", "/etc/hosts.deny"


def names(config: DovecotConfig) -> tuple[str, str]:
    """The files for log-in services, empty where there is none.

    Dovecot's own switch stands for the files of the system, hardmail_hosts_allow and hardmail_hosts_deny name others.
    """
    on = SOCKET in config.str("login_access_sockets").split()
    allow, deny = config.str("hardmail_hosts_allow"), config.str("hardmail_hosts_deny")
    return allow or (ALLOW if on else ""), deny or (DENY if on else "")


def access_files(config: DovecotConfig) -> AccessFiles | None:
    """The tables, or None where nobody asks for them. Raises FileError."""
    return AccessFiles.of(*names(config))
