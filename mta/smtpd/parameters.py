"""Parameters of main.cf that need more than a type: lists that may equal others, words with a meaning of their own."""

from __future__ import annotations

from mta.address import NameAddressList, name_address_list
from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.smtpd.dotreader import Newlines

KEYWORDS_NOT_HIDDEN = frozenset({"silent-discard"})


def numeric(address: str) -> str:
    """IPv4 addresses never in their IPv6-mapped form, and no scope identifiers."""
    return address.partition("%")[0].removeprefix("::ffff:") if "." in address or "%" in address else address


def clients(config: MainConfig, parameter: str) -> NameAddressList | None:
    """A list of clients; None where it is the same as mynetworks, its default."""
    return None if config.str(parameter) == config.str("mynetworks") else name_address_list(config, parameter)


def keywords(words: list[str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words) - KEYWORDS_NOT_HIDDEN


def upstream_proxy(config: MainConfig) -> bool:
    """Whether a PROXY header comes first (smtpd_upstream_proxy_protocol = haproxy)."""
    value = config.str("smtpd_upstream_proxy_protocol")
    where = config.where("smtpd_upstream_proxy_protocol")
    if value not in ("", "haproxy"):
        raise ConfigErrors([ConfigError(where, f"unknown smtpd_upstream_proxy_protocol: {value}")])
    if value and config.bool("smtpd_tls_wrappermode"):
        raise ConfigErrors(
            [ConfigError(where, "the PROXY protocol in front of smtpd_tls_wrappermode is not supported")]
        )
    return bool(value)


def newlines(config: MainConfig) -> Newlines:
    value = config.str("smtpd_forbid_bare_newline")
    try:
        return Newlines.parse(value)
    except ValueError:
        where = config.where("smtpd_forbid_bare_newline")
        raise ConfigErrors([ConfigError(where, f"bad value for smtpd_forbid_bare_newline: {value}")]) from None
