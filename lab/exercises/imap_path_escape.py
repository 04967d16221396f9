"""IMAP as a road into the file system, and how it is closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab.behaviours.base import ProbeFailed
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import IMAP, Refused, Response, Transcript
from lab.wire.imap import quoted

# A refusal for these reasons (RFC 5530) is no refusal: the server has stumbled.
FAULTS = {"SERVERBUG", "UNAVAILABLE", "CORRUPTION"}


class Closed(ProbeFailed):
    """The user does not even get to his own mail; `mistake` tells how."""

    def __init__(self, said: object, mistake: str) -> None:
        super().__init__(str(said))
        self.mistake = mistake


@asynccontextmanager
async def entered(room: Room, role: str, wire: Transcript) -> AsyncIterator[IMAP]:
    """An IMAP session of a user, whose own mail is there. Raises Closed."""
    user = room.user(role)
    try:
        imap = await room.imap("mailhost.imap", wire)
    except Refused as error:
        raise Closed(error, "imap-off") from None
    async with imap:
        await imap.starttls(room.any_certificate)
        response = await imap.login(user.name, user.password)
        if response.status != "OK":
            raise Closed(f"LOGIN: {response}", "locked-out")
        token = await room.mail_to(user, wire)
        await imap.command("SELECT INBOX")
        found = await imap.command(f"SEARCH SUBJECT {token}")
        if not any(line[9:].strip() for line in found.untagged if line.startswith(b"* SEARCH ")):
            raise Closed(f"SEARCH SUBJECT {token}: {found}", "own-mail-gone")
        yield imap


async def tried(imap: IMAP, line: str) -> Response:
    """The answer to one command. Raises ProbeFailed if the server stumbled."""
    response = await imap.command(line)
    if response.code in FAULTS:
        raise ProbeFailed(f"{line}: {response}")
    return response


async def names_are_refused(room: Room, wire: Transcript, names: list[str], commands: tuple[str, ...]) -> Seen:
    """Each name in each command, as the user."""
    try:
        async with entered(room, "user", wire) as imap:
            for name in names:
                for command in commands:
                    line = command.format(quoted(name))
                    response = await tried(imap, line)
                    if response.status == "OK":
                        return failed(f"{line}: {response}", "still-open")
            return passed(f"{line}: {response}")
    except Closed as error:
        return failed(error, error.mistake)


async def others_mail_stays_closed(room: Room, wire: Transcript) -> Seen:
    """The colleague's Maildir by its path."""
    await room.mail_to(room.user("colleague"), Transcript())  # makes the Maildir
    return await names_are_refused(
        room, wire, [str(room.maildir(room.user("colleague").name))], ("SELECT {}", "EXAMINE {}")
    )


async def files_stay_closed(room: Room, wire: Transcript) -> Seen:
    """The forms of the source and of history: absolute, relative, of another user's home."""
    colleague = room.user("colleague").name
    root = str(room.maildir(colleague).parent.parent)
    names = [
        "{server.com}/etc/passwd",
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "~root/x",
        f"{root}/{colleague}/Maildir",
    ]
    return await names_are_refused(room, wire, names, ("SELECT {}", "STATUS {} (MESSAGES)", "SUBSCRIBE {}"))


async def nothing_is_planted(room: Room, wire: Transcript) -> Seen:
    """A mail copied into the colleague's mailbox, and into one of the user's own."""
    await room.mail_to(room.user("colleague"), Transcript())
    foreign = str(room.maildir(room.user("colleague").name))
    seen = await names_are_refused(room, wire, [foreign], ("COPY 1 {}",))
    if not seen.passed:
        return seen
    async with entered(room, "user", wire) as imap:
        name = room.token()
        made = await tried(imap, f"CREATE {name}")
        copied = await tried(imap, f"COPY 1 {name}")
    return (
        passed(seen.saw) if (made.status, copied.status) == ("OK", "OK") else failed(f"CREATE: {made}; COPY: {copied}")
    )


CLOSED = Edit("mailhost/conf.d/10-mail.conf", "mail_full_filesystem_access = no", "mail_full_filesystem_access = yes")
OPEN = Edit("mailhost/conf.d/10-mail.conf", "mail_full_filesystem_access = yes")

