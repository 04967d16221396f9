"""Passwords checked by saslauthd, for programs of Cyrus SASL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lab.behaviours.sasl_programs import ROOM_MODE
from lab.behaviours.sasl_programs import saslauthd as running
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.lab_12_2 import PERMIT
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import Connection, Refused, Transcript

# What saslauthd can be asked: it wants the password itself, and so no mechanism that hides it.
USABLE = {"PLAIN", "LOGIN"}


@asynccontextmanager
async def answering(room: Room, wire: Transcript) -> AsyncIterator[None]:
    """A saslauthd on the class's socket: the student's if one runs, else one for the time of the step."""
    place = room.directory / "saslauthd"
    try:
        await (await Connection.open_unix(place / "mux", transcript=wire)).close()
    except Refused:
        place.mkdir(mode=ROOM_MODE, exist_ok=True)
        place.chmod(ROOM_MODE)
        users = room.confdir("mailhost") / "users"
        async with running(place, wire, "-a", "passwd-file", "-O", str(users)):
            yield
    else:
        yield


async def usable_mechanisms(room: Room, wire: Transcript) -> Seen:
    """What is announced, before TLS and inside it."""
    async with await room.smtp("mailhost.smtp", wire) as smtp:
        before = await smtp.ehlo()
    async with answering(room, wire), await room.encrypted(wire) as smtp:
        offered = set(smtp.keywords.get("AUTH", "").split())
    saw = f"AUTH {' '.join(sorted(offered))}"
    if "AUTH" in before:
        return failed(f"EHLO: AUTH {before['AUTH']}", "in-the-clear")
    if offered - USABLE:
        return failed(saw, "offers-too-much")
    return passed(saw) if offered == USABLE else failed(saw)


async def right_and_wrong(room: Room, wire: Transcript) -> Seen:
    """The right password, and a wrong one."""
    user = room.user("user")
    async with answering(room, wire):
        async with await room.encrypted(wire) as smtp:
            good = await smtp.auth_plain(user.name, user.password)
        async with await room.encrypted(wire) as smtp:
            bad = await smtp.auth_plain(user.name, "guess")
    if good.code == 454:
        return failed(good, "nobody-there")
    saw = f"{good}; {bad}"
    return passed(saw) if (good.code, bad.code) == (235, 535) else failed(saw)


async def sent(room: Room, wire: Transcript) -> Seen:
    """A mail to the partner after the log-in."""
    user, partner, token = room.user("user"), room.user("partner"), room.token()
    async with answering(room, wire), await room.encrypted(wire) as smtp:
        entered = await smtp.auth_plain(user.name, user.password)
        reply = await smtp.send_message(
            user.address, [partner.address], f"From: {user.address}\nSubject: {token}\n\nHi\n"
        )
    if entered.code != 235 or reply.code != 250:
        return failed(f"{entered}; {reply}")
    await room.comes(partner, token, wire)
    return passed(f"{entered}; {reply}")


FILE = "mailhost/sasl/smtpd.conf"
BEFORE = "pwcheck_method: auxprop\nauxprop_plugin: sasldb\n"
AFTER = "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\nsaslauthd_path: @{dir}/saslauthd/mux\n"

EXERCISE = Exercise(
    slug="saslauthd",
    title=Text("Passwords behind saslauthd", "Passwörter hinter saslauthd"),
    source="L 3.2.1.2 SASL",
    task=Text(
        """\
Postfix on {mailhost_name} uses Cyrus SASL (smtpd_sasl_type = cyrus), which looks for passwords in a database of its
own, /etc/sasldb2, and finds nobody there. The passwords of {user} and {colleague} stand in {dir}/mailhost/users, which
Postfix may not read, and shall not.

Have Cyrus SASL ask saslauthd, and offer only what saslauthd can answer. Postfix looks for its SASL configuration in
{dir}/mailhost/sasl/smtpd.conf; the socket is {dir}/saslauthd/mux, which smtpd.conf has to name (saslauthd_path).
`hardmail lab reload` takes the file over.

Start saslauthd in another terminal (below) to try it; without yours, the check starts one.""",
        """\
Postfix auf {mailhost_name} benutzt Cyrus SASL (smtpd_sasl_type = cyrus), das Passwörter in einer eigenen Datenbank
sucht, /etc/sasldb2, und dort niemanden findet. Die Passwörter von {user} und {colleague} stehen in
{dir}/mailhost/users; Postfix darf die Datei nicht lesen und soll es nicht.

