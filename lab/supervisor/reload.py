"""A reload: the next generation of services starts beside the present one, and then replaces it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from lab.supervisor.listeners import Key, Sockets
from lab.supervisor.service import Plan, Service, listeners_of, services_of
from lab.supervisor.workers import Workers

log = logging.getLogger("hardmail")


@dataclass
class Reload:
    """A reload under way.

    First the new processes start; once all of them are ready, the old ones drain. A service that must not run twice
    (`exclusive`) is the exception: its new process starts when the old one has ended.
    """

    plans: Sequence[Plan]
    generation: int
    fresh: list[Key]  # listeners that were bound for it
    waiting: list[Service]  # exclusive services whose old process is still there
    replaced: bool = False

    @classmethod
    def begin(cls, plans: Sequence[Plan], generation: int, sockets: Sockets, workers: Workers) -> Reload:
        """Bind what is new and start the new processes. Raises ListenError; nothing has then changed."""
        fresh = sockets.bind(listeners_of(plans))
        services = services_of(plans)
        for service in services:
            if not (service.exclusive or service.on_demand):
                workers.spawn(service, generation, service.workers)
        return cls(plans, generation, fresh, [service for service in services if service.exclusive])

    def ready_to_replace(self, workers: Workers) -> bool:
        """Whether every new process accepts and the old ones may go."""
        return not self.replaced and all(worker.ready for worker in workers.generation(self.generation))

    def replace(self, sockets: Sockets, workers: Workers) -> None:
        """Let the old processes drain, and close the listeners that nobody wants any more."""
        self.replaced = True
        old = [worker for worker in workers if worker.generation < self.generation]
        workers.terminate(worker for worker in old if worker.service.exclusive)
        workers.drain(worker for worker in old if not worker.service.exclusive)
        sockets.close_all_but(listeners_of(self.plans))

    def advance(self, workers: Workers) -> bool:
        """Start the exclusive services whose predecessors have gone; True when everything new serves."""
        busy = {
            worker.service.title
            for worker in workers
            if worker.service.exclusive and worker.generation < self.generation
        }
        for service in self.waiting[:]:
            if service.title not in busy:
                self.waiting.remove(service)
                workers.spawn(service, self.generation, service.workers)
        return not self.waiting and all(worker.ready for worker in workers.generation(self.generation))

    def abandon(self, sockets: Sockets, workers: Workers, reason: str) -> None:
        """Take the new processes away again; what runs goes on."""
        log.error("reload: %s", reason)
        log.error("reload: the configuration in use stays")
        workers.terminate(workers.generation(self.generation))
        sockets.close(self.fresh)
