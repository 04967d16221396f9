"""transport-maps: the table decides where mail for a domain goes, whatever the DNS says."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

NO_MAIL = "closed.example takes no mail"
TABLE = (
    Change("mailhost/main.cf", "disable_dns_lookups = yes\nsmtp_host_lookup = dns"),
    Change("mailhost/transport", f"closed.example      error:5.7.1 {NO_MAIL}"),
)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A domain with a host and port in the table, and one that the table closes."""
    alice, carol, token = lab.user("alice"), lab.user("carol"), lab.token()
    async with await lab.smtp_logged_in(alice, evidence) as smtp:
        await smtp.command(f"MAIL FROM:<{alice.address}>")
        closed = await smtp.command("RCPT TO:<friend@closed.example>")
        await smtp.command("RSET")
        if closed.code == 250:
            return exposed(f"mail for a closed domain is accepted: {closed}")
        if NO_MAIL not in closed.text:
            raise ProbeFailed(str(closed))
        reply = await smtp.send_message(alice.address, [carol.address], lab.message(token))
        if reply.code != 250:
            raise ProbeFailed(f"<{carol.address}>: {reply}")
    await lab.arrived(carol, token, evidence)
    return hardened(f"outside.example went to the table's host and port; closed.example: {closed}")


BEHAVIOUR = Behaviour(
    slug="transport-maps",
    title="Mail for a domain takes the way that the administrator has chosen",
    source="L 3.2.1.1 main.cf (transport_maps, disable_dns_lookups); T Relay-Domains",
    why="Whoever can forge an MX record can have mail sent to himself. A transport(5) entry fixes host and port, or "
    "closes a domain, and the DNS is not asked where mail for it goes.",
    configuration=(
        Change("mailhost/main.cf", "transport_maps = hash:@{confdir}/transport"),
        Change("mailhost/main.cf", "disable_dns_lookups = yes\nsmtp_host_lookup = dns"),
    ),
    expectation="as transport(5) says: delivered to the host and port of the table, refused with the table's text",
    probe=probe,
    given=TABLE,
    instances=("mailhost", "outside"),
    shared=False,
)
