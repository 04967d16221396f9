"""Guessing passwords, and how it is made useless."""

from __future__ import annotations

import asyncio
import secrets
import time

from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.lab_12_2 import PERMIT, SASL, SOCKET
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import Reply, Response, Transcript

# So many guesses from one address must be too many.
GUESSES = 3
SLOW_SECONDS = 2.0


def somewhere() -> str:
    """A loopback address that was not used before: what one check does must not count in the next."""
    return "127." + ".".join(str(1 + secrets.randbelow(250)) for _ in range(3))


async def read_login(room: Room, password: str, source: str, wire: Transcript) -> tuple[Response, float]:
    """The answer to a log-in of the user over IMAP, and how long it took (seconds)."""
    async with await room.imap("mailhost.imap", wire, source=source) as imap:
        await imap.starttls(room.any_certificate)
        start = time.monotonic()
        response = await imap.login(room.user("user").name, password)
        return response, time.monotonic() - start


async def send_login(room: Room, password: str, source: str, wire: Transcript) -> Reply:
    """The answer to a log-in of the user over SMTP."""
    async with await room.encrypted(wire, source=source) as smtp:
        return await smtp.auth_plain(room.user("user").name, password)


async def a_guess_takes_time(room: Room, wire: Transcript) -> Seen:
    """A wrong password, and meanwhile the right one from elsewhere."""
    guess = asyncio.create_task(read_login(room, "guess", somewhere(), wire))
    right, quick = await read_login(room, room.user("user").password, somewhere(), Transcript())
    wrong, slow = await guess
    saw = f"{slow:.1f} s: {wrong}; {quick:.1f} s: {right.status}"
    if right.status != "OK" or quick >= SLOW_SECONDS or wrong.status != "NO":
        return failed(saw)
    return passed(saw) if slow >= SLOW_SECONDS * 0.95 else failed(saw, "no-delay")


async def a_guesser_is_locked_out(room: Room, wire: Transcript) -> Seen:
    """Several guesses at once, then the right password from there and from elsewhere."""
    source, password = somewhere(), room.user("user").password
    await asyncio.gather(*(read_login(room, f"guess-{n}", source, wire) for n in range(GUESSES)))
    elsewhere, _ = await read_login(room, password, somewhere(), wire)
    if elsewhere.status != "OK":
        return failed(f"{elsewhere}", "account-locked")
    there, _ = await read_login(room, password, source, wire)
    return passed(there) if there.status == "NO" else failed(f"{GUESSES} × NO; {there.status}", "never-locked")


async def smtp_counts_too(room: Room, wire: Transcript) -> Seen:
    """The same over SMTP."""
    source = somewhere()
    replies = await asyncio.gather(*(send_login(room, f"guess-{n}", source, wire) for n in range(GUESSES)))
    refused = [reply for reply in replies if reply.code in (421, 450)]
    elsewhere = await send_login(room, room.user("user").password, somewhere(), wire)
    if elsewhere.code != 235:
        return failed(elsewhere, "account-locked")
    return passed(refused[0]) if refused else failed(f"{GUESSES} × {replies[-1]}", "smtp-forgotten")


DELAY = Edit("mailhost/conf.d/10-auth.conf", "auth_failure_delay = 2 secs", "auth_failure_delay = 0")
LOCK = Edit("mailhost/conf.d/10-auth.conf", "hardmail_lockout_address_failures = 2")
RATE = Edit("mailhost/main.cf", "smtpd_client_auth_rate_limit = 2")

