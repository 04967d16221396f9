"""Services of dovecot.conf as the supervisor needs them: limits, users, and listeners with resolved paths and names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .defaults import DEFAULT_SERVICES
from .tree import Node
from .values import SIZE_MAX, unlimited
from .view import View

if TYPE_CHECKING:
    from .config import DovecotConfig


@dataclass(frozen=True, slots=True)
class UnixListener:
    """A unix socket (or named pipe). ``user``/``group``: names, "" = those of the process that binds it."""

    service: str
    path: Path
    mode: int
    user: str
    group: str
    user_explicit: bool
    group_explicit: bool
    fifo: bool = False

    @property
    def tag(self) -> str:
        """The last part of the path; a service tells its sockets apart by it."""
        return self.path.name

    @property
    def options(self) -> Mapping[str, str]:
        """What the serving process has to know of the listener; ``mode`` is in octal."""
        return {"path": str(self.path), "mode": f"{self.mode:o}"}


@dataclass(frozen=True, slots=True)
class InetListener:
    """A TCP listener on one numeric address; ``port`` is never 0 (that switches a listener off)."""

    service: str
    name: str
    address: str
    port: int
    ssl: bool
    haproxy: bool
    reuse_port: bool

    @property
    def tag(self) -> str:
        """The listener's name (``imap``, ``imaps``, ``lmtp`` ...), else the service's."""
        return self.name or self.service.removesuffix("-login")

    @property
    def options(self) -> Mapping[str, str]:
        """Settings of the listener block as words (``ssl=yes``)."""
        return {"ssl": "yes" if self.ssl else "no", "haproxy": "yes" if self.haproxy else "no"}


@dataclass(frozen=True, slots=True)
class Service:
    """A service; limits of 0 are already replaced by ``default_process_limit`` / ``default_client_limit``.

    ``vsz_limit`` octets (0: no limit), ``idle_kill`` seconds (inf: never), ``service_count`` clients per process
    (0: no limit).
    """

    name: str
    protocol: str
    type: str
    executable: str
    user: str
    user_explicit: bool
    group: str
    group_explicit: bool
    extra_groups: tuple[str, ...]
    chroot: str
    process_limit: int
    process_min_avail: int
    client_limit: int
    service_count: int
    vsz_limit: int
    idle_kill: float
    listeners: tuple[UnixListener | InetListener, ...]


def merged(config: DovecotConfig, name: str) -> Node | None:
    """The service's block with Dovecot's default underneath; None when neither exists."""
    written = config.root.find("service", name)
    default = DEFAULT_SERVICES.get(name)
    if written is None or default is None:
        return written or default
    return _overlay(default, written)


def _overlay(lower: Node, upper: Node) -> Node:
    node = Node(upper.kind, upper.name, upper.path, upper.parent, upper.file, upper.line)
    node.settings = {**lower.settings, **upper.settings}
    for block in lower.children:
        above = upper.find(block.kind, block.name)
        node.children.append(_overlay(block, above) if above is not None else block)
    node.children += [block for block in upper.children if lower.find(block.kind, block.name) is None]
    return node


def build(config: DovecotConfig, node: Node) -> Service:
    """Resolve a merged service block."""
    view = View(node)
    user, user_explicit = _name(config, node, "user")
    group, group_explicit = _name(config, node, "group")
    vsz = view.size("vsz_limit")
    return Service(
        name=node.name,
        protocol=view.str("protocol"),
        type=view.str("type"),
        executable=view.str("executable") or node.name,
        user=user,
        user_explicit=user_explicit,
        group=group,
        group_explicit=group_explicit,
        extra_groups=tuple(config.resolve(word) for word in view.list("extra_groups")),
        chroot=view.str("chroot"),
        process_limit=view.int("process_limit") or config.int("default_process_limit"),
        process_min_avail=view.int("process_min_avail"),
        client_limit=view.int("client_limit") or config.int("default_client_limit"),
        service_count=view.int("service_count"),
        vsz_limit=config.size("default_vsz_limit") if vsz == SIZE_MAX else vsz,
        idle_kill=unlimited(int(view.seconds("idle_kill"))) or config.seconds("default_idle_kill"),
        listeners=tuple(_listeners(config, node)),
    )


def _name(config: DovecotConfig, node: Node, key: str) -> tuple[str, bool]:
    """A user or group name with ``$default_...`` replaced; explicit when an administrator wrote it down somewhere."""
    value = node.settings.get(key)
    if value is None:
        return "", False
    explicit = value.line > 0 or (value.text.startswith("$") and config.is_set(value.text[1:]))
    return config.resolve(value.text), explicit


def _listeners(config: DovecotConfig, node: Node) -> Iterator[UnixListener | InetListener]:
    for block in node.children:
        view = View(block)
        if block.kind == "inet_listener":
            if view.int("port"):
                yield from _inet(config, node.name, view)
        elif view.int("mode"):
            user, user_explicit = _name(config, block, "user")
            group, group_explicit = _name(config, block, "group")
            path = config.base_dir / (view.str("path") or block.name)
            yield UnixListener(
                node.name, path, view.int("mode"), user, group, user_explicit, group_explicit,
                block.kind == "fifo_listener",
            )  # fmt: skip


def _inet(config: DovecotConfig, service: str, view: View) -> Iterator[InetListener]:
    for address in view.str("address").replace(",", " ").split() or config.listen:
        numeric = {"*": "0.0.0.0", "::": "::"}.get(address, address.strip("[]"))  # noqa: S104 - the file says so
        yield InetListener(
            service, view.name, numeric, view.int("port"), view.bool("ssl"), view.bool("haproxy"),
            view.bool("reuse_port"),
        )  # fmt: skip
