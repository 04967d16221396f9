"""Who exists: the tables of users of each address class (ADDRESS_CLASS_README)."""

from __future__ import annotations

from dataclasses import dataclass

from mta.address import AddressClass, Keys
from mta.address.search import DEFAULT
from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.smtpd.access.codes import Codes
from mta.tables import Maps, SpecError, maps_of, open_table


@dataclass(frozen=True, slots=True)
class UserList:
    """Who exists in the domains of one address class."""

    maps: Maps
    code: int
    title: str
    keys: Keys = DEFAULT


def mapping(config: MainConfig) -> tuple[tuple[Maps, ...], tuple[Maps, ...]]:
    """Maps that make an address known wherever its domain is: for recipients, for senders. Raises ConfigErrors."""
    canonical, virtual = maps_of(config, "canonical_maps"), maps_of(config, "virtual_alias_maps")
    recipients = (maps_of(config, "recipient_canonical_maps"), canonical, virtual)
    senders = (*recipients, maps_of(config, "sender_canonical_maps"))
    return tuple(maps for maps in recipients if maps), tuple(maps for maps in senders if maps)


def user_lists(config: MainConfig, codes: Codes) -> dict[AddressClass, UserList]:
    """The classes whose users are listed; an empty list knows nothing and refuses nobody. Raises ConfigErrors."""
    virtual, relay = maps_of(config, "virtual_mailbox_maps"), maps_of(config, "relay_recipient_maps")
    return {
        AddressClass.LOCAL: UserList(_local_users(config), codes.unknown_local, "local recipient table"),
        AddressClass.VIRTUAL_MAILBOX: UserList(virtual, codes.unknown_virtual_mailbox, "virtual mailbox table"),
        AddressClass.RELAY: UserList(relay, codes.unknown_relay, "relay recipient table"),
    }


def _local_users(config: MainConfig) -> Maps:
    """local_recipient_maps; tables that are in alias_maps too have the format of aliases(5)."""
    aliases = {*config.list("alias_maps"), *config.list("alias_database")}
    tables, errors = [], []
    for spec in config.list("local_recipient_maps"):
        try:
            tables.append(open_table(spec, config, aliases=spec in aliases))
        except SpecError as error:
            errors.append(ConfigError(config.where("local_recipient_maps"), f"local_recipient_maps: {error}"))
    if errors:
        raise ConfigErrors(errors)
    return Maps("local_recipient_maps", tables)
