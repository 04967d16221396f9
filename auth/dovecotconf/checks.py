"""Checks over a whole dovecot.conf that no single value can show, in the words of Dovecot's own checks."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .defaults import DEFAULT_SERVICES
from .errors import ConfigError
from .services import merged
from .view import View

if TYPE_CHECKING:
    from .config import DovecotConfig

_SINGLE = ("anvil", "auth", "log")
"""Services that keep state in one process: more than one would each know a part."""

_WORKAROUNDS = {
    "imap_client_workarounds": "delay-newmail tb-extra-mailbox-sep tb-lsub-flags",
    "lmtp_client_workarounds": "whitespace-before-path mailbox-for-path",
    "pop3_client_workarounds": "outlook-no-nuls oe-ns-eoh",
    "submission_client_workarounds": "whitespace-before-path mailbox-for-path implicit-auth-external exotic-backend",
}
_FACILITIES = "auth authpriv cron daemon ftp kern lpr mail news syslog user uucp " + " ".join(
    f"local{number}" for number in range(8)
)
_SPECIAL_USES = r"\All \Archive \Drafts \Flagged \Important \Junk \Sent \Trash"
_HASHES = "md4 md5 sha1 sha256 sha384 sha512 sha3-256 sha3-512 size"


def check_all(config: DovecotConfig) -> list[ConfigError]:
    """Every fault as an error of the main file."""
    checks = (_master, _services, _databases, _namespaces, _words, _limits)
    return [ConfigError(config.source, 0, text) for check in checks for text in check(config)]


def _master(config: DovecotConfig) -> Iterator[str]:
    if not config.listen:
        yield "listen can't be set empty"
    known = {node.settings["protocol"].text for node in DEFAULT_SERVICES.values() if "protocol" in node.settings}
    written = {View(block).str("protocol") for block in config.root.blocks("service")}
    for protocol in config.protocols:
        if protocol not in known | written:
            yield f"protocols: Unknown protocol: {protocol}"
    last = config.int("last_valid_uid")
    if last and config.int("first_valid_uid") > last:
        yield "first_valid_uid can't be larger than last_valid_uid"
    if config.is_set("default_internal_user"):
        name = config.str("default_internal_user")
        try:
            pwd.getpwnam(name)
        except KeyError:
            yield f"default_internal_user doesn't exist: {name}"


def _services(config: DovecotConfig) -> Iterator[str]:
    for number, block in enumerate(config.root.blocks("service"), len(DEFAULT_SERVICES)):
        if not block.name:
            yield f"Service #{number} is missing name"
            continue
        node = merged(config, block.name)
        assert node is not None
        if node.name in _SINGLE and View(node).int("process_limit") > 1:
            yield f"service({node.name}): process_limit must be 1"
        for listener in block.children:
            if listener.kind != "inet_listener" and not (listener.name or View(listener).str("path")):
                yield f"service({node.name}): {listener.kind}: path must not be empty"


def _databases(config: DovecotConfig) -> Iterator[str]:
    for kind in ("passdb", "userdb"):
        for block in config.blocks(kind):
            if not block.str("driver"):
                yield f"{kind} is missing driver"
    if config.str("auth_policy_server_url") and not config.str("auth_policy_hash_nonce"):
        yield "auth_policy_hash_nonce must be set when policy server is used"


def _namespaces(config: DovecotConfig) -> Iterator[str]:
    for block in config.blocks("namespace"):
        if len(block.str("separator")) > 1:
            yield f"Namespace '{block.str('prefix')}': Hierarchy separator must be only one character long"
        for mailbox in block.blocks("mailbox"):
            for word in mailbox.list("special_use"):
                if word not in _SPECIAL_USES.split():
                    yield f"mailbox {mailbox.name}: unknown special_use: {word}"


def _words(config: DovecotConfig) -> Iterator[str]:
    """Settings that are lists of known words."""
    for name, known in _WORKAROUNDS.items():
        for word in config.list(name):
            if word not in known.split():
                yield f"{name}: Unknown workaround: {word}"
    for word in config.str("ssl_options").replace(",", " ").split():
        if word not in ("compression", "no_compression", "no_ticket"):
            yield f"ssl_options: unknown flag: '{word}'"
    if config.str("syslog_facility") not in _FACILITIES.split():
        yield f"Unknown syslog_facility: {config.str('syslog_facility')}"
    for name in re.findall(r"%\{([^}:]*)", config.str("mail_attachment_hash")):
        if name not in _HASHES.split():
            yield f"Invalid mail_attachment_hash setting: Unknown hash method: {name}"
    if "%" not in config.raw("pop3_uidl_format"):
        yield "pop3_uidl_format setting doesn't contain any %% variables."


def _limits(config: DovecotConfig) -> Iterator[str]:
    if not config.int("auth_worker_max_count"):
        yield "auth_worker_max_count must be above zero"
    if not config.int("mailbox_idle_check_interval"):
        yield "mailbox_idle_check_interval must not be 0"
    if config.bool("ssl_verify_client_cert") and config.str("ssl") != "no" and not config.is_set("ssl_ca"):
        yield "ssl_verify_client_cert set, but ssl_ca not"
