"""The parameters of smtp(8) and lmtp(8), read once for each service of master.cf."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from mta.config import MainConfig


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, by stage; the names are main.cf's without smtp_ and _timeout."""

    connect: float = 30.0
    helo: float = 300.0
    starttls: float = 300.0
    mail: float = 300.0
    rcpt: float = 300.0
    data_init: float = 120.0
    data_xfer: float = 180.0
    data_done: float = 600.0
    rset: float = 20.0
    quit: float = 300.0

    @classmethod
    def from_config(cls, config: MainConfig, prefix: str) -> Timeouts:
        helo = "lhlo" if prefix == "lmtp" else "helo"
        names = ("starttls", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")
        return cls(
            connect=config.seconds(f"{prefix}_connect_timeout"),
            helo=config.seconds(f"{prefix}_{helo}_timeout"),
            **{name: config.seconds(f"{prefix}_{name}_timeout") for name in names},
        )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the client must know beside TLS and passwords."""

    prefix: Literal["smtp", "lmtp"] = "smtp"
    myhostname: str = "localhost"
    helo_name: str = "localhost"
    default_port: str = "smtp"
    relayhost: str = ""
    fallback_relay: str = ""
    use_dns: bool = True
    """False: disable_dns_lookups or smtp_dns_support_level = disabled."""
    native_lookup: bool = False
    """smtp_host_lookup names native: /etc/hosts counts."""
    protocols: tuple[str, ...] = ("ipv4", "ipv6")
    address_preference: str = "any"
    randomize: bool = True
    mx_address_limit: int = 5
    balance_protocols: bool = True
    """smtp_balance_inet_protocols: that limit leaves both address families."""
    mx_session_limit: int = 2
    bind_address: str = ""
    bind_address6: str = ""
    skip_5xx_greeting: bool = True
    skip_quit: bool = True
    always_ehlo: bool = True
    never_ehlo: bool = False
    discard_keywords: frozenset[str] = frozenset()
    dummy_mail_auth: bool = False
    send_xforward: bool = False
    line_length_limit: int = 998
    cache_on_demand: bool = True
    cache_time_limit: float = 2.0
    reuse_time_limit: float = 300.0
    reuse_count_limit: int = 0
    soft_bounce: bool = False
    minimal_backoff: float = 300.0
    """minimal_backoff_time, seconds: mail that has waited less does not go without the TLS that was agreed upon."""
    bind_enforce: bool = False
    """smtp_bind_address_enforce: no mail from another address than the wanted one."""
    kept_destinations: frozenset[str] = frozenset()
    """smtp_connection_cache_destinations: connections that are always worth keeping."""
    defer_without_address: bool = False
    """smtp_defer_if_no_mx_address_found"""
    ignore_mx_error: bool = False
    """ignore_mx_lookup_error: a domain whose MX records cannot be asked is its own mail host, which may be wrong."""
    quote_envelope: bool = True
    """smtp_quote_rfc821_envelope; some servers cannot read what RFC 5321 wants."""
    assume_final: bool = False
    """lmtp_assume_final: what an LMTP server without DSN takes is delivered, not relayed."""
    flags: frozenset[str] = frozenset()
    """flags= of master.cf: R Return-Path, O X-Original-To, D Delivered-To, X final delivery (smtp(8))."""
    queue_directory: str = "."
    """Relative unix: paths start here."""
    timeouts: Timeouts = field(default_factory=Timeouts)

    @property
    def lmtp(self) -> bool:
        return self.prefix == "lmtp"

    @classmethod
    def from_config(cls, config: MainConfig, prefix: Literal["smtp", "lmtp"]) -> ClientSettings:
        """Read what a master.cf service (its overrides applied) wants."""
        lmtp = prefix == "lmtp"
        support = config.str(f"{prefix}_dns_support_level") or (
            "disabled" if config.bool("disable_dns_lookups") else "enabled"
        )
        discard = config.list("lmtp_discard_lhlo_keywords" if lmtp else "smtp_discard_ehlo_keywords")
        return cls(
            prefix=prefix,
            myhostname=config.str("myhostname"),
            helo_name=config.str("lmtp_lhlo_name" if lmtp else "smtp_helo_name"),
            default_port=config.str(f"{prefix}_tcp_port"),
            relayhost="" if lmtp else config.str("relayhost"),
            fallback_relay=config.str(f"{prefix}_fallback_relay"),
            use_dns=support != "disabled",
            native_lookup="native" in config.list(f"{prefix}_host_lookup"),
            protocols=_protocols(config.list("inet_protocols")),
            address_preference=config.str(f"{prefix}_address_preference"),
            randomize=config.bool(f"{prefix}_randomize_addresses"),
            mx_address_limit=config.int(f"{prefix}_mx_address_limit"),
            balance_protocols=config.bool(f"{prefix}_balance_inet_protocols"),
            mx_session_limit=config.int(f"{prefix}_mx_session_limit"),
            bind_address=config.str(f"{prefix}_bind_address"),
            bind_address6=config.str(f"{prefix}_bind_address6"),
            bind_enforce=config.bool(f"{prefix}_bind_address_enforce"),
            kept_destinations=frozenset(
                word.lower() for word in config.list(f"{prefix}_connection_cache_destinations")
            ),
            defer_without_address=config.bool(f"{prefix}_defer_if_no_mx_address_found"),
            ignore_mx_error=config.bool("ignore_mx_lookup_error"),
            quote_envelope=config.bool(f"{prefix}_quote_rfc821_envelope"),
            assume_final=lmtp and config.bool("lmtp_assume_final"),
            skip_5xx_greeting=config.bool(f"{prefix}_skip_5xx_greeting"),
            skip_quit=config.bool(f"{prefix}_skip_quit_response"),
            always_ehlo=lmtp or config.bool("smtp_always_send_ehlo"),
            never_ehlo=not lmtp and config.bool("smtp_never_send_ehlo"),
            discard_keywords=frozenset(word.upper() for word in discard),
            send_xforward=config.bool(f"{prefix}_send_xforward_command"),
            dummy_mail_auth=config.bool(f"{prefix}_send_dummy_mail_auth"),
            line_length_limit=config.int(f"{prefix}_line_length_limit"),
            cache_on_demand=config.bool(f"{prefix}_connection_cache_on_demand"),
            cache_time_limit=config.seconds(f"{prefix}_connection_cache_time_limit"),
            reuse_time_limit=config.seconds(f"{prefix}_connection_reuse_time_limit"),
            reuse_count_limit=config.int(f"{prefix}_connection_reuse_count_limit"),
            soft_bounce=config.bool("soft_bounce"),
            minimal_backoff=config.seconds("minimal_backoff_time"),
            queue_directory=config.str("queue_directory"),
            timeouts=Timeouts.from_config(config, prefix),
        )


def _protocols(names: list[str]) -> tuple[str, ...]:
    return ("ipv4", "ipv6") if "all" in names or not names else tuple(names)
