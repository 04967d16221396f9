"""A null client: a machine that only sends, and only through the central mail host."""

from __future__ import annotations

from lab.behaviours.base import ProbeFailed
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import SMTP, Refused, Reply, Transcript

ITSELF, SEEN_FROM_OUTSIDE = "127.0.0.1", "127.0.0.4"


async def only_itself(room: Room, wire: Transcript) -> Seen:
    """The loopback address greets, the other address refuses the connection."""
    port = room.port("nullclient.smtp")
    try:
        async with await room.smtp_at(ITSELF, port, wire) as smtp:
            greeting = smtp.greeting
    except Refused as error:
        return failed(error, "deaf")
    try:
        async with await room.smtp("nullclient.smtp", wire) as smtp:
            return failed(f"{SEEN_FROM_OUTSIDE}:{port}: {smtp.greeting}", "still-listening")
    except Refused as error:
        return passed(f"{greeting}; {error}")


async def handed_in(room: Room, recipient: str, token: str, wire: Transcript) -> Reply:
    """A mail that a program of the machine, running as root, hands to its own MTA."""
    smtp = await SMTP.open(ITSELF, room.port("nullclient.smtp"), source=ITSELF, transcript=wire)
    async with smtp:
        await smtp.ehlo("localhost")
        return await smtp.send_message("root", [recipient], f"From: root\nSubject: {token}\n\nDisk full.\n")


async def root_is_heard(room: Room, wire: Transcript) -> Seen:
    """Mail to root, without a domain, reaches whoever reads root's mail on the central mail host."""
    token, user = room.token(), room.user("user")
    reply = await handed_in(room, "root", token, wire)
    if reply.code != 250:
        return failed(f"RCPT TO:<root>: {reply}")
    try:
        await room.comes(user, token, wire, through="nullclient")
    except ProbeFailed as error:
        return failed(error, "no-way" if "waits in the queue" in str(error) else "kept-here")
    return passed(f"{reply}; root → {user.address}")


async def goes_through_the_mail_host(room: Room, wire: Transcript) -> Seen:
    """Mail to the partner has the central mail host in its Received headers."""
    token, partner = room.token(), room.user("partner")
    reply = await handed_in(room, partner.address, token, wire)
    if reply.code != 250:
        return failed(f"RCPT TO:<{partner.address}>: {reply}")
    try:
        mail = await room.comes(partner, token, wire, through="nullclient")
    except ProbeFailed as error:
        return failed(error, "no-way")
    received = [line.strip() for line in mail.decode().splitlines() if " by " in f" {line.strip()} "]
    way = "; ".join(received)
    if not any(line.startswith(f"by {room.name} ") or f" by {room.name} " in line for line in received):
        return failed(way, "goes-directly")
    return passed(way)


LOOPBACK = Edit("nullclient/main.cf", "inet_interfaces = loopback-only")
NOTHING_LOCAL = Edit("nullclient/main.cf", "mydestination =")
NO_OTHER_WAY = Edit("nullclient/main.cf", "transport_maps =")
RELAYHOST = Edit("nullclient/main.cf", "relayhost = [mail.@{domain}]:@{mailhost.smtp}")

