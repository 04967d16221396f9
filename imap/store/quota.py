"""Quota: what a user's mail may take, by Dovecot's `quota` plugin settings with the backends `count` and `maildir`.

    quota = count:User quota
    quota_rule = *:storage=1G:messages=1000
    quota_rule2 = Trash:storage=+100M
    quota_rule3 = Spam:ignore

Usage is counted from the index (sizes with CRLF, as `quota_vsizes` says), so there is no second book to go wrong.
"""

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imap.store.errors import OverQuota

_SIZE = re.compile(r"([+-]?)([0-9]{1,15})([BKMGT%]?)", re.IGNORECASE)
_UNITS = {"": 1024, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}  # no unit: storage is in kilobytes


class BadQuota(ValueError):
    """A quota setting that cannot be read; the text names it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets and messages; 0 = no limit."""

    storage: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One quota_rule: for mailboxes that match `mask`; signed amounts are added to the "*" rule's."""

    mask: str
    storage: str = ""
    messages: str = ""
    ignored: bool = False

    def matches(self, mailbox: str) -> bool:
        """Whether the rule is for this mailbox."""
        name = "INBOX" if mailbox.upper() == "INBOX" else mailbox
        return fnmatch.fnmatchcase(name, self.mask.replace("[", "[[]"))


@dataclass(frozen=True, slots=True)
class QuotaRoot:
    """One `quota` setting with its rules."""

    name: str
    rules: tuple[Rule, ...] = ()
    grace: str = "10%"
    exceeded: str = "Quota exceeded (mailbox for user is full)"

    def limits(self, mailbox: str | None = None) -> Limits:
        """The limits that hold for saving into a mailbox; None: the general ones."""
        storage = messages = 0
        for rule in self.rules:
            if rule.mask == "*":
                storage = _amount(rule.storage, storage)
                messages = _amount(rule.messages, messages, unit=1)
        for rule in self.rules:
            if mailbox is not None and rule.mask != "*" and rule.matches(mailbox):
                storage = _amount(rule.storage, storage)
                messages = _amount(rule.messages, messages, unit=1)
        return Limits(storage, messages)

    def ignores(self, mailbox: str) -> bool:
        """Whether a mailbox does not count."""
        return any(rule.ignored and rule.matches(mailbox) for rule in self.rules)

    def check(self, usage: Limits, size: int, count: int, mailbox: str, *, delivery: bool = False) -> None:
        """Raises OverQuota if `count` more mails of `size` octets are too much; deliveries have the grace."""
        limits = self.limits(mailbox)
        allowed = limits.storage
        if delivery and allowed:
            allowed += _grace(self.grace, allowed)
        if self.ignores(mailbox):
            return
        if (limits.storage and usage.storage + size > allowed) or (
            limits.messages and usage.messages + count > limits.messages
        ):
            raise OverQuota(self.exceeded)


def _amount(text: str, base: int, unit: int = 0) -> int:
    """An absolute amount, or `base` with "+10M" or "+10%" added."""
    if not text:
        return base
    match = _SIZE.fullmatch(text)
    assert match is not None, "checked when the rule was read"
    sign, number, suffix = match[1], int(match[2]), match[3].upper()
    value = base * number // 100 if suffix == "%" else number * (unit or _UNITS[suffix])
    if sign == "+":
        return base + value
    return max(base - value, 0) if sign == "-" else value


def _grace(text: str, limit: int) -> int:
    return _amount(text.strip() or "0", 0) if not text.strip().endswith("%") else limit * int(text.strip()[:-1]) // 100


def parse_rule(text: str) -> Rule:
    """Read a quota_rule. Raises BadQuota."""
    mask, colon, rest = text.partition(":")
    if not colon or not mask:
        raise BadQuota(f"quota_rule {text!r}: MAILBOX:LIMIT expected")
    values: dict[str, str] = {}
    ignored = False
    for part in rest.split(":"):
        key, equals, value = part.partition("=")
        if key == "ignore":
            ignored = True
        elif key in ("storage", "messages", "bytes") and equals and _SIZE.fullmatch(value):
            values["storage" if key == "bytes" else key] = value + "B" if key == "bytes" else value
        else:
            raise BadQuota(f"quota_rule {text!r}: unknown limit {part!r}")
    return Rule(mask, values.get("storage", ""), values.get("messages", ""), ignored)


def roots(plugin: Mapping[str, str], fields: Mapping[str, str] | None = None) -> tuple[QuotaRoot, ...]:
    """The quota roots of `plugin { }`; quota_rule fields of the userdb win. Raises BadQuota."""
    settings = {**plugin, **{key: value for key, value in (fields or {}).items() if key.startswith("quota")}}
    return tuple(_roots(settings))


def _roots(settings: Mapping[str, str]) -> Iterator[QuotaRoot]:
    number = 1
    while True:
        prefix = "quota" if number == 1 else f"quota{number}"
        text = settings.get(prefix, "")
        if not text:
            return
        backend, _, name = text.partition(":")
        if backend not in ("count", "maildir"):
            raise BadQuota(f"{prefix} = {text}: backend {backend!r} is not served (count, maildir)")
        rules = []
        for index in range(1, 100):
            rule = settings.get(f"{prefix}_rule" if index == 1 else f"{prefix}_rule{index}")
            if rule is None:
                break
            rules.append(parse_rule(rule))
        grace = settings.get("quota_grace", "10%")
        if not re.fullmatch(r"[0-9]{1,12}[BKMGT%]?", grace.strip()):
            raise BadQuota(f"quota_grace = {grace}")
        exceeded = settings.get("quota_exceeded_message") or "Quota exceeded (mailbox for user is full)"
        yield QuotaRoot(name.partition(":")[0], tuple(rules), grace, exceeded)
        number += 1
