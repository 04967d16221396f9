"""What the supervisor runs: services, and the instances (configuration directories) that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.sandbox.identity import Identity
from lab.supervisor.listeners import Listener
from lab.supervisor.logs import STANDARD_ERROR, LogTarget


@dataclass(frozen=True)
class Rules:
    """What the kernel lets a service touch: paths to read, paths to write, TCP connections."""

    read: tuple[Path, ...] = ()
    execute: tuple[Path, ...] = ()  # programs: readable too
    write: tuple[Path, ...] = ()
    chroot: Path | None = None
    connect: bool | frozenset[int] = False  # TCP connections: anywhere, to these ports, nowhere
    landlock: bool = True


@dataclass(frozen=True)
class Service:
    """One service of one instance: how it is entered, what it listens on, and who it runs as."""

    name: str
    entry: str  # "module:function" of a `prepare(config, sockets)`
    config: object
    listeners: tuple[Listener, ...] = ()
    workers: int = 1
    identity: Identity | None = None  # None: stay who we are
    order: int = 2  # which start first: while their processes get ready, the modules of the next are imported
    preload: tuple[str, ...] = ()  # modules that it imports only when it serves: loaded before the fork, shared
    late: tuple[str, ...] = ()  # modules that its process loads while it still can read them
    rules: Rules = Rules()
    log: LogTarget = STANDARD_ERROR
    exclusive: bool = False  # the old process must be gone before a new one starts (one queue, one manager)
    on_demand: bool = False  # starts with its first client: nobody may ever need it
    outlives: bool = False  # on stop it goes after the others, which still need its answers
    reload_limit: float | None = None  # seconds that an old process may drain after a reload; None: as long as it takes
    instance: str = ""

    @property
    def title(self) -> str:
        """The name for people: instance and service."""
        return f"{self.instance}/{self.name}" if self.instance else self.name


@dataclass(frozen=True)
class Directory:
    """A directory that must be there before the services start."""

    path: Path
    mode: int
    owner: Identity | None = None
    gid: int | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that one configuration directory asks for."""

    confdir: Path
    services: tuple[Service, ...]
    pid_files: tuple[Path, ...]
    directories: tuple[Directory, ...] = ()
    prepare: tuple[Callable[[], None], ...] = ()  # run as the supervisor, after the directories are made
    log: LogTarget = STANDARD_ERROR
    warnings: Callable[[], tuple[str, ...]] = tuple  # a function: to find them all takes a while


def services_of(plans: Iterable[Plan]) -> list[Service]:
    """The services of several plans."""
    return [service for plan in plans for service in plan.services]


def listeners_of(plans: Iterable[Plan]) -> list[Listener]:
    """The listeners of several plans."""
    return [listener for service in services_of(plans) for listener in service.listeners]
