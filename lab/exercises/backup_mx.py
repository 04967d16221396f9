"""A backup for the domain of another server."""

from __future__ import annotations

from lab.behaviours.base import ProbeFailed
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import Transcript

THIRD = "victim@far.example"


async def mail_waits(room: Room, wire: Transcript) -> Seen:
    """A mail for the head office is accepted while its server is down, and is in the queue then."""
    head = room.user("head")
    reply = await room.send(head.address, room.token(), wire)
    if reply.code == 550:
        return failed(f"RCPT TO:<{head.address}>: {reply}", "taken-for-own")
    if reply.code != 250:
        return failed(f"RCPT TO:<{head.address}>: {reply}")
    waiting = await room.deferred_or_gone("mailhost")
    return passed(f"{reply}; {waiting.reasons[-1]}") if waiting else failed(f"{reply}; mailq: –", "taken-for-own")


async def only_for_those_who_exist(room: Room, wire: Transcript) -> Seen:
    """Invented names of the head office, and third domains."""
    head = room.user("head").address
    known = await room.recipient(head, wire)
    if known.code != 250:
        return failed(f"RCPT TO:<{head}>: {known}")
    third = await room.recipient(THIRD, wire)
    if third.code == 250:
        return failed(f"RCPT TO:<{THIRD}>: {third}", "relays-everything")
    nobody = f"nobody-at-all@{room.names['head_domain']}"
    unknown = await room.recipient(nobody, wire)
    if unknown.code == 250:
        return failed(f"RCPT TO:<{nobody}>: {unknown}", "accepts-everybody")
    saw = f"<{nobody}>: {unknown}; <{THIRD}>: {third}"
    return passed(saw) if unknown.code == 550 else failed(saw)


async def mail_goes_on(room: Room, wire: Transcript) -> Seen:
    """The head office's server returns, and has the mail."""
    head, token = room.user("head"), room.token()
    reply = await room.send(head.address, token, wire)
    if reply.code != 250:
        return failed(f"RCPT TO:<{head.address}>: {reply}")
    async with room.daemon(room.confdir("primary"), wire):
        try:
            await room.comes(head, token, wire)
        except ProbeFailed as error:
            return failed(error, "no-way")
    return passed(f"{reply}; {head.address}")


DOMAIN = Edit("mailhost/main.cf", "relay_domains = @{head_domain}")
RECIPIENTS = Edit("mailhost/main.cf", "relay_recipient_maps = hash:@{confdir}/relay_recipients")
NAMES = Edit("mailhost/relay_recipients", "@{head}@@{head_domain}    x", "#somebody@there.example    x")
WAY = Edit("mailhost/transport", "@{head_domain}    smtp:[mail.@{head_domain}]:@{primary.smtp}")