EXERCISE = Exercise(
    slug="brute-force",
    title=Text("Guessing passwords does not pay", "Passwörter raten lohnt sich nicht"),
    source="P Mailserver absichern (Die Anzahl für fehlgeschlagenen Login-Versuche heruntersetzen)",
    task=Text(
        """\
The log of {mailhost_name} is full of failed log-ins: programs guess passwords, as fast as the server answers, over IMAP
and over SMTP.

1. Make a wrong password take at least two seconds.
2. Do not hear an address any more after at most three failed log-ins (hardmail_lockout_address_failures in Dovecot's
   configuration; Dovecot itself leaves that to fail2ban).
3. Limit the AUTH commands of an address over SMTP in the same way.

Whoever has the right password, at another address, must notice nothing of it. The files are
{dir}/mailhost/conf.d/10-auth.conf and main.cf; `hardmail lab reload` takes them over.""",
        """\
Das Log von {mailhost_name} ist voll von fehlgeschlagenen Anmeldungen: Programme raten Passwörter, so schnell der Server
antwortet, über IMAP und über SMTP.

1. Lass ein falsches Passwort mindestens zwei Sekunden dauern.
2. Höre eine Adresse nach höchstens drei fehlgeschlagenen Anmeldungen nicht mehr an (hardmail_lockout_address_failures
   in Dovecots Konfiguration; Dovecot selbst überlässt das fail2ban).
3. Begrenze die AUTH-Befehle einer Adresse über SMTP ebenso.

Wer das richtige Passwort hat und von einer anderen Adresse kommt, darf davon nichts merken. Die Dateien sind
{dir}/mailhost/conf.d/10-auth.conf und main.cf; `hardmail lab reload` übernimmt sie.""",
    ),
    commands=(
        '{imtest} -t "" -p {mailhost_imap_port} -a {user} -u {user} -w guess 127.0.0.2',
        "swaks -li 127.9.9.9 -s 127.0.0.2:{mailhost_smtp_port} -tls -a PLAIN -au {user} -ap guess -q AUTH",
    ),
    steps=(
        Step(
            Text("A guess takes time", "Ein Versuch kostet Zeit"),
            "P Mailserver absichern (fehlgeschlagene Login-Versuche)",
            Text(
                "NO after two seconds or more for a wrong password, OK at once for the right one from elsewhere",
                "NO nach mindestens zwei Sekunden für ein falsches Passwort, OK sofort für das richtige von anderswo",
            ),
            a_guess_takes_time,
        ),
        Step(
            Text("Who guesses is not heard any more", "Wer rät, wird nicht mehr gehört"),
            "P Mailserver absichern (fehlgeschlagene Login-Versuche)",
            Text(
                "after three guesses NO even for the right password from there, OK from elsewhere",
                "nach drei Versuchen von dort NO auch für das richtige Passwort, von anderswo OK",
            ),
            a_guesser_is_locked_out,
        ),
        Step(
            Text("SMTP counts too", "SMTP zählt auch"),
            "P Mailserver absichern (SMTP-AUTH aktivieren)",
            Text(
                "450 or 421 for one of three AUTH commands from one address, 235 from elsewhere",
                "450 oder 421 für einen von drei AUTH-Befehlen einer Adresse, 235 von anderswo",
            ),
            smtp_counts_too,
        ),
    ),
    hints=(
        Text(
            "10-auth.conf has a line that takes the delay away; what was it by default?",
            "10-auth.conf hat eine Zeile, die die Verzögerung abschaltet; was war die Vorgabe?",
        ),
        Text(
            "There is a limit by address and one by account. With which could anybody lock {user} out?",
            "Es gibt eine Grenze je Adresse und eine je Konto. Mit welcher könnte jeder {user} aussperren?",
        ),
        Text(
            "Postfix counts clients with smtpd_client_..._rate_limit; one of these counts AUTH.",
            "Postfix zählt Clients mit smtpd_client_..._rate_limit; eine dieser Grenzen zählt AUTH.",
        ),
    ),
    start=(
        *(SASL, SOCKET, PERMIT),
        Edit(
            "mailhost/conf.d/10-auth.conf",
            "\nauth_failure_delay = 0\n"
            "# The class has no time: no penalty that grows from guess to guess.\n"
            "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}",
        ),
    ),
    solution=(DELAY, LOCK, RATE),
    mistakes=(
        Mistake(
            "no-delay",
            (LOCK, RATE),
            Text(
                "A wrong password is answered at once: with enough addresses, thousands are tried in a minute.",
                "Ein falsches Passwort wird sofort beantwortet: Mit genug Adressen sind tausende in einer Minute "
                "probiert.",
            ),
        ),
        Mistake(
            "never-locked",
            (DELAY, RATE),
            Text(
                "Who has guessed three times may go on: slow is not the same as never.",
                "Wer dreimal geraten hat, darf weiterraten: Langsam ist nicht dasselbe wie nie.",
            ),
        ),
        Mistake(
            "account-locked",
            (DELAY, RATE, Edit("mailhost/conf.d/10-auth.conf", "hardmail_lockout_account_failures = 2")),
            Text(
                "Now the owner of the account is locked out, wherever he comes from: anybody can do that to him by "
                "guessing. Count by address.",
                "Jetzt ist der Inhaber des Kontos ausgesperrt, woher er auch kommt: Das kann ihm jeder durch Raten "
                "antun. Zähle nach Adressen.",
            ),
        ),
        Mistake(
            "smtp-forgotten",
            (DELAY, Edit("mailhost/conf.d/10-auth.conf", "hardmail_lockout_address_failures = 20")),
            Text(
                "Over SMTP, guessing goes on: each protocol is a door of its own, and Postfix counts for itself.",
                "Über SMTP wird weitergeraten: Jedes Protokoll ist eine eigene Tür, und Postfix zählt für sich.",
            ),
        ),
    ),
)
