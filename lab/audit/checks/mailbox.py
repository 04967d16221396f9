"""What a user who has logged in can reach besides their own mail; only with --user, and only by reading."""

from __future__ import annotations

from typing import Final

from lab.audit.finding import Rule, Severity
from lab.audit.visit import Undecided, Visit
from lab.behaviours.imap_path_escape import FAULTS, NAMES
from lab.wire import IMAP, Transcript
from lab.wire.imap import quoted

ESCAPE: Final = Rule(
    "imap-path-escape",
    "Mailbox names lead into the server's file system",
    Severity.HIGH,
    22,
    "A mail password is then as good as a shell: other users' mail and the system's files can be read.",
)
RULES: Final = (ESCAPE,)

READING: Final = ("EXAMINE {}", "STATUS {} (MESSAGES)")
"""Commands that take a name and change nothing."""
DIRECTORIES: Final = ("/", "/etc/", "../", "../../", "~root/")


async def check(visit: Visit) -> None:
    """Names of files and of others' mail, in the commands that only read."""
    if visit.target.kind.protocol != "imap" or not visit.settings.user:
        return
    if not visit.has_tls:
        raise Undecided("a password is not sent in the clear")
    if not (visit.facts.get("certificate trusted") or visit.settings.insecure):
        raise Undecided("the password is not given to a server that does not prove its name (--insecure gives it)")
    evidence = Transcript()
    async with visit.imap(evidence, tls=True) as imap:
        visit.be_patient(imap)
        response = await imap.login(visit.settings.user, visit.settings.password)
        if response.status != "OK":
            raise Undecided(f"{visit.settings.user} cannot log in: {response}")
        user = visit.settings.user.partition("@")[0]
        for name in (*NAMES, "~/Maildir", f"/var/mail/{user}", *visit.settings.paths):
            if said := await _escapes(imap, name):
                visit.report(ESCAPE, said, evidence)
                return
        for directory in DIRECTORIES:
            listed = await imap.command(f'LIST "" {quoted(directory + "%")}')
            if names := [line for line in listed.untagged if line.startswith(b"* LIST ")]:
                said = names[0].decode("utf-8", "backslashreplace")
                visit.report(ESCAPE, f"LIST {directory}%: {len(names)} names, such as {said}", evidence)
                return


async def _escapes(imap: IMAP, name: str) -> str | None:
    for command in READING:
        response = await imap.command(command.format(quoted(name)))
        if response.status == "OK":
            return f"{command.format(quoted(name))}: {response}"
        if response.code in FAULTS:
            raise Undecided(f"{command.format(quoted(name))}: {response}")
    return None