EXERCISE = Exercise(
    slug="backup-mx",
    title=Text("A backup for another domain", "Backup-MX für eine andere Domain"),
    source="T Relay-Domains",
    task=Text(
        """\
{head_domain}, the head office, asks you to be its backup: while its own server, {primary_name}, is down, you take its
mail, keep it, and pass it on when the server is back.

1. Accept mail for {head_domain} from everybody, without making it a domain of your own.
2. Only {head} has a mailbox there: refuse invented names at once (the file relay_recipients is for that).
3. Pass the mail on to {primary_name}; here it listens on port {primary_smtp_port} of 127.0.0.3 (the file transport).

The files are in {dir}/mailhost; `hardmail lab reload` takes them over. The head office's server is down; the check
starts it when its turn has come, and you can with `hardmail run -c {dir}/primary`.""",
        """\
{head_domain}, die Zentrale, bittet dich um ein Backup: Solange ihr eigener Server {primary_name} nicht läuft, nimmst du
ihre Mail an, behältst sie und gibst sie weiter, wenn der Server wieder da ist.

1. Nimm Mail für {head_domain} von allen an, ohne daraus eine eigene Domain zu machen.
2. Nur {head} hat dort eine Mailbox: Weise erfundene Namen sofort ab (dafür ist die Datei relay_recipients da).
3. Gib die Mail an {primary_name} weiter; hier lauscht er auf Port {primary_smtp_port} von 127.0.0.3 (Datei transport).

Die Dateien liegen in {dir}/mailhost; `hardmail lab reload` übernimmt sie. Der Server der Zentrale läuft nicht; die
Prüfung startet ihn, wenn es so weit ist, und du kannst es mit `hardmail run -c {dir}/primary`.""",
    ),
    commands=(
        "swaks -li 127.0.0.3 -s 127.0.0.2:{mailhost_smtp_port} -f {partner}@{partner_domain} -t {head}@{head_domain}",
        "hardmail postqueue -c {dir}/mailhost -p",
        "hardmail run -c {dir}/primary",
        "hardmail postqueue -c {dir}/mailhost -f",
    ),
    steps=(
        Step(
            Text("Mail waits while the other server is down", "Mail wartet, solange der andere Server nicht läuft"),
            "T Relay-Domains (wenn dieser nicht erreichbar ist, werden sie zwischengespeichert)",
            Text(
                "250 for {head}@{head_domain}, and the mail is in the queue",
                "250 für {head}@{head_domain}, und die Mail ist in der Queue",
            ),
            mail_waits,
        ),
        Step(
            Text("Only those who exist get mail", "Nur wer existiert, bekommt Mail"),
            "T Relay-Domains (relay_recipient_maps)",
            Text(
                "550 for an invented name at {head_domain}, 554 for a third domain, 250 for {head}",
                "550 für einen erfundenen Namen bei {head_domain}, 554 für eine dritte Domain, 250 für {head}",
            ),
            only_for_those_who_exist,
        ),
        Step(
            Text("The mail goes on when the server is back", "Die Mail geht weiter, wenn der Server wieder da ist"),
            "T Relay-Domains (transport_maps)",
            Text(
                "the mail lies in {head}'s mailbox on {primary_name} soon after its start",
                "die Mail liegt bald nach dem Start in der Mailbox von {head} auf {primary_name}",
            ),
            mail_goes_on,
        ),
    ),
    hints=(
        Text(
            "Of the four kinds of domains that Postfix receives mail for, which one has its mailboxes on another "
            "server?",
            "Welche der vier Arten von Domains, für die Postfix Mail annimmt, hat ihre Mailboxen auf einem anderen "
            "Server?",
        ),
        Text(
            "relay_domains names the domain, relay_recipient_maps its addresses, transport_maps the way.",
            "relay_domains nennt die Domain, relay_recipient_maps ihre Adressen, transport_maps den Weg.",
        ),
        Text(
            "A line in transport: the domain, then smtp:[host]:port. A line in relay_recipients: the whole address, "
            "then any word.",
            "Eine Zeile in transport: die Domain, dann smtp:[Rechner]:Port. Eine Zeile in relay_recipients: die "
            "ganze Adresse, dann irgendein Wort.",
        ),
    ),
    start=(
        Edit("mailhost/relay_recipients", "# Addresses that mail is passed on for.\n#somebody@there.example    x"),
        # The lab's patience with a server that is down: long enough that the check finds the mail in the queue.
        Edit("mailhost/main.cf", "bounce_queue_lifetime = 1d"),
    ),
    solution=(DOMAIN, RECIPIENTS, NAMES, WAY),
    mistakes=(
        Mistake(
            "taken-for-own",
            (Edit("mailhost/main.cf", "mydestination = $mydomain, $myhostname, localhost, @{head_domain}"), WAY),
            Text(
                "Your host now holds the head office's domain to be its own and looks for its users here.",
                "Dein Server hält die Domain der Zentrale jetzt für eine eigene und sucht ihre Benutzer bei sich.",
            ),
        ),
        Mistake(
            "accepts-everybody",
            (DOMAIN, WAY),
            Text(
                "Invented names are accepted: the head office will refuse them later, and you have to return them, "
                "to senders who are invented too.",
                "Erfundene Namen werden angenommen: Die Zentrale weist sie später ab, und du musst sie "
                "zurückschicken, an ebenso erfundene Absender.",
            ),
        ),
        Mistake(
            "no-way",
            (DOMAIN, RECIPIENTS, NAMES),
            Text(
                "The server is back and the mail does not reach it: read in the queue where your host tries to go.",
                "Der Server ist wieder da, und die Mail erreicht ihn nicht: Lies in der Queue, wohin dein Server will.",
            ),
        ),
        Mistake(
            "relays-everything",
            (
                *(DOMAIN, RECIPIENTS, NAMES, WAY),
                Edit("mailhost/main.cf", "smtpd_recipient_restrictions = permit"),
            ),
            Text(
                "Your host now accepts mail for all the world: that is an open relay. To accept mail for one more "
                "domain needs no change of the restrictions.",
                "Dein Server nimmt jetzt Mail für alle Welt an: Das ist ein offenes Relay. Um Mail für eine weitere "
                "Domain anzunehmen, muss man an den Restriktionen nichts ändern.",
            ),
        ),
    ),
)
