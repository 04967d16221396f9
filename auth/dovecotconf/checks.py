"""Checks over a whole dovecot.conf that no single value can show, in the words of Dovecot's own checks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .defaults import DEFAULT_SERVICES
from .errors import ConfigError
from .services import merged
from .view import View

if TYPE_CHECKING:
    from .config import DovecotConfig

_SINGLE = {"anvil": "anvil", "log": "log", "auth": ""}
"""Services that keep state in one process: more than one would each know a part."""


def check_all(config: DovecotConfig) -> list[ConfigError]:
    """Every fault as an error of the main file."""
    checks = (_master, _services, _databases, _namespaces, _formats)
    return [ConfigError(config.source, 0, text) for check in checks for text in check(config)]


def _master(config: DovecotConfig) -> Iterator[str]:
    if not config.listen:
        yield "listen can't be set empty"
    if not str(config.base_dir).startswith("/"):
        yield "base_dir must be an absolute path"
    known = {node.settings["protocol"].text for node in DEFAULT_SERVICES.values() if "protocol" in node.settings}
    written = {View(block).str("protocol") for block in config.root.blocks("service")}
    for protocol in config.protocols:
        if protocol not in known | written:
            yield f"protocols: Unknown protocol: {protocol}"
    last = config.int("last_valid_uid")
    if last and config.int("first_valid_uid") > last:
        yield f"first_valid_uid={config.int('first_valid_uid')} > last_valid_uid={last}"


def _services(config: DovecotConfig) -> Iterator[str]:
    for number, block in enumerate(config.root.blocks("service"), len(DEFAULT_SERVICES)):
        if not block.name:
            yield f"Service #{number} is missing name"
            continue
        node = merged(config, block.name)
        assert node is not None
        view = View(node)
        if node.name in _SINGLE and view.int("process_limit") > 1:
            yield f"service({node.name}): process_limit must be 1"
        if view.int("process_limit") and view.int("process_min_avail") > view.int("process_limit"):
            yield f"service({node.name}): process_min_avail is higher than process_limit"
        if node.name not in DEFAULT_SERVICES and not view.str("executable"):
            yield f"service({node.name}): executable is empty"
        for listener in block.children:
            if listener.kind != "inet_listener" and not (listener.name or View(listener).str("path")):
                yield f"service({node.name}): {listener.kind}: path must not be empty"


def _databases(config: DovecotConfig) -> Iterator[str]:
    for kind in ("passdb", "userdb"):
        for block in config.blocks(kind):
            if not block.str("driver"):
                yield f"{kind} is missing driver"
    for block in config.blocks("passdb"):
        if block.bool("pass") and block.str("result_success") != "return-ok":
            yield "Obsolete pass=yes setting mixed with non-default result_* settings"


def _namespaces(config: DovecotConfig) -> Iterator[str]:
    namespaces = [block for block in config.blocks("namespace") if not block.bool("disabled")]
    for block in namespaces:
        if len(block.str("separator")) > 1:
            yield f"Namespace '{block.str('prefix')}': Hierarchy separator must be only one character long"
        for other in namespaces:
            if other is block:
                break
            if other.str("prefix") == block.str("prefix"):
                yield f'namespace configuration error: Duplicate namespace prefix: "{block.str("prefix")}"'
    if sum(block.bool("inbox") for block in namespaces) > 1:
        yield "namespace configuration error: There can be only one namespace with inbox=yes"


def _formats(config: DovecotConfig) -> Iterator[str]:
    if "%" not in config.raw("pop3_uidl_format"):
        yield "pop3_uidl_format setting doesn't contain any %% variables."
