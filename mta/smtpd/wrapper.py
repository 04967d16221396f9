"""TCP wrappers in front of smtpd: hosts.allow and hosts.deny are asked before anything is said, as tcpd(8) does."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.smtpd.session import UNKNOWN, Peer, Session

if TYPE_CHECKING:
    from auth.tcpwrap import AccessFiles, Request
    from mta.smtpd.connection import Connection

log = logging.getLogger("postfix.smtpd")

DAEMON: Final = "smtpd"
"""What hosts.allow calls us, whichever line of master.cf a client comes to."""


class TurnedAway(Exception):
    """The client is not to be served; it gets no greeting."""


class Wrapper:
    """hardmail_hosts_allow and hardmail_hosts_deny. Real Postfix has no libwrap: without them everybody is admitted."""

    def __init__(self, files: AccessFiles | None) -> None:
        self.files = files

    @classmethod
    def from_config(cls, config: MainConfig) -> Wrapper:
        """Read both files. Raises ConfigErrors."""
        allow, deny = config.str("hardmail_hosts_allow"), config.str("hardmail_hosts_deny")
        if not allow and not deny:
            return cls(None)
        from auth.tcpwrap import AccessFiles

        try:
            return cls(AccessFiles.of(allow, deny))
        except ValueError as error:
            where = config.where("hardmail_hosts_deny" if deny else "hardmail_hosts_allow")
            raise ConfigErrors([ConfigError(where, str(error))]) from None

    def admit(self, connection: Connection) -> None:
        """Say what the option `banners` wants said, and let the client pass. Raises TurnedAway."""
        if self.files is None:
            return
        session = connection.session
        request = request_of(session)
        decision = self.files.decide(request)
        if banner := self.files.banner(decision, request):
            connection.transport.write(banner)
        if not decision.granted:
            log.log(decision.level, "refused connect from %s", session.label)
            raise TurnedAway


def request_of(session: Session) -> Request:
    """A session as hosts_access(5) sees it."""
    from auth.tcpwrap import Host, Request

    peer = session.peer_info
    return Request(DAEMON, Host(peer.address, _name(peer)), Host(session.local[0]))


def _name(peer: Peer) -> str:
    """The confirmed name; PARANOID where the address has a name that is not known to lead back to it."""
    from auth import tcpwrap

    if peer.name != UNKNOWN:
        return peer.name
    return tcpwrap.PARANOID if peer.reverse_name != UNKNOWN else tcpwrap.UNKNOWN
