"""How many clients one service of IMAP or POP3 takes, before log-in and in all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auth.dovecotconf import DovecotConfig
    from auth.dovecotconf.services import Service


@dataclass(frozen=True, slots=True)
class Capacity:
    """``strangers`` have not logged in; ``connections`` counts those and the users."""

    strangers: int
    connections: int

    @classmethod
    def from_config(cls, config: DovecotConfig, protocol: str) -> Capacity:
        """What ``service imap-login`` (``pop3-login``) and ``service imap`` (``pop3``) hold together.

        With Dovecot's defaults 100 strangers (service_count = 1: one for each log-in process) and 1024 users.
        """
        login, mail = config.service(f"{protocol}-login"), config.service(protocol)
        strangers = _clients(login)
        return cls(strangers, strangers + _clients(mail))


def _clients(service: Service) -> int:
    """Clients of all processes of a service at one time."""
    each = service.client_limit
    if service.service_count:
        each = min(each, service.service_count)
    return max(1, each * service.process_limit)
