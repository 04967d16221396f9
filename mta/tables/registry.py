"""Which table types there are, and how `type:name` becomes a table."""

import logging
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

import mta.tables.cidr
import mta.tables.combine
import mta.tables.inline
import mta.tables.network
import mta.tables.proxy
import mta.tables.regexp
import mta.tables.textfile  # noqa: F401 (loaded for TYPES)
from mta.config import ConfigError, ConfigErrors, Kind, MainConfig, declared
from mta.config.lines import split_list
from mta.proxymap.access import SENSITIVE
from mta.tables.base import Opener, Options, SpecError, Table
from mta.tables.maps import Maps

log = logging.getLogger("postfix.tables")

# type: (module, function); a new type is one line here. Modules that need a library of their own are imported when
# their type is first used; the others at once, so that forked and jailed processes share them.
TYPES: Mapping[str, tuple[str, str]] = {
    "btree": ("mta.tables.textfile", "open_text"),
    "cidr": ("mta.tables.cidr", "open_cidr"),
    "environ": ("mta.tables.inline", "open_environ"),
    "fail": ("mta.tables.inline", "open_fail"),
    "hash": ("mta.tables.textfile", "open_text"),
    "inline": ("mta.tables.inline", "open_inline"),
    "ldap": ("mta.tables.ldap", "open_ldap"),
    "lmdb": ("mta.tables.lmdb", "open_lmdb"),
    "mysql": ("mta.tables.mysql", "open_mysql"),
    "nis": ("mta.tables.inline", "open_nis"),
    "pcre": ("mta.tables.regexp", "open_pcre"),
    "pgsql": ("mta.tables.pgsql", "open_pgsql"),
    "pipemap": ("mta.tables.combine", "open_pipe"),
    "proxy": ("mta.tables.proxy", "open_proxy"),
    "randmap": ("mta.tables.combine", "open_random"),
    "regexp": ("mta.tables.regexp", "open_regexp"),
    "socketmap": ("mta.tables.network", "open_socketmap"),
    "sqlite": ("mta.tables.sqlite", "open_sqlite"),
    "static": ("mta.tables.inline", "open_static"),
    "tcp": ("mta.tables.network", "open_tcp"),
    "texthash": ("mta.tables.textfile", "open_text"),
    "unionmap": ("mta.tables.combine", "open_union"),
    "unix": ("mta.tables.inline", "open_unix"),
}

# Types whose library is no part of every installation, and the extra that brings it.
EXTRAS = {"ldap": "ldap", "mysql": "mysql", "pgsql": "postgres"}


def open_spec(spec: str, options: Options) -> Table:
    """Open one `type:name`. Raises SpecError; a table that is merely unavailable fails at lookup instead."""
    kind, colon, rest = spec.partition(":")
    if not colon or not kind:
        raise SpecError(f'open dictionary: expecting "type:name" form instead of "{spec}"')
    if kind not in TYPES:
        raise SpecError(f"unsupported dictionary type: {kind}")
    module, function = TYPES[kind]
    try:
        opener: Opener = getattr(import_module(module), function)
    except ImportError as error:
        if kind not in EXTRAS:
            raise
        wanted = f'pip install "hardmail[{EXTRAS[kind]}]"'
        raise SpecError(f"{kind}: needs the library {error.name}, which is not installed: {wanted}") from error
    return opener(f"{kind}:{rest}", options)


def open_table(
    spec: str, config: MainConfig | None = None, *, aliases: bool = False, through_proxy: bool = True
) -> Table:
    """Open one `type:name`. Raises SpecError. With aliases, text sources are in aliases(5) format.

    through_proxy: `proxy:` tables are asked of proxymap where it runs; else they are opened in this process.
    """
    base = config.str("queue_directory") if config else "/"
    proxy = proxy_socket(config) if config and through_proxy else None
    return open_spec(spec, Options(open_spec, aliases=aliases, base=base, proxy=proxy, config=config))


def proxy_socket(config: MainConfig) -> Path | None:
    """The socket of proxymap(8); None where there is none: not configured, or out of our reach (tools)."""
    path = Path(config.str("queue_directory"), "private", config.str("proxymap_service_name"))
    try:
        return path if path.is_socket() else None
    except OSError:
        return None


def open_maps(spec: str, config: MainConfig, *, parameter: str = "", aliases: bool = False) -> Maps:
    """Open the tables of a parameter's value, in search order. parameter names it in messages.

    Raises ConfigErrors, with the parameter's file and line, for tables that can never work.
    """
    tables, errors = list[Table](), list[ConfigError]()
    for word in split_list(spec):
        try:
            tables.append(open_table(word, config, aliases=aliases, through_proxy=parameter not in SENSITIVE))
        except SpecError as error:
            errors.append(ConfigError(config.where(parameter), f"{parameter}: {error}" if parameter else str(error)))
    if errors:
        raise ConfigErrors(errors)
    return Maps(parameter or spec, tables)


def maps_of(config: MainConfig, parameter: str, *, aliases: bool = False) -> Maps:
    """Open the tables that a parameter of main.cf names. Raises ConfigErrors."""
    return open_maps(config.str(parameter), config, parameter=parameter, aliases=aliases)


def check_tables(config: MainConfig) -> list[ConfigError]:
    """Every explicitly set `..._maps` and `..._checks` parameter that names a table which can never work.

    proxy_read_maps and proxy_write_maps are none: there a name that is no table is passed over (proxymap(8)), so that
    they can hold `$smtpd_sender_restrictions` and the like.
    """
    errors = list[ConfigError]()
    for name in config.settings:
        parameter = declared(name)
        permission = name in ("proxy_read_maps", "proxy_write_maps")
        if parameter and parameter.kind is Kind.TEXT and name.endswith(("_maps", "_checks")) and not permission:
            try:
                maps_of(config, name)
            except ConfigErrors as error:
                errors.extend(error.errors)
    return errors
