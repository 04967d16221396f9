"""last-value-wins: main.cf is read from top to bottom, and the last value counts."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

TWICE = Change(
    "nullclient/main.cf",
    "greeting_word = second\n"
    "smtpd_banner = $myhostname ESMTP first value\n"
    "smtpd_banner = $myhostname ESMTP\n"
    "# a comment does not end the line that goes on below\n"
    "    ${greeting_word} value",
)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The greeting and `postconf -h` both show the last value, joined from its two lines and expanded."""
    async with await lab.smtp("nullclient.smtp", evidence, source="127.0.0.1") as smtp:
        # White space of the file stays in the value; it does not matter here.
        greeting = " ".join(str(smtp.greeting).split())
    result = await lab.hardmail("postconf", "-c", str(lab.confdir("nullclient")), "-x", "-h", "smtpd_banner")
    evidence.note(f"postconf -x -h smtpd_banner: {result.output.strip()}")
    if greeting.endswith("ESMTP second value") and result.output.strip().endswith("ESMTP second value"):
        return hardened(greeting)
    return exposed(greeting)


BEHAVIOUR = Behaviour(
    slug="last-value-wins",
    title="In main.cf the last value of a parameter counts",
    source="L 3.2.1.1 main.cf",
    why="An administrator who adds a line at the end expects it to count. If the first value counted, the "
    "hardening would be written down and not in force.",
    configuration=(TWICE,),
    expectation="the last value is in force; continuation lines are joined, $name is expanded",
    probe=probe,
    given=(TWICE,),
    instances=("nullclient",),
    shared=False,
)
