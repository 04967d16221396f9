"""Address classes by domain: local, virtual alias, virtual mailbox, relay and everything else."""

import ipaddress
import logging
from enum import StrEnum

from mta.address.hostname import mailhost_address
from mta.address.matchlist import domain_list, string_list
from mta.config import MainConfig

log = logging.getLogger("postfix.resolve")


class AddressClass(StrEnum):
    """The five classes of ADDRESS_CLASS_README."""

    LOCAL = "local"
    VIRTUAL_ALIAS = "virtual_alias"
    VIRTUAL_MAILBOX = "virtual_mailbox"
    RELAY = "relay"
    DEFAULT = "default"


class Domains:
    """The domain lists of main.cf, asked in Postfix's order. Its methods raise TableError."""

    def __init__(self, config: MainConfig) -> None:
        self.mydestination = string_list(config, "mydestination")
        self.virtual_alias = string_list(config, "virtual_alias_domains")
        self.virtual_mailbox = string_list(config, "virtual_mailbox_domains")
        self.relay = domain_list(config, "relay_domains")
        self.myorigin = config.str("myorigin").lower()
        self.own_addresses = _own_addresses(config)

    async def is_local(self, domain: str) -> bool:
        """Whether a domain is in mydestination, or an address literal is one of this host's own addresses."""
        name = domain.removesuffix(".")
        if not name or name.endswith("."):
            return False
        if await self.mydestination.match(name):
            return True
        if name.startswith("[") and name.endswith("]") and (bare := mailhost_address(name[1:-1])):
            return ipaddress.ip_address(bare) in self.own_addresses
        return False

    async def is_local_or_origin(self, domain: str) -> bool:
        """Whether `user` alone may stand for `user@domain` in virtual(5), canonical(5) and generic(5) tables."""
        return domain.lower() == self.myorigin or await self.is_local(domain)

    async def address_class(self, domain: str) -> AddressClass:
        """The class of a domain."""
        if await self.is_local(domain):
            return AddressClass.LOCAL
        return await self.remote_class(domain)

    async def remote_class(self, domain: str) -> AddressClass:
        """The class of a domain that is known not to be local."""
        if await self.virtual_alias.match(domain):
            return AddressClass.VIRTUAL_ALIAS
        if await self.virtual_mailbox.match(domain):
            return AddressClass.VIRTUAL_MAILBOX
        if await self.relay.match(domain):
            return AddressClass.RELAY
        return AddressClass.DEFAULT

    async def warn_of_doubles(self, domain: str, found: AddressClass) -> None:
        """Log, as Postfix does, when a domain stands in two lists; the first of them counts."""
        lists = (
            (AddressClass.LOCAL, "mydestination", self.mydestination),
            (AddressClass.VIRTUAL_ALIAS, "virtual_alias_domains", self.virtual_alias),
            (AddressClass.VIRTUAL_MAILBOX, "virtual_mailbox_domains", self.virtual_mailbox),
            (AddressClass.RELAY, "relay_domains", self.relay),
        )
        names = [name for kind, name, _list in lists if kind is found]
        for kind, name, patterns in lists:
            # relay_domains contains mydestination by an old default; only virtual classes clash with it.
            clash = kind is not found and names and not (found is AddressClass.LOCAL and kind is AddressClass.RELAY)
            if clash and _after(kind, found) and await patterns.match(domain):
                log.warning("do not list domain %s in BOTH %s and %s", domain, names[0], name)


def _after(kind: AddressClass, found: AddressClass) -> bool:
    order = list(AddressClass)
    return order.index(kind) > order.index(found)


def _own_addresses(config: MainConfig) -> frozenset[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    addresses = {interface.ip for interface in config.own_interfaces}
    for word in config.list("proxy_interfaces"):
        try:
            addresses.add(ipaddress.ip_address(word.strip("[]")))
        except ValueError:
            log.warning("proxy_interfaces: not an address: %s", word)
    return frozenset(addresses)
