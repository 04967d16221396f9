"""Cleanup's rules from main.cf: which tables, limits and switches apply (cleanup(8), CONFIGURATION PARAMETERS)."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from mta.address import AddressSearch, Domains, Rewriter, string_list
from mta.address.header import address_list, map_addresses
from mta.address.quoting import quote_822
from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.message.checks import Checks, Lookup
from mta.message.cleanup import Mapping, Rules
from mta.message.expansion import Find, Limits
from mta.message.missing import Completion
from mta.message.rewriting import Change
from mta.message.strict import Strictness
from mta.tables import Maps, maps_of

FOLD: Final = re.compile(r"\n[ \t]*")
"""Lines of a header that was written anew begin with a tab, as cleanup(8) folds them."""


async def change_addresses(value: str, change: Change) -> str | None:
    """A header value with every address changed; None if all stay. Addresses in internal form."""
    before = address_list(value)
    after = [await change(address) for address in before]
    if before == after:
        return None
    remaining = iter(after)
    return FOLD.sub("\n\t", map_addresses(value, lambda _: next(remaining)))


OVERRIDES: Final = frozenset(
    {"no_address_mappings", "no_header_body_checks", "no_milters", "no_unknown_recipient_checks"}
)


def receive_overrides(config: MainConfig) -> frozenset[str]:
    """receive_override_options: the steps of receiving that are left out. Raises ConfigErrors."""
    parameter = "receive_override_options"
    words = frozenset(word.lower() for word in config.list(parameter))
    if unknown := words - OVERRIDES:
        text = f"{parameter}: unknown value: {', '.join(sorted(unknown))}"
        raise ConfigErrors([ConfigError(config.where(parameter), text)])
    return words


def rules_from(config: MainConfig) -> Rules:
    """The rules of a main.cf. Opens tables; raises ConfigErrors."""
    rules, left_out = _all_rules(config), receive_overrides(config)
    if "no_address_mappings" in left_out:
        rules = replace(
            rules,
            canonical=(),
            virtual_alias=None,
            masquerade_domains=(),
            sender_bcc=None,
            recipient_bcc=None,
            always_bcc="",
        )
    return replace(rules, checks=Checks()) if "no_header_body_checks" in left_out else rules


def _all_rules(config: MainConfig) -> Rules:
    rewriter = Rewriter.of(config)
    search = AddressSearch(config, Domains(config), rewriter)
    propagate = frozenset(word.lower() for word in config.list("propagate_unmatched_extensions"))
    header = _content_checks(config, "header_checks")
    return Rules(
        rewrite=rewriter.rewrite,
        rewrite_remote=lambda address: rewriter.rewrite(address, "remote"),
        external=quote_822,
        address_list=change_addresses,
        completion=Completion(
            config.str("myhostname"),
            config.bool("enable_long_queue_ids"),
            config.str("undisclosed_recipients_header"),
        ),
        canonical=_canonical(config, search, "canonical" in propagate),
        virtual_alias=_virtual_alias(config, search, "virtual" in propagate),
        sender_bcc=_copies(config, search, "sender_bcc_maps"),
        recipient_bcc=_copies(config, search, "recipient_bcc_maps"),
        always_bcc=config.str("always_bcc"),
        masquerade_domains=tuple(config.list("masquerade_domains")),
        keeps_host=string_list(config, "masquerade_exceptions").match,
        masquerade_classes=frozenset(config.list("masquerade_classes")),
        checks=Checks(
            header=header,
            mime_header=_content_checks(config, "mime_header_checks") or header,
            nested_header=_content_checks(config, "nested_header_checks") or header,
            body=_content_checks(config, "body_checks"),
            milter_header=_content_checks(config, "milter_header_checks"),
            body_limit=config.int("body_checks_size_limit"),
        ),
        header_limit=config.int("header_size_limit"),
        strictness=Strictness(
            config.bool("strict_7bit_headers") or config.bool("strict_8bitmime"),
            config.bool("strict_8bitmime_body") or config.bool("strict_8bitmime"),
            config.bool("strict_mime_encoding_domain"),
        ),
        drop_headers=frozenset(name.lower().encode() for name in config.list("message_drop_headers")),
        always_add_missing=config.bool("always_add_missing_headers"),
        remote_header_domain=config.str("remote_header_rewrite_domain"),
        hop_limit=config.int("hopcount_limit"),
        limits=Limits(
            config.int("virtual_alias_recursion_limit"),
            config.int("virtual_alias_expansion_limit"),
            config.int("virtual_alias_address_length_limit"),
        ),
        by_original=config.bool("enable_original_recipient"),
        duplicate_limit=config.int("duplicate_filter_limit"),
        content_filter=config.str("content_filter"),
        strip_characters=_characters(config.str("message_strip_characters")),
        reject_characters=_characters(config.str("message_reject_characters")),
        replace_stray_cr=config.bool("cleanup_replace_stray_cr_lf"),
    )


def _content_checks(config: MainConfig, parameter: str) -> Lookup | None:
    maps = maps_of(config, parameter)
    return maps.lookup if maps else None


def _find(search: AddressSearch, maps: Maps, propagate: bool) -> Find:
    async def find(address: str) -> list[str] | None:
        return await search.map(maps, address, propagate=propagate)

    return find


def _virtual_alias(config: MainConfig, search: AddressSearch, propagate: bool) -> Find | None:
    maps = maps_of(config, "virtual_alias_maps")
    return _find(search, maps, propagate) if maps else None


def _canonical(config: MainConfig, search: AddressSearch, propagate: bool) -> tuple[Mapping, ...]:
    """sender_canonical_maps and recipient_canonical_maps come before canonical_maps (canonical(5))."""
    found = []
    for prefix in ("sender_", "recipient_", ""):
        maps = maps_of(config, f"{prefix}canonical_maps")
        if maps:
            classes = {word.lower() for word in config.list(f"{prefix}canonical_classes")}
            find = _find(search, maps, propagate)
            found.append(
                Mapping(
                    find,
                    "envelope_sender" in classes,
                    "envelope_recipient" in classes,
                    "header_sender" in classes,
                    "header_recipient" in classes,
                )
            )
    return tuple(found)


def _copies(config: MainConfig, search: AddressSearch, parameter: str) -> Lookup | None:
    maps = maps_of(config, parameter)
    if not maps:
        return None

    async def lookup(address: str) -> str | None:
        found = await search.find(maps, address)
        return found.value if found else None

    return lookup


def _characters(text: str) -> bytes:
    r"""Octets named with C escapes: `\0`, `\r\n`."""
    return text.encode("utf-8").decode("unicode_escape").encode("latin-1", "ignore") if text else b""
