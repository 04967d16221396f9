"""An open relay, found and closed."""

from __future__ import annotations

from lab.behaviours.no_open_relay import ERRORS_EACH, forms
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import PARTNER, Room
from lab.exercises.texts import Text
from lab.wire import Transcript

THIRD = "victim@far.example"
OWN, SPAMMER = "127.0.0.2", "127.0.0.66"


async def strangers_are_refused(room: Room, wire: Transcript) -> Seen:
    """A third domain is refused, the own one is not."""
    own = room.user("user").address
    reply = await room.recipient(THIRD, wire)
    if reply.code == 250:
        return failed(f"RCPT TO:<{THIRD}>: {reply}", "still-trusted")
    accepted = await room.recipient(own, wire)
    if accepted.code != 250:
        return failed(f"RCPT TO:<{own}>: {accepted}", "refuses-everything")
    return passed(reply) if reply.code == 554 else failed(f"RCPT TO:<{THIRD}>: {reply}")


async def the_sender_proves_nothing(room: Room, wire: Transcript) -> Seen:
    """A stranger who calls himself one of us."""
    reply = await room.recipient(THIRD, wire)
    if reply.code == 250:
        return failed(f"RCPT TO:<{THIRD}>: {reply}", "still-trusted")
    for sender in (room.user("user").address, f"postmaster@{room.domain}", ""):
        reply = await room.recipient(THIRD, wire, sender=sender)
        if reply.code == 250:
            return failed(f"MAIL FROM:<{sender}>, RCPT TO:<{THIRD}>: {reply}", "believes-the-sender")
    return passed(reply)


async def no_form_helps(room: Room, wire: Transcript) -> Seen:
    """The relay tests of abuse.net; every transaction is given up."""
    tried = forms(room.domain, OWN)
    for start in range(0, len(tried), ERRORS_EACH):
        async with await room.smtp("mailhost.smtp", wire, source=PARTNER) as smtp:
            await smtp.ehlo(f"mail.{room.names['partner_domain']}")
            for sender, recipient in tried[start : start + ERRORS_EACH]:
                reply = await room.envelope(smtp, recipient, sender)
                if reply.code == 250:
                    return failed(f"MAIL FROM:<{sender}>, RCPT TO:<{recipient}>: {reply}")
    return passed(f"{len(tried)} × 5xx, {reply}")


async def we_may_still_send(room: Room, wire: Transcript) -> Seen:
    """The host itself sends to anybody, another address of the network around it does not."""
    reply = await room.recipient(THIRD, wire, sender=room.user("user").address, source=OWN)
    if reply.code != 250:
        return failed(f"{OWN}: RCPT TO:<{THIRD}>: {reply}", "locked-in")
    other = await room.recipient(THIRD, wire, source=SPAMMER)
    if other.code == 250:
        return failed(f"{SPAMMER}: RCPT TO:<{THIRD}>: {other}", "still-trusted")
    return passed(f"{OWN}: {reply}; {SPAMMER}: {other}")


NETWORKS = Edit("mailhost/main.cf", "mynetworks = 127.0.0.1/32, 127.0.0.2/32")
RESTRICTIONS = Edit("mailhost/main.cf", "smtpd_recipient_restrictions = permit_mynetworks, reject_unauth_destination")

