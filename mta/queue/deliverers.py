"""Which delivery agent serves a transport, and with how much at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from mta.delivery.request import Agent
from mta.delivery.simple import DiscardAgent
from mta.queue.routing import SWALLOW
from mta.queue.settings import TransportSettings

logger = logging.getLogger("postfix.qmgr")


class Agents:
    """Delivery agents and settings by transport name."""

    def __init__(self, agents: Mapping[str, Agent], settings: Mapping[str, TransportSettings], fallback: Agent) -> None:
        """`fallback` is for transports that master.cf does not have: it defers (`mail transport unavailable`)."""
        self._agents = {**agents, SWALLOW: DiscardAgent("qmgr")}
        self._settings = settings
        self._fallback = fallback

    def agent(self, transport: str) -> Agent:
        found = self._agents.get(transport)
        if found is None:
            logger.warning("connect to transport private/%s: No such file or directory", transport)
        return found or self._fallback

    def settings(self, transport: str) -> TransportSettings:
        return self._settings.get(transport, TransportSettings())

    async def close(self) -> None:
        """Let go of every kept connection."""
        for agent in {id(agent): agent for agent in self._agents.values()}.values():
            await agent.close()
