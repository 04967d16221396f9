"""The parameters of local(8), and its tables."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mta.delivery.host.mailbox import Locking
from mta.delivery.host.rights import Rights, User, user_named, user_numbered
from mta.tables import Maps, maps_of

if TYPE_CHECKING:
    from mta.config import MainConfig
    from mta.tables import Table


def locking(config: MainConfig, parameter: str) -> Locking:
    """mailbox_delivery_lock or virtual_mailbox_lock, with what both share."""
    return Locking(
        frozenset(word.lower() for word in config.list(parameter)),
        config.int("deliver_lock_attempts"),
        config.seconds("deliver_lock_delay"),
        config.seconds("stale_lock_time"),
    )


def size_limit(config: MainConfig, parameter: str) -> int:
    """mailbox_size_limit or virtual_mailbox_limit. Raises ValueError if one message may be larger."""
    limit, message = config.int(parameter), config.int("message_size_limit")
    if limit and (limit < message or not message):
        raise ValueError(f"{parameter} is smaller than message_size_limit")
    return limit


def exported(config: MainConfig) -> dict[str, str]:
    """export_environment: `NAME` is taken from this process, `NAME=value` is set."""
    import os

    found = {}
    for word in config.list("export_environment"):
        name, equals, value = word.partition("=")
        if equals:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return found


@dataclass(frozen=True, slots=True)
class AliasTable:
    """One table of alias_maps, and with whose rights its commands and files are used."""

    table: Table
    owner: Rights | None
    """None: root's, so that default_privs are used."""
    owner_known: bool = True


@dataclass(frozen=True, slots=True)
class LocalSettings:
    """Read and opened once, while the process may."""

    name: str
    """Of the service in master.cf: who resolves to it is delivered without a detour."""
    aliases: tuple[AliasTable, ...]
    mailbox_transports: Maps
    mailbox_commands: Maps
    fallback_transports: Maps
    mailbox_transport: str
    fallback_transport: str
    mailbox_command: str
    home_mailbox: str
    spool: str
    luser_relay: str
    forward_path: str
    delimiters: str
    to_commands: frozenset[str]
    """Kinds of expansion that may name a command: alias, forward, include."""
    to_files: frozenset[str]
    delivered_header: frozenset[str]
    """Deliveries with a Delivered-To header: command, file, forward."""
    propagate: frozenset[str]
    locking: Locking
    size_limit: int
    default: User
    strict_ownership: bool
    require_home: bool
    owner_special: bool
    expand_owner: bool
    reset_owner: bool
    frozen_delivered: bool
    shell: str
    directory: str
    time_limit: float
    environment: dict[str, str]
    command_characters: str
    forward_characters: str
    directory_characters: str
    line_limit: int
    duplicates: int

    @classmethod
    def from_config(cls, config: MainConfig, name: str) -> LocalSettings:
        """Raises ConfigErrors, ValueError."""

        def words(parameter: str) -> frozenset[str]:
            return frozenset(word.lower() for word in config.list(parameter))

        default = user_named(config.str("default_privs"))
        if default is None or default.rights.uid == 0:
            raise ValueError(f"default_privs: {config.str('default_privs')}: no such user, or a privileged one")
        return cls(
            name=name,
            aliases=tuple(_owned(table) for table in maps_of(config, "alias_maps", aliases=True).tables),
            mailbox_transports=maps_of(config, "mailbox_transport_maps"),
            mailbox_commands=maps_of(config, "mailbox_command_maps"),
            fallback_transports=maps_of(config, "fallback_transport_maps"),
            mailbox_transport=config.str("mailbox_transport"),
            fallback_transport=config.str("fallback_transport"),
            mailbox_command=config.str("mailbox_command"),
            home_mailbox=config.str("home_mailbox"),
            spool=config.str("mail_spool_directory"),
            luser_relay=config.str("luser_relay"),
            forward_path=config.str("forward_path"),
            delimiters=config.str("recipient_delimiter"),
            to_commands=words("allow_mail_to_commands"),
            to_files=words("allow_mail_to_files"),
            delivered_header=words("prepend_delivered_header"),
            propagate=words("propagate_unmatched_extensions"),
            locking=locking(config, "mailbox_delivery_lock"),
            size_limit=size_limit(config, "mailbox_size_limit"),
            default=default,
            strict_ownership=config.bool("strict_mailbox_ownership"),
            require_home=config.bool("require_home_directory"),
            owner_special=config.bool("owner_request_special"),
            expand_owner=config.bool("expand_owner_alias"),
            reset_owner=config.bool("reset_owner_alias"),
            frozen_delivered=config.bool("frozen_delivered_to"),
            shell=config.str("local_command_shell"),
            directory=config.str("command_execution_directory"),
            time_limit=config.seconds(
                f"{name}_time_limit" if config.raw(f"{name}_time_limit") else "command_time_limit"
            ),
            environment=exported(config),
            command_characters=config.str("command_expansion_filter"),
            forward_characters=config.str("forward_expansion_filter"),
            directory_characters=config.str("execution_directory_expansion_filter"),
            line_limit=config.int("line_length_limit"),
            duplicates=config.int("duplicate_filter_limit"),
        )


_FILE = re.compile(r"(?:proxy:)?[a-z]+:(/.+)\Z")


def _owner_uid(path: str) -> int:
    return Path(path).stat().st_uid


def _owned(table: Table) -> AliasTable:
    """Tables without a file are written in main.cf, which is root's."""
    match = _FILE.match(table.name)
    if match is None:
        return AliasTable(table, None)
    try:
        uid = _owner_uid(match[1])
    except OSError:
        return AliasTable(table, None)  # every lookup fails, until it is there
    if uid == 0:
        return AliasTable(table, None)

    owner = user_numbered(uid)
    return AliasTable(table, owner.rights if owner else None, owner is not None)
