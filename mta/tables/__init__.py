"""Lookup tables: every `type:name` of main.cf behind one asynchronous method.

    maps = open_maps("hash:/etc/postfix/x, inline:{a=b}", config, parameter="virtual_alias_maps")
    maps = maps_of(config, "virtual_alias_maps")            the same, from the parameter
    maps = maps_of(config, "alias_maps", aliases=True)      text sources in aliases(5) format
    value = await maps.lookup(key)                          str, or None; "" and unavailable tables raise TableError
    value = await maps.lookup(part, partial=True)           skips pattern tables (regexp, pcre, cidr)
    if maps: ...                                            False when no table is configured
    table = open_table("cidr:/etc/postfix/clients", config) one table: .lookup(key), .exact, .name

Open tables before the process is jailed: text files are read at once and again, at most a second later, when they
change. ConfigErrors (file, line) for an unknown type or bad syntax; a missing file is a TableError at each lookup,
as in Postfix, and so is a server that is down. `proxy:` tables are asked of proxymap (mta.proxymap) where its socket
is there, else opened here; those of SENSITIVE parameters always here. Types with a library of their own (pgsql, mysql,
ldap) are SpecErrors that name the extra where it is not installed. check_tables(config) opens every configured table
once and returns the mistakes.

The search orders of access(5), virtual(5), canonical(5), transport(5), generic(5) are in mta.address.search.
"""

from mta.tables.base import SpecError, Table, TableError
from mta.tables.maps import Maps
from mta.tables.registry import TYPES, check_tables, maps_of, open_maps, open_table

__all__ = [
    "TYPES",
    "Maps",
    "SpecError",
    "Table",
    "TableError",
    "check_tables",
    "maps_of",
    "open_maps",
    "open_table",
]
