"""central-root-mail: what cron and alarms write to root is read at the central mail host."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail to `root` and to root at the null client's own name reaches the administrator, alice."""
    alice = lab.user("alice")
    for recipient in ("root", "root@client.lab.example"):
        token = lab.token()
        sent = await lab.sendmail(
            "nullclient", "-i", "-t", message=f"To: {recipient}\nSubject: {token}\n\nthe disk of client is full\n"
        )
        evidence.note(f"sendmail -i -t, To: {recipient}: exit {sent.status}")
        if sent.status:
            raise ProbeFailed(f"sendmail: exit {sent.status}: {sent.errors.strip()}")
        mail = (await lab.arrived(alice, token, evidence)).decode("ascii", "replace")
        line = next((line for line in mail.split("\r\n") if line.startswith("To:")), "no To:")
        evidence.note(line)
        if "client.lab.example" in line:
            return exposed(f"the address of the null client is told: {line}")
        if line != "To: root@lab.example":
            raise ProbeFailed(line)
    left = await lab.queued("nullclient")
    if left:
        raise ProbeFailed(f"still queued on the null client: {left}")
    return hardened("root's mail is in the administrator's mailbox, To: root@lab.example")


BEHAVIOUR = Behaviour(
    slug="central-root-mail",
    title="Alarms of all machines reach one administrator",
    source="D 5.6 Absichern des Mail-Dienstes; D 5.6.1 Konfiguration eines Nullmailers",
    why="Warnings that stay in root's mailbox on the machine that is under attack are read by nobody, or by the "
    "attacker. The null client sends them on, and the mail host gives root's mail to a person.",
    configuration=(
        Change("nullclient/main.cf", "smtp_generic_maps = hash:@{confdir}/generic"),
        Change("mailhost/virtual", "root@lab.example            alice@lab.example"),
    ),
    expectation="delivered to the administrator, To: rewritten by smtp_generic_maps",
    probe=probe,
    instances=("nullclient", "mailhost"),
)
