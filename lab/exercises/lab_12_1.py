"""Lab 12.1: accept mail for a test domain from outside, deliver to local users, test with telnet."""

from __future__ import annotations

from lab.behaviours.base import ProbeFailed
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import PARTNER, Room
from lab.exercises.texts import Text
from lab.wire import Transcript

THIRD = "victim@far.example"


async def outside_is_greeted(room: Room, wire: Transcript) -> Seen:
    """The partner connects to the outside address."""
    async with await room.smtp("mailhost.smtp", wire, source=PARTNER) as smtp:
        return passed(smtp.greeting) if smtp.greeting.code == 220 else failed(smtp.greeting)


async def domain_is_accepted(room: Room, wire: Transcript) -> Seen:
    """RCPT TO for both users of the test domain."""
    for role in ("user", "colleague"):
        address = room.user(role).address
        reply = await room.recipient(address, wire)
        if reply.code == 554 and "Relay access denied" in reply.text:
            return failed(f"RCPT TO:<{address}>: {reply}", "not-my-destination")
        if reply.code != 250:
            return failed(f"RCPT TO:<{address}>: {reply}")
    return passed(f"RCPT TO:<{address}>: {reply}")


async def strangers_are_unknown(room: Room, wire: Transcript) -> Seen:
    """RCPT TO for a name that nobody has, and for one that somebody has."""
    user = room.user("user").address
    known = await room.recipient(user, wire)
    if known.code != 250:
        return failed(f"RCPT TO:<{user}>: {known}")
    nobody = f"nobody-at-all@{room.domain}"
    reply = await room.recipient(nobody, wire)
    if reply.code == 250:
        return failed(f"RCPT TO:<{nobody}>: {reply}", "everybody-exists")
    return (passed if reply.code == 550 else failed)(f"RCPT TO:<{nobody}>: {reply}")


async def mail_is_delivered(room: Room, wire: Transcript) -> Seen:
    """A mail of the partner to each user lies in that user's mailbox, and not in the other's."""
    user, colleague = room.user("user"), room.user("colleague")
    for one, other in ((user, colleague), (colleague, user)):
        token = room.token()
        reply = await room.send(one.address, token, wire)
        if reply.code != 250:
            return failed(f"{one.address}: {reply}")
        try:
            await room.comes(one, token, wire)
        except ProbeFailed as error:
            return failed(f"{reply}; {error}", "relay-domain")
        if room.delivered(other, token):
            return failed(f"{one.address}: the mail lies in the mailbox of {other.name}")
    return passed(reply)


async def partner_cannot_relay(room: Room, wire: Transcript) -> Seen:
    """A mail of the partner to a third domain."""
    reply = await room.recipient(THIRD, wire)
    if reply.code == 250:
        return failed(f"RCPT TO:<{THIRD}>: {reply}", "partner-is-trusted")
    return (passed if reply.code == 554 else failed)(f"RCPT TO:<{THIRD}>: {reply}")


LISTEN = Edit("mailhost/main.cf", "inet_interfaces = 127.0.0.1, 127.0.0.2")
DOMAIN = Edit("mailhost/main.cf", "mydestination = $mydomain, $myhostname, localhost")

