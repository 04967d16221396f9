"""local-blacklist: one's own tables refuse what no public list knows."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.restrictions import without
from lab.behaviours.stack import STRANGER, Lab
from lab.wire import Transcript

FRIEND, ALICE, HELO = "friend@outside.example", "alice", "mx.outside.example"

# Tables that need no file, to show the other subjects and table types too.
MORE = Change(
    "mailhost/main.cf",
    "smtpd_client_restrictions = check_client_access cidr:{{127.0.0.96/30 554 5.7.1 not from your network}}\n"
    "smtpd_helo_restrictions = check_helo_access pcre:{{/^ylmf-pc/ REJECT we know this bot}}\n"
    "smtpd_data_restrictions = check_recipient_access inline:{{bob@lab.example = WARN seen}}",
)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A client, a sender, a network and a HELO name of the tables; then one that stands in none."""
    cases = (
        ("127.0.0.67", HELO, FRIEND, "Client host rejected: you are on our own list"),
        (STRANGER, HELO, "bulk@outside.example", "Sender address rejected: we do not want your newsletter"),
        ("127.0.0.97", HELO, FRIEND, "not from your network"),
        (STRANGER, "ylmf-pc.example", FRIEND, "Helo command rejected: we know this bot"),
        (STRANGER, HELO, FRIEND, None),
    )
    for source, helo, sender, text in cases:
        async with await lab.smtp("mailhost.smtp", evidence, source=source) as smtp:
            await smtp.ehlo(helo)
            await smtp.command(f"MAIL FROM:<{sender}>")
            reply = await smtp.command(f"RCPT TO:<{lab.user(ALICE).address}>")
        if text and reply.code == 250:
            return exposed(f"<{sender}> from {source}: {reply}")
        if (text or "Ok") not in reply.text or reply.code != (554 if text else 250):
            raise ProbeFailed(f"<{sender}> from {source}: {reply}")
    return hardened("554 5.7.1 for the client, the sender, the network and the HELO name that the tables have")


BEHAVIOUR = Behaviour(
    slug="local-blacklist",
    title="An administrator's own list refuses who bothers only this server",
    source="P Mailserver absichern (Lokale Blacklist); P Konfiguration für postfix",
    why="Public lists know those who bother everybody. access(5) tables of one's own add single clients, networks and "
    "senders, each with an action and a text for the other side.",
    configuration=(
        Change(
            "mailhost/main.cf",
            "check_client_access hash:@{confdir}/client_checks,\ncheck_sender_access hash:@{confdir}/sender_checks,",
        ),
        Change("mailhost/client_checks", "REJECT you are on our own list"),
        Change("mailhost/sender_checks", "REJECT we do not want your newsletter"),
    ),
    expectation="554 5.7.1 with the table's text, as access(5) says",
    probe=probe,
    given=(MORE,),
    twin=Twin(
        (without("smtpd_recipient_restrictions", "check_client_access", "check_sender_access"),),
        "the listed client is served",
    ),
    shared=False,
)
