"""spam-filter: real SpamAssassin judges each mail before it is accepted, through its milter."""

from __future__ import annotations

import tempfile
from pathlib import Path

from lab.behaviours import filters
from lab.behaviours.base import Behaviour, Change, Finding, Twin
from lab.behaviours.stack import Lab
from lab.programs import Program
from lab.wire import Transcript

SPAMD, SPAMC = Program("spamd", "spamd"), Program("spamc", "spamc")
MILTER = Program("spamass-milter", "spamass-milter")

# SpamAssassin's test of itself; in two pieces, so that no filter refuses this file.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*" + "GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """GTUBE is refused, other mail is marked as seen; without the filter mail waits with its sender."""
    sockets = filters.milter_directory(lab)
    with tempfile.TemporaryDirectory(prefix="hardmail-") as name:
        place = Path(name)
        spamd = place / "spamd"
        rules = ("--local", "--nouser-config", "--max-children=1", "--syslog=stderr", f"--socketpath={spamd}")
        milter = ("-p", str(sockets / "spamass"), "-r", "15", "--", "-U", str(spamd))
        async with (
            filters.running(SPAMD, *rules, socket=spamd, log=place / "spamd.log"),
            filters.running(MILTER, *milter, socket=sockets / "spamass", log=place / "milter.log") as process,
        ):
            found = await filters.judged(
                lab, lab.message(lab.token(), GTUBE + "\n"), b"X-Spam-Checker-Version", evidence
            )
            if isinstance(found, Finding):
                return found
            await filters.stop(process)
            return await filters.kept_by_the_client(lab, found, "the filter", evidence)


BEHAVIOUR = Behaviour(
    slug="spam-filter",
    title="Spam is refused before it is accepted",
    source="L 3.2.3 (ein Filter wie Spamassassin)",
    why="A filter that judges a mail while its sender still waits for the answer can refuse it: nothing has to be "
    "bounced to forged addresses, nothing vanishes in a spam folder. If the filter does not answer, mail is refused "
    "for now and stays with its sender.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_milters = unix:milter/spamass"),
        Change("mailhost/main.cf", "milter_default_action = tempfail"),
    ),
    expectation="real SpamAssassin refuses GTUBE at end-of-data (550 5.7.1); without it mail is refused for now",
    probe=probe,
    given=(Change("mailhost/main.cf", "smtpd_milters = unix:milter/spamass\nmilter_default_action = tempfail"),),
    twin=Twin(filters.NO_MILTER, "GTUBE is accepted"),
    shared=False,
    needs=(SPAMD, SPAMC, MILTER),
)
