"""postscreen(8)'s DNS lists: every list that knows a client adds its weight; the sum decides (postscreen_dnsbl_*)."""

from __future__ import annotations

import asyncio
import logging
import re
from dataclasses import dataclass, field
from typing import Final

from mta.config import ConfigError, ConfigErrors, MainConfig
from mta.dns import LookupFailed, Resolver
from mta.smtpd.access.dnsbl import Zone, parse_zone, question
from mta.smtpd.access.lists import BadRestriction
from mta.tables import Maps, TableError, maps_of

log = logging.getLogger("postfix.postscreen")

_WEIGHT: Final = re.compile(r"[+-]?\d{1,6}")
ACTIONS: Final = ("ignore", "enforce", "drop")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sum for one client, and the list that a refusal names: the one with the greatest weight."""

    score: int = 0
    name: str = ""


@dataclass(frozen=True, slots=True)
class Scores:
    """The lists of postscreen_dnsbl_sites; false when there are none."""

    sites: tuple[tuple[Zone, int], ...] = ()
    threshold: int = 1
    allow_threshold: int = 0
    """A negative sum from which on a client is spared the other tests; 0: never."""
    action: str = "ignore"
    timeout: float = 10.0
    ttl: float = 3600.0
    """Seconds that a good verdict counts at most."""
    shown: Maps = field(default_factory=lambda: Maps("postscreen_dnsbl_reply_map", []))
    """postscreen_dnsbl_reply_map: names for lists whose own holds a secret."""

    def __bool__(self) -> bool:
        return bool(self.sites)

    @classmethod
    def from_config(cls, config: MainConfig) -> Scores:
        """Raises ConfigErrors."""
        action = config.str("postscreen_dnsbl_action").lower()
        errors = []
        if action not in ACTIONS:
            errors.append(_error(config, "postscreen_dnsbl_action", f"bad postscreen_dnsbl_action: {action}"))
        sites = []
        for word in config.list("postscreen_dnsbl_sites"):
            try:
                sites.append(_site(word))
            except BadRestriction as problem:
                errors.append(_error(config, "postscreen_dnsbl_sites", f"postscreen_dnsbl_sites: {problem}"))
        if errors:
            raise ConfigErrors(errors)
        return cls(
            tuple(sites),
            config.int("postscreen_dnsbl_threshold"),
            config.int("postscreen_dnsbl_allowlist_threshold"),
            action,
            config.seconds("postscreen_dnsbl_timeout"),
            config.seconds("postscreen_dnsbl_max_ttl"),
            maps_of(config, "postscreen_dnsbl_reply_map"),
        )

    async def of(self, address: str, resolver: Resolver) -> Verdict:
        """Ask every list at once. One that does not answer in time has nothing to say."""
        answers = {domain: asyncio.create_task(_ask(question(address, domain), resolver)) for domain in self._domains()}
        await asyncio.wait(answers.values(), timeout=self.timeout)
        for task in answers.values():
            task.cancel()
        known = {domain: task.result() for domain, task in answers.items() if task.done() and not task.cancelled()}
        hits = [
            (weight, zone.domain)
            for zone, weight in self.sites
            if any(zone.matches(answer) for answer in known.get(zone.domain, ()))
        ]
        if not hits:
            return Verdict()
        return Verdict(sum(weight for weight, _ in hits), await self._shown_name(max(hits)[1]))

    def _domains(self) -> set[str]:
        return {zone.domain for zone, _ in self.sites}

    async def _shown_name(self, domain: str) -> str:
        try:
            return await self.shown.lookup(domain) or domain
        except TableError as error:
            log.warning("postscreen_dnsbl_reply_map: %s", error)
            return "a DNS list"  # the name may be a secret


async def _ask(name: str, resolver: Resolver) -> list[str]:
    try:
        return [record.text for record in await resolver.lookup(name, "A")]
    except LookupFailed:
        return []


def _site(word: str) -> tuple[Zone, int]:
    """`domain`, `domain=d.d.d.d`, each with `*weight` behind it. Raises BadRestriction."""
    spec, star, weight = word.partition("*")
    if star and not _WEIGHT.fullmatch(weight):
        raise BadRestriction(f"bad weight factor: {word}")
    return parse_zone(spec), int(weight) if star else 1


def _error(config: MainConfig, parameter: str, text: str) -> ConfigError:
    return ConfigError(config.where(parameter), text)
