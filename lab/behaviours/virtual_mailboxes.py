"""virtual-mailboxes: the same local part in two virtual mailbox domains is two mailboxes."""

from __future__ import annotations

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab, User
from lab.wire import Transcript

DOMAINS = ("one.example", "two.example")

MAILBOXES = (
    Change(
        "mailhost/main.cf",
        "virtual_mailbox_domains = one.example, two.example\n"
        "virtual_mailbox_maps = inline:{ info@one.example=x, info@two.example=x }\n"
        "virtual_transport = lmtp:unix:private/dovecot-lmtp",
    ),
    # Dovecot tells users apart by the whole address, and keeps each domain's mail in a directory of its own.
    Change(
        "mailhost/dovecot.conf",
        "auth_username_format = %Lu\n"
        "userdb {\n"
        "  driver = static\n"
        "  args = uid=@{mail_uid} gid=@{mail_gid} home=@{mail}/%d/%n\n"
        "}",
    ),
    Change("mailhost/users", "info@one.example:{PLAIN}@{password.alice}\ninfo@two.example:{PLAIN}@{password.bob}"),
)


async def subjects(lab: Lab, user: User, evidence: Transcript) -> str:
    """The subjects in a virtual user's INBOX."""
    async with await lab.imap("mailhost.imaps", evidence, tls=True) as imap:
        if (response := await imap.login(user.address, user.password)).status != "OK":
            raise ProbeFailed(f"{user.address} cannot log in: {response}")
        await imap.command("SELECT INBOX")
        found = await imap.command("UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (SUBJECT)])")
        return b"".join(found.untagged).decode("ascii", "replace")


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Mail to info@ in both domains; each mailbox has its own mail and not the other's; the third name is unknown."""
    users = [
        User("info", f"info@{domain}", lab.user(owner).password)
        for domain, owner in zip(DOMAINS, ("alice", "bob"), strict=True)
    ]
    tokens = [lab.token() for _ in users]
    async with await lab.smtp("mailhost.smtp", evidence) as smtp:
        await smtp.ehlo()
        for user, token in zip(users, tokens, strict=True):
            reply = await smtp.send_message("friend@outside.example", [user.address], lab.message(token))
            if reply.code != 250:
                raise ProbeFailed(f"<{user.address}>: {reply}")
        await smtp.command("MAIL FROM:<friend@outside.example>")
        unknown = await smtp.command("RCPT TO:<alice@one.example>")
    if unknown.code == 250:
        return exposed(f"a system's user has mail in a virtual domain: {unknown}")
    await lab.emptied("mailhost")
    for user, own, other in zip(users, tokens, reversed(tokens), strict=True):
        found = await subjects(lab, user, evidence)
        if other in found:
            return exposed(f"{user.address} reads the mail of the other domain")
        if own not in found:
            raise ProbeFailed(f"{user.address} has no mail: {found!r}")
    return hardened("info@one.example and info@two.example have a mailbox each; " + str(unknown))


BEHAVIOUR = Behaviour(
    slug="virtual-mailboxes",
    title="Every hosted domain has mailboxes of its own",
    source="T Virtuelle Domains",
    why="Where many independent domains live on one server, info@ of one must not read the mail of info@ of another. "
    "Virtual mailboxes are found by the whole address, and no mail user needs an account on the system.",
    configuration=(MAILBOXES[0],),
    expectation="the same local part in two domains is two mailboxes; 550 5.1.1 for unknown addresses",
    probe=probe,
    given=MAILBOXES,
    shared=False,
)