EXERCISE = Exercise(
    slug="imap-path-escape",
    title=Text("IMAP is no road into the file system", "IMAP ist kein Weg ins Dateisystem"),
    source="D 5.6.2 Anbieten eines sicheren Zugangs zu Mailboxen",
    task=Text(
        """\
IMAP gives names of mailboxes, and the Dovecot of {mailhost_name} takes them for paths. {user} has found out that the
mail of {colleague} can be read that way.

Try it: log in as {user} and SELECT {dir}/var/mailhost/mail/{colleague}/Maildir. Then close the way, for every form
of name; IMAP itself, and each user's own mailboxes, have to go on working.

The files are {dir}/mailhost/dovecot.conf and conf.d/*.conf; `hardmail lab reload` takes them over.""",
        """\
IMAP nennt Namen von Mailboxen, und der Dovecot von {mailhost_name} hält sie für Pfade. {user} hat herausgefunden, dass
sich so die Mail von {colleague} lesen lässt.

Versuche es: Melde dich als {user} an und gib SELECT {dir}/var/mailhost/mail/{colleague}/Maildir. Schließe dann den
Weg, für jede Form von Namen; IMAP selbst und die eigenen Mailboxen müssen weiterhin funktionieren.

Die Dateien sind {dir}/mailhost/dovecot.conf und conf.d/*.conf; `hardmail lab reload` übernimmt sie.""",
    ),
    commands=(
        "openssl s_client -quiet -crlf -starttls imap -connect 127.0.0.2:{mailhost_imap_port}",
        "  a LOGIN {user} (password)",
        "  b SELECT {dir}/var/mailhost/mail/{colleague}/Maildir",
        '  c LIST "" "*"',
    ),
    steps=(
        Step(
            Text("Another user's mail stays closed", "Fremde Mail bleibt zu"),
            "D 5.6.2 (Zugang zu beliebigen Dateien)",
            Text(
                "NO for {colleague}'s Maildir by its path, while {user}'s own mail is there",
                "NO für das Maildir von {colleague} über seinen Pfad, während die eigene Mail von {user} da ist",
            ),
            others_mail_stays_closed,
        ),
        Step(
            Text("No form of name leads out", "Keine Form von Namen führt hinaus"),
            "D 5.6.2 ({server.com}/etc/passwd)",
            Text(
                "NO for absolute, relative and foreign names, in every command",
                "NO für absolute, relative und fremde Namen, in jedem Befehl",
            ),
            files_stay_closed,
        ),
        Step(
            Text("Nothing is planted", "Nichts wird untergeschoben"),
            "D 5.6.2 (allgemeines Dateizugriffsprotokoll)",
            Text(
                "NO for a copy of a mail into {colleague}'s Maildir, OK into a new mailbox of {user}",
                "NO für die Kopie einer Mail ins Maildir von {colleague}, OK in eine neue Mailbox von {user}",
            ),
            nothing_is_planted,
        ),
    ),
    hints=(
        Text(
            "`hardmail doveconf -c {dir}/mailhost/dovecot.conf -n` shows what differs from the defaults. Which of "
            "the lines has to do with the file system?",
            "`hardmail doveconf -c {dir}/mailhost/dovecot.conf -n` zeigt, was von den Vorgaben abweicht. Welche "
            "Zeile hat mit dem Dateisystem zu tun?",
        ),
        Text(
            "Whatever you switch off must be off for IMAP: a setting inside `protocol pop3 {{ }}` does not count "
            "there.",
            "Was du abschaltest, muss für IMAP aus sein: Eine Einstellung in `protocol pop3 {{ }}` gilt dort nicht.",
        ),
        Text(
            "mail_full_filesystem_access is the line; its default is the safe one.",
            "mail_full_filesystem_access ist die Zeile; ihre Vorgabe ist die sichere.",
        ),
    ),
    start=(OPEN,),
    solution=(CLOSED,),
    mistakes=(
        Mistake(
            "still-open",
            (Edit("mailhost/conf.d/10-mail.conf", "protocol pop3 {\n  mail_full_filesystem_access = no\n}"),),
            Text(
                "The server still takes a name for a path. If you have changed a setting: does it count for IMAP?",
                "Der Server hält einen Namen noch für einen Pfad. Falls du eine Einstellung geändert hast: Gilt sie "
                "für IMAP?",
            ),
        ),
        Mistake(
            "imap-off",
            (CLOSED, Edit("mailhost/dovecot.conf", "protocols = pop3 lmtp", "protocols = imap pop3 lmtp")),
            Text(
                "Nobody reads other people's mail any more, and nobody reads his own: IMAP is off.",
                "Niemand liest mehr fremde Mail, und niemand die eigene: IMAP ist aus.",
            ),
        ),
        Mistake(
            "own-mail-gone",
            (
                Edit(
                    "mailhost/conf.d/10-mail.conf",
                    "protocol imap {\n  mail_location = maildir:~/jail\n}",
                ),
            ),
            Text(
                "The user is let in and does not find his own mail: IMAP looks elsewhere than where LMTP delivers.",
                "Der Benutzer kommt hinein und findet seine Mail nicht: IMAP sieht anderswo nach, als LMTP zustellt.",
            ),
        ),
        Mistake(
            "locked-out",
            (CLOSED, Edit("mailhost/conf.d/10-auth.conf", "auth_mechanisms = cram-md5")),
            Text(
                "The users cannot log in any more. Keeping them out of files does not need keeping them out.",
                "Die Benutzer können sich nicht mehr anmelden. Um sie von Dateien fernzuhalten, muss man sie nicht "
                "aussperren.",
            ),
        ),
    ),
)
