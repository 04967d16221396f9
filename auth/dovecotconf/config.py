"""The configuration of a Dovecot-like server: dovecot.conf read, checked, and read by name and type."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from pathlib import Path

from . import services
from .checks import check_all
from .defaults import DEFAULT_SERVICES
from .errors import ConfigError, ConfigErrors
from .filters import matches
from .reader import Reader
from .tree import FILTERS, Node
from .view import View


class DovecotConfig(View):
    """A whole configuration, or the part of it that holds for one kind of connection (see ``connection``)."""

    def __init__(
        self,
        root: Node,
        source: Path,
        warnings: builtins.list[str],
        layers: builtins.list[Node] | None = None,
        service_protocol: str = "",
    ) -> None:
        super().__init__(root, layers or [])
        self.root = root
        self.source = source
        self.warnings = warnings
        self._filters = layers or []
        self._protocol = service_protocol

    @classmethod
    def load(cls, path: str | Path, *, expand: builtins.bool = True) -> DovecotConfig:
        """Read ``path`` (dovecot.conf, or a directory that holds one). Raises ConfigErrors with every fault.

        ``expand`` false reads as ``doveconf`` without ``-x``: ``$names`` of other settings stay, files are not opened.
        """
        config = cls.read(path, expand=expand)
        faults = config.faults()
        if faults:
            raise ConfigErrors(faults)
        return config

    @classmethod
    def read(cls, path: str | Path, *, expand: builtins.bool = True) -> DovecotConfig:
        """As ``load``, but faults that only the settings together show are left to ``faults``."""
        source = Path(path)
        if source.is_dir():
            source = source / "dovecot.conf"
        reader = Reader(expand=expand)
        reader.read(source)
        if reader.errors:
            raise ConfigErrors(reader.errors)
        return cls(reader.root, source, reader.warnings)

    def faults(self) -> builtins.list[ConfigError]:
        """What is wrong with the settings as a whole."""
        return check_all(self)

    @property
    def base_dir(self) -> Path:
        """Where unix sockets live."""
        return Path(self.str("base_dir"))

    @property
    def state_dir(self) -> Path:
        """Where state that survives a restart lives."""
        return Path(self.str("state_dir"))

    @property
    def protocols(self) -> builtins.list[str]:
        """Enabled protocols; ``none`` stands for the empty list."""
        return [word for word in self.list("protocols") if word != "none"]

    @property
    def listen(self) -> builtins.list[str]:
        """Addresses to listen on, as written (``*`` and ``::`` are the wildcards)."""
        return self.str("listen").replace(",", " ").split()

    @property
    def plugins(self) -> Mapping[str, str]:
        """The settings of ``plugin { }``."""
        found: dict[str, str] = {}
        for layer in (self.root, *self._filters):
            for block in layer.blocks("plugin"):
                found |= {key: value.text for key, value in block.settings.items()}
        return found

    def plugin(self, name: str) -> str | None:
        """One setting of ``plugin { }``, None when it is not written."""
        return self.plugins.get(name)

    def protocol(self, name: str) -> DovecotConfig:
        """The configuration as one protocol sees it (``protocol imap { }`` applied)."""
        return self.connection(protocol=name)

    def connection(
        self,
        *,
        protocol: str | None = None,
        local: str | None = None,
        remote: str | None = None,
        local_name: str | None = None,
    ) -> DovecotConfig:
        """The configuration as one connection sees it; addresses are numeric, ``local_name`` the TLS server name."""
        protocol = protocol or self._protocol or None
        layers: builtins.list[Node] = []

        def descend(node: Node) -> None:
            for block in node.children:
                if block.kind in FILTERS and matches(
                    block, protocol=protocol, local=local, local_name=local_name, remote=remote
                ):
                    layers.append(block)
                    descend(block)

        descend(self.root)
        return DovecotConfig(self.root, self.source, self.warnings, layers, protocol or "")

    def resolve(self, text: str) -> str:
        """``$default_internal_user`` and its like replaced by the setting's value; other text as it is."""
        if not text.startswith("$"):
            return text
        try:
            return self.str(text[1:])
        except KeyError:
            return text

    def service(self, name: str) -> services.Service:
        """A service by name, Dovecot's default merged in. Raises KeyError when it is neither built in nor written."""
        node = services.merged(self, name)
        if node is None:
            raise KeyError(name)
        return services.build(self, node)

    def services(self) -> builtins.list[services.Service]:
        """The services that run: those of no protocol in particular, and those of the enabled ``protocols``."""
        names = [*DEFAULT_SERVICES, *(block.name for block in self.root.blocks("service"))]
        found = [self.service(name) for name in dict.fromkeys(names)]
        return [service for service in found if not service.protocol or service.protocol in self.protocols]
