"""Which settings mean something: names that nothing uses, and references to names that nothing sets."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from mta.config.expand import ExpandError, references
from mta.config.lines import split_list
from mta.config.maincf import READ_ONLY, MainConfig
from mta.config.mastercf import MasterService
from mta.config.parameter import Kind
from mta.config.parameters import PARAMETERS
from mta.config.parameters.transports import service_names


def references_of(value: str) -> list[str]:
    """The names a value mentions; none when it cannot be read, which is reported where the value is used."""
    try:
        return references(value) if "$" in value else []
    except ExpandError:
        return []


# Names that defaults refer to for compatibility with older configurations; setting one of them is no mistake.
LEGACY = frozenset(
    name for parameter in PARAMETERS.values() for name in references_of(parameter.default) if name not in PARAMETERS
)
# Database tables named `type:name` without a path take their settings from main.cf, as name_hosts, name_query ...
_OLD_DATABASE = re.compile(r"\b(?:ldap|memcache|mysql|pgsql|sqlite):([A-Za-z0-9_]+)(?![A-Za-z0-9_/.])")
_OLD_DATABASE_SETTINGS = """
    additional_conditions backup bind bind_dn bind_pw chase_referrals data_size_limit dbname dbpath debuglevel
    delete_format dereference domain expansion_limit hosts key_format leaf_result_attribute line_size_limit
    max_try memcache option_file option_group password query query_filter recursion_limit require_result_set
    result_attribute result_format retry_pause sasl_authz_id sasl_mechs sasl_minssf sasl_realm scope search_base
    search_timeout select_field select_function server_host server_port size_limit special_result_attribute start_tls
    table terminal_result_attribute timeout tls_ca_cert_dir tls_ca_cert_file tls_cert tls_cert_file tls_cipher_suite
    tls_ciphers tls_key tls_key_file tls_random_file tls_require_cert tls_verify_cert ttl user version where_field
"""


@dataclass(frozen=True)
class Usage:
    """Findings, each sorted by name: unused main.cf names, unused `-o` settings, undefined references by file."""

    unused_main: list[str] = field(default_factory=list)
    unused_master: list[tuple[MasterService, str]] = field(default_factory=list)
    undefined_main: list[str] = field(default_factory=list)
    undefined_master: list[str] = field(default_factory=list)
    read_only: list[str] = field(default_factory=list)
    user_defined: list[str] = field(default_factory=list)


def analyse(config: MainConfig, services: Sequence[MasterService] = ()) -> Usage:
    """Compare what main.cf and master.cf set with what they and the declared defaults refer to, as postconf(1)."""
    known = known_names(services)
    main = {name: setting.value for name, setting in config.settings.items()}
    classes = set(_words(config, main.get("smtpd_restriction_classes", "")))
    by_main = _mentioned(main) | classes
    by_defaults = _mentioned({name: PARAMETERS[name].default for name in PARAMETERS if name not in main})
    by_service = {
        id(service): _mentioned(service.overrides)
        | set(_words(config, service.overrides.get("smtpd_restriction_classes", "")))
        for service in services
    }
    by_master = set().union(*by_service.values()) if by_service else set()
    databases = {name for value in main.values() for name in _OLD_DATABASE.findall(value)}
    old = {f"{name}_{setting}" for name in databases for setting in _OLD_DATABASE_SETTINGS.split()}
    used = known | LEGACY | by_main | by_defaults | by_master | old

    def used_in_main(name: str) -> bool:
        return name in used

    set_in_master = {name for service in services for name in service.overrides}
    settable = known | set(main) | LEGACY
    unused_master = [
        (service, name)
        for service in services
        for name in service.overrides
        if not (used_in_main(name) or name in by_service[id(service)])
    ]
    return Usage(
        sorted(name for name in main if not used_in_main(name)),
        unused_master,
        sorted(name for name in by_main if name not in settable | set_in_master),
        sorted({name for service in services for name in by_service[id(service)] - settable - set(service.overrides)}),
        sorted(name for name in main if name in READ_ONLY),
        sorted(name for name in main if name not in known and used_in_main(name)),
    )


def known_names(services: Iterable[MasterService]) -> set[str]:
    """Declared names and those that the services of master.cf bring into being."""
    return set(PARAMETERS).union(*(service_names(service.name, service.command) for service in services))


def _mentioned(settings: Mapping[str, str]) -> set[str]:
    found = set[str]()
    for name, value in settings.items():
        parameter = PARAMETERS.get(name)
        if not (parameter and parameter.kind is Kind.RAW):
            found.update(references_of(value))
    return found


def _words(config: MainConfig, value: str) -> list[str]:
    try:
        return split_list(config.expand(value))
    except ExpandError:
        return []
