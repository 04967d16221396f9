"""Mail addresses: syntax, quoting, rewriting, classes and routes, as Postfix understands them.

Addresses are in internal form (no quotes: `first last@example.com`) everywhere but on the wire, in headers and in
tables, where they are external (`"first last"@example.com`).

    extract_address("<a@b>", strict=False, allow_empty=True)   the argument of MAIL FROM / RCPT TO; AddressError
    quote_821(address), quote_822(address), unquote_822(external)
    address_list(header_text) -> [internal, ...]; map_addresses(header_text, change) -> new text; parse() for tokens
    rewriter = Rewriter.of(config); rewriter.rewrite(address, "local" | "remote")     synchronous
    resolver = Resolver(config)                                 before the jail; ConfigErrors
    await resolver.resolve(address, sender) -> Resolution(address_class, transport, nexthop, recipient, domain,
                                                          error, routed); TableError: try again later
    resolver.domains.address_class(domain), .is_local(domain)   Domains: the lists of main.cf
    resolver.search.find(maps, address) -> Found(value, key, extension) | None     order of virtual(5), canonical(5) ...
    resolver.search.access(maps, address), .access_host(maps, name), .access_client_address(maps, ip)    access(5)
    resolver.search.transport(maps, address); .map(maps, address, propagate=...) -> [address, ...] | None
    Extensions.of(config).split(address) -> (bare address, "+ext")
    string_list / domain_list / name_address_list(config, parameter): await .match(name), .match_client(name, ip)
    valid_hostname(name, utf8=False), valid_hostaddr(ip), valid_mailhost_literal("[1.2.3.4]"), to_ascii(name)
"""

from mta.address.domains import AddressClass, Domains
from mta.address.extension import Extensions
from mta.address.header import AddressError, address_list, extract_address, map_addresses, parse, write_header
from mta.address.hostname import mailhost_address, to_ascii, valid_hostaddr, valid_hostname, valid_mailhost_literal
from mta.address.matchlist import (
    AddressList,
    DomainList,
    NameAddressList,
    StringList,
    domain_list,
    name_address_list,
    string_list,
)
from mta.address.quoting import quote_821, quote_822, unquote_822
from mta.address.resolve import Resolution, Resolver
from mta.address.rewrite import Rewriter
from mta.address.search import AddressSearch, Found, Keys

__all__ = [
    "AddressClass",
    "AddressError",
    "AddressList",
    "AddressSearch",
    "DomainList",
    "Domains",
    "Extensions",
    "Found",
    "Keys",
    "NameAddressList",
    "Resolution",
    "Resolver",
    "Rewriter",
    "StringList",
    "address_list",
    "domain_list",
    "extract_address",
    "mailhost_address",
    "map_addresses",
    "name_address_list",
    "parse",
    "quote_821",
    "quote_822",
    "string_list",
    "to_ascii",
    "unquote_822",
    "valid_hostaddr",
    "valid_hostname",
    "valid_mailhost_literal",
    "write_header",
]
