"""dns-blocklists: clients on a blocklist are refused, known good ones are not, and a broken list stops no mail."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import without
from lab.behaviours.reverse_dns import recipient_from
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Transcript

# Addresses in the lab's stand-ins for the lists: on a blocklist; one list fails when asked; on both kinds of lists.
LISTED, OUTAGE, GOOD_TOO = "127.0.0.66", "127.0.0.68", "127.0.0.69"
HELO = "mx.outside.example"


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The same mail from four addresses."""
    listed = await recipient_from(LISTED, HELO, lab, evidence)
    if listed.code == 250:
        return exposed(f"a client that zen.spamhaus.org lists: {listed}")
    if listed.code != 554 or "blocked using zen.spamhaus.org" not in listed.text or "query/ip" not in listed.text:
        raise ProbeFailed(str(listed))
    for source, case in ((STRANGER, "on no list"), (OUTAGE, "a list is out of order"), (GOOD_TOO, "on a list of good")):
        reply = await recipient_from(source, HELO, lab, evidence)
        if reply.code != 250:
            raise ProbeFailed(f"{case}: {reply}")
    return hardened(listed)


BEHAVIOUR = Behaviour(
    slug="dns-blocklists",
    title="Known spammers are refused by their address",
    source="P Spam mit DNS Blacklists blockieren",
    why="Most spam comes from addresses that others have seen before. The DNS is asked for the reversed address under "
    "the list's domain; any answer means refusal. A list of good senders is asked first, so that a mistake of "
    "one list does less harm, and a list that does not answer is passed over: mail is not lost for it.",
    configuration=(
        Change(
            "mailhost/main.cf",
            "permit_dnswl_client list.dnswl.org,\n"
            "reject_rbl_client zen.spamhaus.org,\n"
            "reject_rbl_client bl.spamcop.net",
        ),
    ),
    expectation="554 5.7.1 Service unavailable; Client host [x] blocked using zone; TXT; an outage never blocks mail",
    probe=probe,
    twin=Twin(
        (without("smtpd_recipient_restrictions", "permit_dnswl_client", "reject_rbl_client"),), "spammers are served"
    ),
)
