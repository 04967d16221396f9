"""imap-path-escape: no mailbox name leads out of a user's mail, in any command that takes one."""

from __future__ import annotations

import contextlib

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import IMAP, Transcript
from lab.wire.imap import quoted

# A refusal for these reasons (RFC 5530) is no refusal: the server has stumbled.
FAULTS = {"SERVERBUG", "UNAVAILABLE", "CORRUPTION"}

# By every road that the sources and history know.
NAMES = (
    "{server.com}/etc/passwd",
    "/etc/passwd",
    "../../../../../../etc/passwd",
    "~root/x",
    "~/../bob/Maildir",
    "INBOX/../../../bob/Maildir",
    "&AC8-etc&AC8-passwd",
)
# {} is the mailbox name; every command of RFC 3501 that takes one.
COMMANDS = (
    "SELECT {}",
    "EXAMINE {}",
    "STATUS {} (MESSAGES)",
    "CREATE {}",
    "DELETE {}",
    "RENAME {} moved-here",
    "RENAME mine {}",
    "SUBSCRIBE {}",
    "COPY 1 {}",
)


async def escapes(imap: IMAP, name: str) -> str | None:
    """Try `name` in every command; the first answer that is no refusal."""
    for command in COMMANDS:
        response = await imap.command(command.format(quoted(name)))
        if response.status == "OK":
            return f"{command.format(name)}: {response}"
        if response.code in FAULTS:
            raise ProbeFailed(f"{command.format(name)}: {response}")
    listed = await imap.command(f'LIST {quoted(name)} "*"')
    if any(b"passwd" in line or b"cur" in line.split() for line in listed.untagged):
        return f"LIST shows {listed.untagged[0]!r}"
    return None


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """alice asks for files of the system and for bob's mail, by every road that the sources and history know."""
    alice = lab.user("alice")
    for user in (alice, lab.user("bob")):
        async with await lab.imap("mailhost.imaps", Transcript(), tls=True) as imap:
            await imap.login(user.name, user.password)
            await imap.command("SELECT INBOX")  # makes the Maildir
    foreign = str(lab.maildir("bob"))
    names = [foreign, *NAMES, "planted"]
    # A link that somebody managed to plant in alice's mail must not be followed, whatever it points to.
    link = lab.maildir("alice") / ".planted"
    link.symlink_to(foreign)
    evidence.note("alice's Maildir holds a symbolic link .planted to bob's Maildir")
    try:
        async with await lab.imap("mailhost.imaps", evidence, tls=True) as imap:
            await imap.login(alice.name, alice.password)
            await imap.command("CREATE mine")
            await imap.command("SELECT INBOX")
            for name in names:
                if found := await escapes(imap, name):
                    return exposed(found)
    finally:
        with contextlib.suppress(FileNotFoundError):
            link.unlink()
    return hardened(f"{len(names)} names refused in {len(COMMANDS) + 1} commands each")


BEHAVIOUR = Behaviour(
    slug="imap-path-escape",
    title="IMAP is no road into the file system",
    source="D 5.6.2 Anbieten eines sicheren Zugangs zu Mailboxen",
    why="IMAP gives names of mailboxes, and a server that takes them for paths gives a shell's worth of "
    "access to files. Every name is resolved beneath the user's own mail root.",
    configuration=(Change("mailhost/dovecot.conf", "mail_full_filesystem_access = no"),),
    expectation="NO [CANNOT] or NO [NONEXISTENT] in every command; the file is never opened",
    probe=probe,
    twin=Twin(
        (Change("mailhost/dovecot.conf", "mail_full_filesystem_access = yes"),), "alice opens bob's mail by its path"
    ),
    shared=False,
)
