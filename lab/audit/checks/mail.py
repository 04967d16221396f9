"""What can be told only by sending mail, to an address of the one who asks: smuggling, spam, viruses, real relaying."""

from __future__ import annotations

from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.settings import Allow
from lab.audit.visit import Undecided, Visit
from lab.behaviours.no_smuggling import FALSE_ENDS, smuggle, smuggled
from lab.behaviours.spam_filter import GTUBE
from lab.behaviours.virus_filter import EICAR
from lab.wire import Transcript

SMUGGLING: Final = Rule(
    "no-smuggling",
    "One mail can be taken for two",
    Severity.HIGH,
    444,
    "Two servers that disagree about where a mail ends can be made to take one mail for two, the second with a forged "
    "sender that passes SPF (CVE-2023-51764).",
    {
        "Postfix": "smtpd_forbid_bare_newline = normalize\nsmtpd_forbid_bare_newline_exclusions = $mynetworks",
        "Exim": "# update to 4.97.1 or newer (CVE-2023-51766)",
        "sendmail": "# update to 8.18.1 or newer: O SrvFeatures=... o (CVE-2023-51765)",
        "OpenSMTPD": "# update to 7.4 or newer",
    },
)
SPAM: Final = Rule(
    "spam-filter",
    "The test pattern of spam filters is accepted",
    Severity.LOW,
    693,
    "No filter looks at the mail before the server answers for it; one behind the server can only tag it or bounce it.",
    {"Exim": "acl_check_data:\n  deny spam = nobody"},
)
VIRUS: Final = Rule(
    "virus-filter",
    "The test pattern of virus scanners is accepted",
    Severity.LOW,
    693,
    "No scanner looks at the mail before the server answers for it.",
    {"Exim": "acl_check_data:\n  deny malware = *"},
)
RULES: Final = (SMUGGLING, SPAM, VIRUS)


async def check(visit: Visit) -> None:
    """Nothing without --allow and --sink."""
    if visit.target.kind.protocol != "smtp" or visit.target.kind.for_users:
        return
    if visit.allows(Allow.SMUGGLING):
        await _smuggling(visit)
    if visit.allows(Allow.MAIL):
        await _content(visit, SPAM, GTUBE)
        await _content(visit, VIRUS, EICAR)


async def _smuggling(visit: Visit) -> None:
    for end in FALSE_ENDS:
        evidence = Transcript()
        async with visit.smtp(evidence) as smtp:
            replies = await smuggle(smtp, end, visit.settings.sender, visit.settings.sink)
        if smuggled(replies):
            visit.report(SMUGGLING, f"{end!r} ends a message: {' | '.join(map(str, replies))}", evidence)
            return
        if len(replies) == 1 and replies[0].code < 500:
            raise Undecided(f"<{visit.settings.sink}> is not taken: {replies[0]}")


async def _content(visit: Visit, rule: Rule, pattern: str) -> None:
    evidence = Transcript()
    async with visit.smtp(evidence) as smtp:
        sender, sink = visit.settings.sender, visit.settings.sink
        text = f"From: {sender}\nTo: {sink}\nSubject: hardmail audit: {rule.id}\n\n{pattern}\n"
        reply = await smtp.send_message(sender, [sink], text)
    if reply.code == 250:
        visit.report(rule, f"accepted: {reply}", evidence)
    else:
        visit.note(rule.id, str(reply))