EXERCISE = Exercise(
    slug="null-client",
    title=Text("A machine that only sends", "Ein Rechner, der nur sendet (Nullmailer)"),
    source="D 5.6.1 Konfiguration eines Nullmailers",
    task=Text(
        """\
client.{domain} is a machine that nobody reads mail on. Its programs report to root, and whoever is responsible,
{user}@{domain}, reads his mail on the central mail host, {mailhost_name}. The installation has left a complete mail
server behind: everybody can connect to it, and it keeps root's mail to itself.

Make it a null client: it takes mail from its own programs alone, keeps none, and hands everything, root's mail
included, to the central mail host, whose port is {mailhost_smtp_port}.

Edit {dir}/nullclient/main.cf; `hardmail lab reload` takes it over.""",
        """\
client.{domain} ist ein Rechner, auf dem niemand Mail liest. Seine Programme melden sich bei root, und die zuständige
Person, {user}@{domain}, liest ihre Mail auf dem zentralen Mailserver {mailhost_name}. Die Installation hat einen ganzen
Mailserver hinterlassen: Jeder kann sich mit ihm verbinden, und Mail an root behält er für sich.

Mach einen Nullmailer daraus: Er nimmt Mail nur von den eigenen Programmen, behält keine und übergibt alles, auch die
Mail an root, dem zentralen Mailserver; dessen Port ist {mailhost_smtp_port}.

Bearbeite {dir}/nullclient/main.cf; `hardmail lab reload` übernimmt die Änderung.""",
    ),
    commands=(
        "telnet -b 127.0.0.3 127.0.0.4 {nullclient_smtp_port}",
        "hardmail sendmail -C {dir}/nullclient root",
        "hardmail mailq -c {dir}/nullclient",
        "ls {dir}/var/mailhost/mail/{user}/Maildir/new",
    ),
    steps=(
        Step(
            Text("Nobody else can connect", "Niemand sonst kann sich verbinden"),
            "D 5.6.1 Konfiguration eines Nullmailers (inet_interfaces = localhost)",
            Text(
                "127.0.0.1 greets with 220, 127.0.0.4 refuses the connection",
                "127.0.0.1 grüßt mit 220, 127.0.0.4 verweigert die Verbindung",
            ),
            only_itself,
        ),
        Step(
            Text("Mail to root reaches a person", "Mail an root erreicht einen Menschen"),
            "D 5.6.1 Konfiguration eines Nullmailers (kann auch Mail zu einem zentralen Mail-Server gesandt werden)",
            Text(
                "a mail to root lies in the mailbox of {user}@{domain} on the mail host",
                "eine Mail an root liegt in der Mailbox von {user}@{domain} auf dem Mailserver",
            ),
            root_is_heard,
        ),
        Step(
            Text("Everything goes through the mail host", "Alles geht über den Mailserver"),
            "D 5.6.1 Konfiguration eines Nullmailers (die nur zum Weiterleiten)",
            Text(
                "a mail to {partner}@{partner_domain} arrives, and {mailhost_name} stands in its Received headers",
                "eine Mail an {partner}@{partner_domain} kommt an, und {mailhost_name} steht in ihren Received-Headern",
            ),
            goes_through_the_mail_host,
        ),
    ),
    hints=(
        Text(
            "Three questions: who may hand mail in, which mail stays here, and where does the rest go?",
            "Drei Fragen: Wer darf Mail übergeben, welche Mail bleibt hier, und wohin geht der Rest?",
        ),
        Text(
            "Which addresses Postfix listens on is inet_interfaces; which mail stays here is mydestination; where "
            "the rest goes is relayhost.",
            "Auf welchen Adressen Postfix lauscht, sagt inet_interfaces; welche Mail hier bleibt, mydestination; "
            "wohin der Rest geht, relayhost.",
        ),
        Text(
            "A list may be empty; transport_maps goes before relayhost. A host in [brackets] is taken as it is, "
            "without asking for its MX, and a port is written after a colon.",
            "Eine Liste darf leer sein; transport_maps geht relayhost vor. Ein Rechner in [Klammern] wird genommen, "
            "wie er ist, ohne nach einem MX zu fragen, und ein Port steht hinter einem Doppelpunkt.",
        ),
    ),
    start=(Edit("mailhost/main.cf", "mynetworks = 127.0.0.1/32, 127.0.0.2/32, 127.0.0.4/32"),),
    solution=(LOOPBACK, NOTHING_LOCAL, RELAYHOST, NO_OTHER_WAY),
    mistakes=(
        Mistake(
            "still-listening",
            (NOTHING_LOCAL, RELAYHOST, NO_OTHER_WAY),
            Text(
                "Strangers are still greeted. A machine that receives no mail need not listen to anybody but itself.",
                "Fremde werden noch begrüßt. Ein Rechner, der keine Mail empfängt, braucht niemandem zuzuhören als "
                "sich selbst.",
            ),
        ),
        Mistake(
            "deaf",
            (
                *(LOOPBACK, NOTHING_LOCAL, RELAYHOST, NO_OTHER_WAY),
                Edit(
                    "nullclient/master.cf",
                    "#@{nullclient.smtp}  inet  n  -  n  -  -  smtpd",
                    "@{nullclient.smtp}  inet  n  -  n  -  -  smtpd",
                ),
            ),
            Text(
                "Now the programs of the machine itself are refused too, those that speak SMTP to localhost.",
                "Jetzt werden auch die Programme des Rechners selbst abgewiesen, soweit sie SMTP mit localhost "
                "sprechen.",
            ),
        ),
        Mistake(
            "kept-here",
            (LOOPBACK, RELAYHOST, NO_OTHER_WAY),
            Text(
                "The mail was taken and never left the machine: it holds itself to be the destination of that domain.",
                "Die Mail wurde angenommen und hat den Rechner nie verlassen: Er hält sich für das Ziel dieser Domain.",
            ),
        ),
        Mistake(
            "goes-directly",
            (LOOPBACK, NOTHING_LOCAL, RELAYHOST),
            Text(
                "The mail reached your partner without the mail host: some setting still knows another way, and goes "
                "before yours.",
                "Die Mail hat deinen Partner ohne den Mailserver erreicht: Irgendeine Einstellung kennt noch einen "
                "anderen Weg und geht deiner vor.",
            ),
        ),
        Mistake(
            "no-way",
            (
                *(LOOPBACK, NOTHING_LOCAL, NO_OTHER_WAY),
                Edit("nullclient/main.cf", "relayhost = [mail.@{domain}]:@{mailhost.submission}"),
            ),
            Text(
                "The mail waits in the queue of the null client: read why. Is that the name, and the port, of the "
                "mail host?",
                "Die Mail wartet in der Queue des Nullmailers: Lies, warum. Ist das der Name, und der Port, des "
                "Mailservers?",
            ),
        ),
    ),
    instances=("nullclient", "mailhost", "outside"),
    own="nullclient",
)
