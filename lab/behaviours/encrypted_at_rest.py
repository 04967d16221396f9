"""encrypted-at-rest: mail is encrypted to its reader's OpenPGP key before it is stored; without the key it waits."""

from __future__ import annotations

from pysequoia import Tsk, decrypt

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript

KEYS = Change("mailhost/dovecot.conf", "hardmail_openpgp_key = @{confdir}/keys/%u.asc")
END = b"-----END PGP MESSAGE-----"
TEXT = "the launch code is 8141"


def on_disk(lab: Lab, user: str) -> list[bytes]:
    """What the files in the new/ of a user's mailbox hold."""
    place = lab.maildir(user) / "new"
    return [path.read_bytes() for path in place.iterdir()] if place.is_dir() else []


async def stored(lab: Lab, user: str) -> bytes:
    """The user's one mail as it lies on disk. Raises ProbeFailed."""
    await lab.emptied("mailhost")
    files = on_disk(lab, user)
    if not files:
        raise ProbeFailed("the mail is not delivered")
    return files[0]


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """A mail to alice before she has a key, and after; what her file holds, and what her key makes of it."""
    alice, token = lab.user("alice"), lab.token()
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        reply = await smtp.send_message("friend@outside.example", [alice.address], lab.message(token, TEXT + "\n"))
        if reply.code != 250:
            raise ProbeFailed(str(reply))
    waiting = await lab.deferred_or_gone("mailhost")
    if waiting is not None:
        evidence.note(f"without a key the mail waits: {waiting.reasons[0]}")
        if on_disk(lab, alice.name):
            raise ProbeFailed("deferred, and yet delivered")
    key = Tsk.generate(f"<{alice.address}>")
    keys = lab.confdir("mailhost") / "keys"
    keys.mkdir(exist_ok=True)
    (keys / f"{alice.name}.asc").write_text(str(key.extract_certificate()))
    await lab.hardmail("postqueue", "-c", str(lab.confdir("mailhost")), "-f")
    mail = await stored(lab, alice.name)
    evidence.note(f"{alice.name}'s mail on disk:")
    for line in mail.replace(b"\r\n", b"\n").split(b"\n"):
        evidence.server(line, tls=False)
    if TEXT.encode() in mail or token.encode() in mail:
        return exposed("the text of the mail can be read on the disk")
    if waiting is None:
        raise ProbeFailed("encrypted without a key")
    armored = mail[mail.index(b"-----BEGIN PGP MESSAGE-----") : mail.index(END) + len(END)]
    clear = decrypt(armored, decryptor=key.decryptor()).bytes
    if clear is None or TEXT.encode() not in clear or token.encode() not in clear:
        raise ProbeFailed("the owner's key does not open the mail")
    return hardened("the file holds no clear text, the owner's key opens it; without a key the mail waited")


BEHAVIOUR = Behaviour(
    slug="encrypted-at-rest",
    title="Whoever gets hold of the disk or of a backup cannot read the mail",
    source="L 322.2 (Speicherung der Emails; GnuPG)",
    why="TLS protects mail on its way; on the server it lies readable for every administrator, thief and backup. "
    "Encrypted on delivery to a key whose secret half is only on the reader's machine, it does not. A mail "
    "that cannot be encrypted waits in the queue; it is never stored in the clear.",
    configuration=(KEYS,),
    expectation="the files on disk hold no clear text, not even the subject; the reader's key opens them",
    probe=probe,
    twin=Twin((Change("mailhost/dovecot.conf", "hardmail_openpgp_key ="),), "the text of the mail in the file"),
    given=(KEYS,),
    shared=False,
)
