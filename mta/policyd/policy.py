"""From SPF outcomes to actions of access(5): refuse, defer, or prepend Received-SPF (RFC 7208 section 9.1)."""

from __future__ import annotations

import ipaddress
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple
from urllib.parse import quote

from mta.policyd.spf import Checker, Outcome, Result

DUNNO: Final = "DUNNO"
STATES: Final = frozenset({"MAIL", "RCPT", "DATA"})
"""When there is a sender to judge, and a header can still be prepended."""
REMEMBERED: Final = 1000
"""Transactions whose outcome is known: all recipients of one mail have one answer and one header."""
WHY: Final = "http://www.open-spf.org/Why"

_DOT_ATOM: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_UNPRINTABLE: Final = re.compile(r"[^ -~]")
_COMMENT: Final = re.compile(r"([()\\])")

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


class Judged(NamedTuple):
    """One identity and what SPF says of it."""

    identity: str
    """`helo` or `mailfrom`."""
    domain: str
    outcome: Outcome


@dataclass(slots=True)
class Policy:
    """Decides requests. `skip`: clients that nothing is asked about, as policyd-spf's skip_addresses."""

    checker: Checker
    receiver: str
    skip: Networks = ()
    _known: OrderedDict[tuple[str, str, str, str], Judged] = field(default_factory=OrderedDict)

    async def action(self, request: Mapping[str, str]) -> str:
        """The action for one request. Never raises."""
        address, helo, sender = (
            request.get("client_address", ""),
            request.get("helo_name", ""),
            request.get("sender", ""),
        )
        if request.get("protocol_state") not in STATES or request.get("sasl_username") or self._skips(address):
            return DUNNO
        instance = request.get("instance", "")
        key = (instance, address, helo, sender)
        judged = self._known.get(key) if instance else None
        first = judged is None
        if judged is None:
            judged = await self._judge(address, helo, sender)
            self._remember(key, judged)
        match judged.outcome.result:
            case Result.FAIL:
                return refusal(judged, address, helo, sender, self.receiver)
            case Result.TEMPERROR:
                text = f"Message deferred due to: SPF temporary error in {judged.domain}"
                return _one_line(f"DEFER_IF_PERMIT 4.7.24 {text}")
            case _ if first:
                return "PREPEND " + received_spf(judged, address, helo, sender, self.receiver)
        return DUNNO

    async def _judge(self, address: str, helo: str, sender: str) -> Judged:
        """HELO first, as section 2.3 recommends: a name that its owner denies needs no further question."""
        if _is_name(helo):
            outcome = await self.checker.check(address, helo, "", helo)
            if outcome.result in (Result.FAIL, Result.TEMPERROR) or not sender:
                return Judged("helo", helo, outcome)
        elif not sender:
            return Judged("helo", helo, Outcome(Result.NONE))
        domain = sender.rpartition("@")[2]
        return Judged("mailfrom", domain, await self.checker.check(address, domain, sender, helo))

    def _skips(self, address: str) -> bool:
        try:
            client = ipaddress.ip_address(address)
        except ValueError:
            return True
        return any(client.version == network.version and client in network for network in self.skip)

    def _remember(self, key: tuple[str, str, str, str], judged: Judged) -> None:
        if key[0]:
            self._known[key] = judged
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)


def refusal(judged: Judged, address: str, helo: str, sender: str, receiver: str) -> str:
    """The reply for a fail: RFC 7372 section 3.2 has its status code."""
    if judged.outcome.explanation:
        # Section 8.4: the sending domain wrote this, not we.
        why = f"The domain {judged.domain} explains: {judged.outcome.explanation}"
    else:
        scope, identity = ("mfrom", sender) if judged.identity == "mailfrom" else ("helo", helo)
        why = f"Please see {WHY}?s={scope};id={quote(identity, safe='@')};ip={address};r={receiver}"
    return _one_line(f"550 5.7.23 Message rejected due to: SPF fail - not authorized. {why}")


def received_spf(judged: Judged, address: str, helo: str, sender: str, receiver: str) -> str:
    """The header field of section 9.1, on one line: `Received-SPF: pass (...) receiver=...; client-ip=...; ...`."""
    outcome = judged.outcome
    pairs = [
        ("receiver", receiver),
        ("identity", judged.identity),
        ("client-ip", address),
        ("envelope-from", sender),
        ("helo", helo),
        ("mechanism", outcome.mechanism),
        ("problem", outcome.problem),
    ]
    known = "; ".join(f"{key}={_value(value)}" for key, value in pairs if value or key == "envelope-from")
    comment = _COMMENT.sub(r"\\\1", f"{receiver}: {_comment(judged, address, sender)}")
    return _one_line(f"Received-SPF: {outcome.result.value} ({comment}) {known};")


def _comment(judged: Judged, address: str, sender: str) -> str:
    """For people; the words are those of the section's own example where it has any."""
    who = f"domain of {sender}" if judged.identity == "mailfrom" else f"domain {judged.domain}"
    match judged.outcome.result:
        case Result.PASS:
            return f"{who} designates {address} as permitted sender"
        case Result.FAIL:
            return f"{who} does not designate {address} as permitted sender"
        case Result.SOFTFAIL:
            return f"{who} discourages use of {address} as sender"
        case Result.NEUTRAL:
            return f"{who} says nothing about {address}"
        case Result.NONE:
            return f"{who} has no SPF record"
        case Result.PERMERROR:
            return f"{who} has an SPF record that cannot be understood"
    return f"{who} could not be asked"


def _value(value: str) -> str:
    """A dot-atom, or a quoted string."""
    if _DOT_ATOM.fullmatch(value):
        return value
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _is_name(helo: str) -> bool:
    """A HELO name that could have a record: no address literal, more than one label."""
    return "." in helo and not helo.startswith("[") and not helo.replace(".", "").isdigit()


def _one_line(text: str) -> str:
    """Printable ASCII: what a client or a record said can begin no line of its own."""
    return _UNPRINTABLE.sub("?", text)