EXERCISE = Exercise(
    slug="open-relay",
    title=Text("An open relay, found and closed", "Ein offenes Relay, gefunden und geschlossen"),
    source="D 5.6.1 (Relay-Tester auf abuse.net); T mynetworks; T Authentifikation: Postfix main.cf",
    task=Text(
        """\
{mailhost_name} stands on a blocklist: spammers send through it. Your predecessor says that it "only trusts our own".

Find out what strangers can do from 127.0.0.3 (there is more than one way), and close all of them. Mail to {domain}
has to arrive as before, and the host itself (127.0.0.1 and 127.0.0.2) may still send to anybody.

Edit {dir}/mailhost/main.cf; `hardmail lab reload` takes it over. Give no DATA while you try: RSET ends a transaction
without a mail.""",
        """\
{mailhost_name} steht auf einer Blockliste: Spammer senden darüber. Dein Vorgänger sagt, er vertraue „nur den Eigenen“.

Finde von Hand heraus, was Fremde von 127.0.0.3 aus können (es gibt mehr als einen Weg), und schließe jeden. Mail an
{domain} muss weiterhin ankommen, und der Rechner selbst (127.0.0.1 und 127.0.0.2) darf weiterhin an jeden senden.

Bearbeite {dir}/mailhost/main.cf; `hardmail lab reload` übernimmt die Änderung. Gib beim Probieren kein DATA: RSET
beendet eine Transaktion ohne Mail.""",
    ),
    commands=(
        "telnet -b 127.0.0.3 127.0.0.2 {mailhost_smtp_port}",
        "  EHLO mail.{partner_domain}",
        "  MAIL FROM:<{partner}@{partner_domain}>",
        "  RCPT TO:<victim@far.example>",
        "  RSET",
        "swaks -li 127.0.0.3 -s 127.0.0.2:{mailhost_smtp_port} -f '' -t victim@far.example -q RCPT",
    ),
    steps=(
        Step(
            Text("Strangers cannot send to strangers", "Fremde können nicht an Fremde senden"),
            "T mynetworks (niemals fremde Adressen eintragen!)",
            Text(
                "554 for a recipient in a third domain, 250 for {user}@{domain}",
                "554 für einen Empfänger in einer dritten Domain, 250 für {user}@{domain}",
            ),
            strangers_are_refused,
        ),
        Step(
            Text("A sender address proves nothing", "Eine Absenderadresse beweist nichts"),
            "T Authentifikation: Postfix main.cf (reject_unauth_destination)",
            Text(
                "554 for a third domain, whatever a stranger says in MAIL FROM",
                "554 für eine dritte Domain, was ein Fremder auch in MAIL FROM sagt",
            ),
            the_sender_proves_nothing,
        ),
        Step(
            Text("No form of address helps", "Keine Schreibweise hilft"),
            "D 5.6.1 (Relay-Tester auf abuse.net)",
            Text(
                "5xx for every form of the relay test: %, !, quotes, source routes, the empty sender",
                "5xx für jede Form des Relay-Tests: %, !, Anführungszeichen, Source-Routen, der leere Absender",
            ),
            no_form_helps,
        ),
        Step(
            Text("The host itself may send to anybody", "Der Rechner selbst darf an jeden senden"),
            "T mynetworks (üblicherweise nur Localhost-Adressen)",
            Text(
                "250 for a third domain from 127.0.0.2, 5xx from 127.0.0.66",
                "250 für eine dritte Domain von 127.0.0.2, 5xx von 127.0.0.66",
            ),
            we_may_still_send,
        ),
    ),
    hints=(
        Text(
            "Read smtpd_recipient_restrictions from left to right as Postfix does: the first word that decides wins. "
            "Which words can say yes?",
            "Lies smtpd_recipient_restrictions von links nach rechts wie Postfix: Das erste Wort, das entscheidet, "
            "gewinnt. Welche Wörter können Ja sagen?",
        ),
        Text(
            "permit_mynetworks says yes to every address in mynetworks. Which addresses are really yours?",
            "permit_mynetworks sagt Ja zu jeder Adresse in mynetworks. Welche Adressen gehören wirklich dir?",
        ),
        Text(
            "check_sender_access looks at what the client says of itself, and OK there means yes to everything.",
            "check_sender_access sieht an, was der Client über sich sagt, und OK heißt dort Ja zu allem.",
        ),
    ),
    start=(
        Edit(
            "mailhost/main.cf",
            "mynetworks = 0.0.0.0/0\n"
            "smtpd_recipient_restrictions = permit_mynetworks, check_sender_access inline:{ @{domain}=OK }, "
            "reject_unauth_destination",
        ),
    ),
    solution=(NETWORKS, RESTRICTIONS),
    mistakes=(
        Mistake(
            "still-trusted",
            (RESTRICTIONS, Edit("mailhost/main.cf", "mynetworks = 127.0.0.0/8")),
            Text(
                "The stranger's address still counts as one of your own. How large is the network that you trust?",
                "Die Adresse des Fremden gilt noch als eigene. Wie groß ist das Netz, dem du vertraust?",
            ),
        ),
        Mistake(
            "believes-the-sender",
            (NETWORKS,),
            Text(
                "It is enough to claim to be one of you: MAIL FROM is a claim that nobody checks.",
                "Es genügt zu behaupten, einer von euch zu sein: MAIL FROM ist eine Behauptung, die niemand prüft.",
            ),
        ),
        Mistake(
            "refuses-everything",
            (NETWORKS, Edit("mailhost/main.cf", "smtpd_recipient_restrictions = permit_mynetworks, reject")),
            Text(
                "The relay is closed, and so is your own mailbox: strangers have to be able to write to your users.",
                "Das Relay ist zu, und deine eigene Mailbox auch: Fremde müssen deinen Benutzern schreiben können.",
            ),
        ),
        Mistake(
            "locked-in",
            (RESTRICTIONS, Edit("mailhost/main.cf", "mynetworks =")),
            Text(
                "Now the host itself cannot send any more: somebody has to be trusted, and that is the host itself.",
                "Jetzt kann der Rechner selbst nicht mehr senden: Jemandem muss man trauen, und das ist er selbst.",
            ),
        ),
    ),
)
