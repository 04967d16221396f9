"""The delivery agents that master.cf asks for, by transport name."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mta.config import ConfigErrors
from mta.delivery.host.agent import HostAgent
from mta.delivery.host.forwarder import Forwarder
from mta.delivery.host.link import Remote
from mta.delivery.host.report import Deliverer, Report
from mta.delivery.request import Agent, Request
from mta.delivery.result import UNAVAILABLE, Dsn, Result, Status, log_result
from mta.delivery.simple import DiscardAgent, ErrorAgent
from mta.delivery.smtp.agent import SmtpAgent
from mta.delivery.smtp.checks import outbound_checks
from mta.delivery.smtp.client import Tools
from mta.delivery.smtp.generic import GenericMaps
from mta.delivery.smtp.sasl import SaslSettings
from mta.delivery.smtp.saslcache import Refusals
from mta.delivery.smtp.settings import ClientSettings
from mta.delivery.smtp.tlspolicy import PolicyTable
from mta.delivery.smtp.tlssettings import TlsDefaults
from mta.delivery.statusfilter import StatusFilter
from mta.tables import maps_of

if TYPE_CHECKING:
    from mta.address import Resolver
    from mta.config import MainConfig, MasterService
    from mta.dns import Resolver as DnsResolver

logger = logging.getLogger("postfix.qmgr")

ON_THIS_HOST = frozenset({"local", "virtual", "pipe"})
COMMANDS = frozenset({"smtp", "lmtp", "error", "discard"}) | ON_THIS_HOST
"""Programs of master.cf that are delivery agents here."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the agents share."""

    config: MainConfig
    resolver: Resolver
    dns: DnsResolver
    forwarder: Forwarder
    own_addresses: tuple[str, ...] = ()
    clock: Callable[[], float] = time.time


