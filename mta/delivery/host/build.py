"""A deliverer for a local, virtual or pipe line of master.cf."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mta.address import Extensions, Resolver
from mta.delivery.host.local import Local
from mta.delivery.host.localsettings import LocalSettings
from mta.delivery.host.pipe import Pipe
from mta.delivery.host.report import Deliverer
from mta.delivery.host.rights import Rights
from mta.delivery.host.virtual import Virtual, VirtualSettings

if TYPE_CHECKING:
    from mta.config import MainConfig, MasterService


def deliverer(
    service: MasterService,
    config: MainConfig,
    resolver: Resolver,
    owner: Rights | None = None,
    clock: Callable[[], float] = time.time,
) -> Deliverer:
    """`config`: with the line's overrides; `owner`: the mail system's user. Raises ConfigErrors, ValueError."""
    match service.command:
        case "local":
            settings = LocalSettings.from_config(config, service.name)
            return Local(settings, resolver, resolver.rewriter, Extensions.of(config), clock)
        case "virtual":
            return Virtual(VirtualSettings.from_config(config), resolver.search, clock)
        case _:
            return Pipe.from_service(service, config, owner, clock)
