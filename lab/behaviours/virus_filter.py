"""virus-filter: real ClamAV scans each mail before it is accepted, through its milter."""

from __future__ import annotations

import tempfile
from email.message import EmailMessage
from pathlib import Path

from lab.behaviours import filters
from lab.behaviours.base import Behaviour, Change, Finding, Twin
from lab.behaviours.stack import Lab
from lab.programs import Program
from lab.wire import Transcript

CLAMD, MILTER = Program("clamd", "clamav-daemon"), Program("clamav-milter", "clamav-milter")

# The test file of the anti-virus makers; in two pieces, so that no scanner takes this file for it.
EICAR = r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-" + "ANTIVIRUS-TEST-FILE!$H+H*"


def infected(token: str) -> str:
    """A mail with EICAR for an attachment."""
    mail = EmailMessage()
    mail["From"], mail["Subject"] = "friend@outside.example", token
    mail.set_content("The file that you asked for.\n")
    mail.add_attachment(EICAR.encode(), "application", "octet-stream", filename="eicar.com")
    return mail.as_string()


def configure(place: Path, socket: Path) -> tuple[Path, Path]:
    """Configuration files of clamd, with a signature of EICAR for all its knowledge, and of clamav-milter."""
    database = place / "database"
    database.mkdir()
    (database / "test.ndb").write_text(f"Eicar-Test-Signature:0:*:{EICAR.encode().hex()}\n")
    scanner, milter = place / "clamd.conf", place / "milter.conf"
    scanner.write_text(
        f"Foreground yes\nDatabaseDirectory {database}\nTemporaryDirectory {place}\nLocalSocket {place}/clamd\n"
    )
    milter.write_text(
        f"Foreground yes\nMilterSocket unix:{socket}\nClamdSocket unix:{place}/clamd\nTemporaryDirectory {place}\n"
        "OnInfected Reject\nRejectMsg virus found: %v\nOnFail Defer\nAddHeader Replace\n"
    )
    return scanner, milter


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """EICAR is refused, other mail is marked as scanned; without the scanner mail waits with its sender."""
    socket = filters.milter_directory(lab) / "clamav"
    with tempfile.TemporaryDirectory(prefix="hardmail-") as name:
        place = Path(name)
        scanner, milter = configure(place, socket)
        clamd = filters.running(CLAMD, "-c", str(scanner), socket=place / "clamd", log=place / "clamd.log")
        async with (
            clamd as process,
            filters.running(MILTER, "-c", str(milter), socket=socket, log=place / "milter.log"),
        ):
            found = await filters.judged(lab, infected(lab.token()), b"X-Virus-Scanned", evidence)
            if isinstance(found, Finding):
                return found
            await filters.stop(process)
            return await filters.kept_by_the_client(lab, found, "the scanner", evidence)


BEHAVIOUR = Behaviour(
    slug="virus-filter",
    title="Viruses are refused before they are accepted",
    source="L 3.2.3 (ein Antivirusprogramm wie ClamAV)",
    why="A mail with a virus is refused while its sender still waits for the answer; the scanner unpacks attachments "
    "itself. If it does not answer, mail is refused for now and stays with its sender.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_milters = unix:milter/clamav"),
        Change("mailhost/main.cf", "milter_default_action = tempfail"),
    ),
    expectation="real ClamAV refuses EICAR at end-of-data (550 5.7.1); without it mail is refused for now",
    probe=probe,
    given=(Change("mailhost/main.cf", "smtpd_milters = unix:milter/clamav\nmilter_default_action = tempfail"),),
    twin=Twin(filters.NO_MILTER, "EICAR is accepted"),
    shared=False,
    needs=(CLAMD, MILTER),
)