Lass Cyrus SASL den saslauthd fragen und biete nur an, was saslauthd beantworten kann. Postfix sucht seine
SASL-Konfiguration in {dir}/mailhost/sasl/smtpd.conf; der Socket ist {dir}/saslauthd/mux, den smtpd.conf nennen muss
(saslauthd_path). `hardmail lab reload` übernimmt die Datei.

Starte saslauthd zum Probieren in einem anderen Terminal (siehe unten); ohne deinen startet die Prüfung einen.""",
    ),
    commands=(
        "hardmail saslauthd -a passwd-file -O {dir}/mailhost/users -m {dir}/saslauthd",
        "hardmail testsaslauthd -f {dir}/saslauthd/mux -u {user} -p PASSWORD",
        '{smtptest} -t "" -p {mailhost_smtp_port} -a {user} -u {user} 127.0.0.2',
    ),
    steps=(
        Step(
            Text("Only what can work is offered", "Nur was gehen kann, wird angeboten"),
            "L 3.2.1.2 SASL (mech_list: PLAIN LOGIN)",
            Text("EHLO inside TLS announces AUTH PLAIN LOGIN", "EHLO innerhalb von TLS kündigt AUTH PLAIN LOGIN an"),
            usable_mechanisms,
        ),
        Step(
            Text("saslauthd says yes and no", "saslauthd sagt Ja und Nein"),
            "L 3.2.1.2 SASL (pwcheck_method: saslauthd)",
            Text("235 for {user}'s password, 535 for another", "235 für das Passwort von {user}, 535 für ein anderes"),
            right_and_wrong,
        ),
        Step(
            Text("Who logs in can send mail", "Wer sich anmeldet, kann senden"),
            "L 3.2.1.2 SASL",
            Text(
                "a mail to {partner}@{partner_domain} is accepted after the log-in and arrives",
                "eine Mail an {partner}@{partner_domain} wird nach der Anmeldung angenommen und kommt an",
            ),
            sent,
        ),
    ),
    hints=(
        Text(
            "pwcheck_method says who is asked: auxprop is a database that Postfix reads itself.",
            "pwcheck_method sagt, wer gefragt wird: auxprop ist eine Datenbank, die Postfix selbst liest.",
        ),
        Text(
            "saslauthd is shown the password and says yes or no: which mechanisms send the password itself?",
            "saslauthd bekommt das Passwort und sagt Ja oder Nein: Welche Mechanismen senden das Passwort selbst?",
        ),
        Text(
            "Three lines: pwcheck_method, mech_list, saslauthd_path.",
            "Drei Zeilen: pwcheck_method, mech_list, saslauthd_path.",
        ),
    ),
    start=(
        Edit(
            "mailhost/main.cf",
            "smtpd_tls_auth_only = yes\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = cyrus\nsmtpd_sasl_path = smtpd",
        ),
        PERMIT,
        Edit(FILE, f"# How Cyrus SASL checks passwords for Postfix.\n{BEFORE}".rstrip()),
    ),
    solution=(Edit(FILE, AFTER, BEFORE),),
    mistakes=(
        Mistake(
            "offers-too-much",
            (
                Edit(
                    FILE,
                    AFTER.replace("mech_list: PLAIN LOGIN\n", "").replace("saslauthd\n", "saslauthd auxprop\n"),
                    BEFORE,
                ),
            ),
            Text(
                "A mechanism is offered that never sends the password: whoever chooses it, and good clients do, "
                "cannot be answered by saslauthd.",
                "Es wird ein Mechanismus angeboten, der das Passwort nie sendet: Wer ihn wählt, und gute Clients tun "
                "das, dem kann saslauthd nicht antworten.",
            ),
        ),
        Mistake(
            "in-the-clear",
            (Edit(FILE, AFTER, BEFORE), Edit("mailhost/main.cf", "smtpd_tls_auth_only = no")),
            Text(
                "The two mechanisms that saslauthd can answer send the password itself, and they are offered before "
                "TLS protects the line.",
                "Die beiden Mechanismen, die saslauthd beantworten kann, senden das Passwort selbst, und sie werden "
                "angeboten, bevor TLS die Leitung schützt.",
            ),
        ),
        Mistake(
            "nobody-there",
            (Edit(FILE, AFTER.replace("saslauthd/mux", "saslauthd/socket"), BEFORE),),
            Text(
                "Postfix asks, and nobody answers at that place: does the path lead to the socket that saslauthd "
                "opens?",
                "Postfix fragt, und niemand kann antworten: Wer wird gefragt, und führt der Pfad zu dem Socket, den "
                "saslauthd öffnet?",
            ),
        ),
    ),
)