class UnavailableAgent:
    """For transports that master.cf does not define, or whose program we do not have."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock

    async def deliver(self, request: Request) -> list[Result]:
        results = request.all_same(Status.DEFERRED, Dsn("4.3.0", UNAVAILABLE), site_failure=True)
        for result in results:
            log_result(logging.getLogger("postfix.error"), request.message, result, self._clock())
        return results

    async def close(self) -> None:
        return


def build(services: Iterable[MasterService], surroundings: Surroundings) -> dict[str, Agent]:
    """An agent for each delivery service. Opens tables and reads keys: call it before the process is confined.

    Raises ConfigErrors for parameters that cannot be used.
    """
    agents: dict[str, Agent] = {}
    unavailable = UnavailableAgent(surroundings.clock)
    for service in services:
        if service.type != "unix":
            continue
        if service.command not in COMMANDS:
            continue
        config = surroundings.config
        if service.overrides:
            config = config.with_overrides(service.overrides, service.where)
        flags = frozenset("".join(word.removeprefix("flags=") for word in service.args if word.startswith("flags=")))
        agents[service.name] = _agent(service, config, surroundings, agents, unavailable, flags)
    return agents


def _agent(
    service: MasterService,
    config: MainConfig,
    surroundings: Surroundings,
    agents: Mapping[str, Agent],
    unavailable: Agent,
    flags: frozenset[str],
) -> Agent:
    clock = surroundings.clock

    def find(transport: str) -> Agent:
        return agents.get(transport, unavailable)

    match service.command:
        case "smtp":
            return smtp_agent("smtp", config, surroundings, flags)
        case "lmtp":
            return smtp_agent("lmtp", config, surroundings, flags)
        case "error":
            return ErrorAgent("error", retry=service.name == "retry", clock=clock)
        case "discard":
            return DiscardAgent("discard", clock=clock)
        case _:
            return _host_agent(service, config, surroundings, find)


class Alone:
    """A Deliverer in this very process, for a queue run in the foreground; made when there is mail for it."""

    def __init__(self, service: MasterService, config: MainConfig, surroundings: Surroundings) -> None:
        self._service, self._config, self._surroundings = service, config, surroundings
        self._made: Deliverer | None = None

    async def reports(self, request: Request) -> list[Report]:
        """See Deliverer. A line that cannot work is a transport that is not there."""
        from mta.delivery.host import build  # a daemon leaves this to a process of its own

        if self._made is None:
            service, around = self._service, self._surroundings
            try:
                self._made = build.deliverer(service, self._config, around.resolver, clock=around.clock)
            except (ConfigErrors, ValueError) as error:
                raise OSError(f"{service.where}: {error}") from error
        return await self._made.reports(request)


def _host_agent(
    service: MasterService, config: MainConfig, surroundings: Surroundings, find: Callable[[str], Agent]
) -> Agent:
    """Behind the socket of the process that may become the recipient; without one, as far as we ourselves may."""
    clock, path = surroundings.clock, Path(config.str("queue_directory"), "private", service.name)
    deliverer: Deliverer = Remote(path) if path.is_socket() else Alone(service, config, surroundings)
    chosen = status_filter(config, service.command)
    return HostAgent(service.name, service.command, deliverer, find, surroundings.forwarder, clock, chosen)


DISCARD_MAPS = {
    "smtp": "smtp_discard_ehlo_keyword_address_maps",
    "lmtp": "lmtp_discard_lhlo_keyword_address_maps",
}


STATUS_FILTERS = {
    "smtp": "smtp_delivery_status_filter",
    "lmtp": "lmtp_delivery_status_filter",
    "local": "local_delivery_status_filter",
    "virtual": "virtual_delivery_status_filter",
    "pipe": "pipe_delivery_status_filter",
}


def status_filter(config: MainConfig, program: str) -> StatusFilter | None:
    """The delivery status filter of a program. Raises ConfigErrors."""
    maps = maps_of(config, STATUS_FILTERS[program])
    return StatusFilter(maps) if maps else None


def smtp_agent(
    prefix: Literal["smtp", "lmtp"],
    config: MainConfig,
    surroundings: Surroundings,
    flags: frozenset[str] = frozenset(),
) -> SmtpAgent:
    """smtp(8) or lmtp(8) with the parameters of one master.cf line; `flags` are those of its arguments."""
    sasl = SaslSettings.from_config(config, prefix)
    policy_maps = maps_of(config, f"{prefix}_tls_policy_maps")
    per_site = maps_of(config, f"{prefix}_tls_per_site")
    tls = PolicyTable(TlsDefaults.from_config(config, prefix), policy_maps or None, per_site or None)
    tls.preload()
    generic_maps = maps_of(config, f"{prefix}_generic_maps")
    propagate = "generic" in config.list("propagate_unmatched_extensions")
    tools = Tools(
        lookups=surroundings.dns,
        tls=tls,
        sasl=sasl,
        passwords=maps_of(config, f"{prefix}_sasl_password_maps") if sasl.enabled else None,
        generic=GenericMaps(generic_maps, surroundings.resolver.search, propagate=propagate) if generic_maps else None,
        checks=outbound_checks(config, prefix),
        discard=maps_of(config, DISCARD_MAPS[prefix]) or None,
        reply_filter=maps_of(config, f"{prefix}_reply_filter") or None,
        refusals=_refusals(config, prefix, surroundings.clock),
        status_filter=status_filter(config, prefix),
        own_addresses=surroundings.own_addresses,
        clock=surroundings.clock,
    )
    return SmtpAgent(replace(ClientSettings.from_config(config, prefix), flags=flags), tools)


def _refusals(config: MainConfig, prefix: str, clock: Callable[[], float]) -> Refusals | None:
    """The name of the table switches the cache on; what it keeps stays in memory."""
    table, seconds = config.str(f"{prefix}_sasl_auth_cache_name"), config.seconds(f"{prefix}_sasl_auth_cache_time")
    return Refusals(seconds, clock) if table else None