EXERCISE = Exercise(
    slug="12.1",
    title=Text("Accepting mail from outside", "Mails von außen annehmen"),
    source="T Lab 12.1: Mails von außen annehmen",
    task=Text(
        """\
Your mail host, {mailhost_name}, was installed for local mail: nobody but itself can hand mail to it.

Make it accept mail for the test domain {domain} from outside, and deliver it to the local users {user} and
{colleague}. Nobody outside may send mail to third parties through it.

Edit {dir}/mailhost/main.cf, have it taken over with `hardmail lab reload`, and play your partner with telnet: his
host is 127.0.0.3, yours is 127.0.0.2 as he sees it.""",
        """\
Dein Mailserver {mailhost_name} ist für lokale Mail installiert: Nur er selbst kann ihm Mail übergeben.

Lass ihn Mails für die Test-Domain {domain} von außen annehmen und an die lokalen Benutzer {user} und {colleague}
zustellen. Niemand von außen darf über ihn Mails an Dritte versenden.

Bearbeite {dir}/mailhost/main.cf, übernimm die Änderung mit `hardmail lab reload` und spiele mit telnet deinen
Partner: Sein Rechner ist 127.0.0.3, deiner ist für ihn 127.0.0.2.""",
    ),
    commands=(
        "telnet -b 127.0.0.3 127.0.0.2 {mailhost_smtp_port}",
        "  EHLO mail.{partner_domain}",
        "  MAIL FROM:<{partner}@{partner_domain}>",
        "  RCPT TO:<{user}@{domain}>",
        "  DATA",
        "ls {dir}/var/mailhost/mail/{user}/Maildir/new",
    ),
    steps=(
        Step(
            Text("Your partner can connect", "Dein Partner kann sich verbinden"),
            "T Von wem? (inet_interfaces)",
            Text(
                "127.0.0.2 greets a client at 127.0.0.3 with 220",
                "127.0.0.2 begrüßt einen Client auf 127.0.0.3 mit 220",
            ),
            outside_is_greeted,
        ),
        Step(
            Text("Mail for the test domain is accepted", "Mail für die Test-Domain wird angenommen"),
            "T mydestination",
            Text("250 for both users of {domain}", "250 für beide Benutzer von {domain}"),
            domain_is_accepted,
        ),
        Step(
            Text("Only users who exist get mail", "Nur wer existiert, bekommt Mail"),
            "T mydestination (Adressen entsprechen lokalen Benutzern)",
            Text(
                "250 for a user, 550 for a name that nobody has",
                "250 für einen Benutzer, 550 für einen erfundenen Namen",
            ),
            strangers_are_unknown,
        ),
        Step(
            Text("Mail reaches the local users", "Mail kommt bei den lokalen Benutzern an"),
            "T Lab 12.1 (an lokale User zustellen)",
            Text(
                "a mail to each user lies in that user's mailbox", "eine Mail an jeden Benutzer liegt in seiner Mailbox"
            ),
            mail_is_delivered,
        ),
        Step(
            Text("Your partner cannot relay", "Dein Partner hat kein Relay"),
            "T mynetworks (niemals fremde Adressen eintragen!)",
            Text("554 for a recipient in a third domain", "554 für einen Empfänger in einer dritten Domain"),
            partner_cannot_relay,
        ),
    ),
    hints=(
        Text(
            "Two questions decide: from whom does the host take mail, and for whom? Ask the first at the network: to "
            "which addresses can anybody connect?",
            "Zwei Fragen entscheiden: Von wem nimmt der Server Mail an, und für wen? Beginne beim Netz: Mit welchen "
            "Adressen kann sich überhaupt jemand verbinden?",
        ),
        Text(
            "inet_interfaces says on which addresses Postfix listens: loopback-only, all, or addresses.",
            "inet_interfaces legt fest, auf welchen Adressen Postfix lauscht: loopback-only, all oder einzelne "
            "Adressen.",
        ),
        Text(
            "Once your partner is greeted, read the answer to RCPT TO. A domain with mailboxes of local users "
            "belongs into one particular list of domains.",
            "Sobald dein Partner begrüßt wird, lies die Antwort auf RCPT TO. Eine Domain mit Mailboxen lokaler "
            "Benutzer gehört in eine ganz bestimmte Liste.",
        ),
        Text(
            "mydestination needs the domain itself ($mydomain); mynetworks needs no change at all.",
            "mydestination braucht die Domain selbst ($mydomain); an mynetworks ist nichts zu ändern.",
        ),
    ),
    start=(
        Edit("mailhost/main.cf", "inet_interfaces = loopback-only\nmydestination = $myhostname, localhost"),
        Edit("mailhost/dovecot.conf", "protocols = lmtp", "protocols = imap pop3 lmtp"),
    ),
    solution=(LISTEN, DOMAIN),
    mistakes=(
        Mistake(
            "not-my-destination",
            (LISTEN,),
            Text(
                "Your partner reaches your host, but for your host {domain} is somebody else's domain: passing mail "
                "on to others is relaying, and that is denied. Where does Postfix learn which domains are its own?",
                "Dein Partner erreicht deinen Server, aber für ihn ist {domain} eine fremde Domain: Mail für andere "
                "weiterzugeben ist Relaying, und das lehnt er ab. Woher weiß Postfix, welche Domains seine eigenen "
                "sind?",
            ),
        ),
        Mistake(
            "partner-is-trusted",
            (LISTEN, DOMAIN, Edit("mailhost/main.cf", "mynetworks = 127.0.0.0/8")),
            Text(
                "Your partner can send mail to anybody through your host: it takes his address for one of its own "
                "networks. Mail to your domain needs no trust; which setting gives it?",
                "Dein Partner kann über deinen Server an jeden senden: Der hält dessen Adresse für eine aus dem "
                "eigenen Netz. Mail an deine Domain braucht kein Vertrauen; welche Einstellung verleiht es?",
            ),
        ),
        Mistake(
            "relay-domain",
            (LISTEN, Edit("mailhost/main.cf", "relay_domains = $mydomain")),
            Text(
                "Your host accepts the mail and does not put it into a mailbox. That is what a backup for somebody "
                "else's domain does: it wants to pass the mail on. Of which kind is a domain that has mailboxes "
                "here?",
                "Dein Server nimmt die Mail an und legt sie in keine Mailbox. Das tut ein Backup-MX für eine fremde "
                "Domain: Er will die Mail weitergeben. Von welcher Art ist eine Domain, die hier Mailboxen hat?",
            ),
        ),
        Mistake(
            "everybody-exists",
            (LISTEN, DOMAIN, Edit("mailhost/main.cf", "local_recipient_maps =")),
            Text(
                "Your host accepts mail for names that nobody has, and has to return it later, often to innocent "
                "people. It knew its users before: which table names them, and does it count for what you made of "
                "the domain?",
                "Dein Server nimmt Mail für Namen an, die niemand hat, und muss sie später zurückschicken, oft an "
                "Unbeteiligte. Er kannte seine Benutzer: Welche Tabelle nennt sie, und gilt sie für das, was du aus "
                "der Domain gemacht hast?",
            ),
        ),
    ),
)
