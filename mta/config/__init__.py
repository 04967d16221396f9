"""Postfix's configuration: main.cf and master.cf read, checked and typed, from one table of parameters.

    config = MainConfig.load(confdir, overrides)     raises ConfigErrors: .errors, each with .where, .message
    config.str(name)        expanded text                 config.raw(name)      as written, or the default, or None
    config.bool(name)       yes / no                      config.is_set(name)   explicitly set?
    config.int(name)        number                        config.where(name)    Location(file, line) for messages
    config.seconds(name)    time in seconds               config.default(name)  the declared default, unexpanded
    config.list(name)       words; `{ a b }` stays whole  config.expand(text)   `$name` in any text
    config.confdir, config.warnings (list[str]), config.compatibility_level (tuple), config.own_interfaces
    config.with_overrides({"smtpd_tls_security_level": "encrypt"}, where=service.where)   a view, checked again

    for service in MasterConfig.load(confdir, config):     # a list of MasterService
        service.name .type .private .unpriv .chroot .wakeup .maxproc .command .args .overrides .line .where .endpoint

Names that are neither declared nor set raise KeyError from the typed getters: a misspelt name is a bug, not a
default. User-defined parameters and `foo_destination_concurrency_limit` of any transport foo are known.
`str`, `bool`, ... raise ValueError for a bad value; load() and with_overrides() have checked all explicit ones.
mta.config.expand expands `$name`, `${name?x:y}`, `${{a} == {b} ? {x} : {y}}` for others too (reply templates).
"""

from mta.config.errors import ConfigError, ConfigErrors, ConfigWarning, Location
from mta.config.expand import ExpandError
from mta.config.maincf import MainConfig, declared
from mta.config.mastercf import MasterConfig, MasterService
from mta.config.parameter import Kind, Parameter
from mta.config.parameters import PARAMETERS

__all__ = [
    "PARAMETERS",
    "ConfigError",
    "ConfigErrors",
    "ConfigWarning",
    "ExpandError",
    "Kind",
    "Location",
    "MainConfig",
    "MasterConfig",
    "MasterService",
    "Parameter",
    "declared",
]
