"""DNS blocklists, lists of the good, and a blacklist of one's own."""

from __future__ import annotations

from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import PARTNER, Room
from lab.exercises.texts import Text
from lab.wire import Transcript

# Addresses in the class's stand-ins for the lists: on a blocklist; on both kinds of lists; on the list of one's own.
LISTED, KNOWN_GOOD, OWN_LIST = "127.0.0.66", "127.0.0.69", "127.0.0.67"
OWN = "127.0.0.2"
THIRD = "victim@far.example"


async def spammers_are_refused(room: Room, wire: Transcript) -> Seen:
    """A listed client is refused, the partner and the host itself are not."""
    user = room.user("user").address
    listed = await room.recipient(user, wire, source=LISTED)
    if listed.code == 451:
        return failed(f"{LISTED}: {listed}", "no-table")
    if listed.code != 554 or "blocked using zen.spamhaus.org" not in listed.text:
        return failed(f"{LISTED}: {listed}")
    own = await room.recipient(THIRD, wire, source=OWN)
    if own.code != 250:
        return failed(f"{OWN}: {own}", "own-host-refused")
    partner = await room.recipient(user, wire, source=PARTNER)
    return passed(listed) if partner.code == 250 else failed(f"{PARTNER}: {partner}")


async def the_good_are_spared(room: Room, wire: Transcript) -> Seen:
    """A client on both lists is served, and has no more rights than others."""
    user = room.user("user").address
    spared = await room.recipient(user, wire, source=KNOWN_GOOD)
    if spared.code != 250:
        return failed(f"{KNOWN_GOOD}: {spared}", "good-too-late" if "blocked using" in spared.text else None)
    relayed = await room.recipient(THIRD, wire, source=KNOWN_GOOD)
    if relayed.code == 250:
        return failed(f"{KNOWN_GOOD}: RCPT TO:<{THIRD}>: {relayed}", "good-may-relay")
    listed = await room.recipient(user, wire, source=LISTED)
    saw = f"{KNOWN_GOOD}: {spared}; {LISTED}: {listed}"
    return passed(saw) if listed.code == 554 else failed(saw)


async def own_list_counts(room: Room, wire: Transcript) -> Seen:
    """A client and a sender that no public list knows."""
    user = room.user("user").address
    client = await room.recipient(user, wire, source=OWN_LIST)
    if client.code // 100 != 5:
        return failed(f"{OWN_LIST}: {client}", "no-table" if client.code == 451 else None)
    sender = f"bulk@{room.names['partner_domain']}"
    bulk = await room.recipient(user, wire, sender=sender)
    if bulk.code // 100 != 5:
        return failed(f"MAIL FROM:<{sender}>: {bulk}", "no-table" if bulk.code == 451 else None)
    partner = await room.recipient(user, wire)
    return passed(f"{client}; {bulk}") if partner.code == 250 else failed(f"{PARTNER}: {partner}")


def restrictions(*words: str) -> Edit:
    """The whole list."""
    return Edit("mailhost/main.cf", f"smtpd_recipient_restrictions = {', '.join(words)}")


BEFORE = ("permit_mynetworks", "reject_unauth_destination")
TABLES = (
    "check_client_access hash:@{confdir}/client_checks",
    "check_sender_access hash:@{confdir}/sender_checks",
)
GOOD, BAD = "permit_dnswl_client list.dnswl.org", "reject_rbl_client zen.spamhaus.org"
CLIENTS = Edit("mailhost/client_checks", f"{OWN_LIST}    REJECT", "#192.0.2.1    REJECT")
SENDERS = Edit("mailhost/sender_checks", "bulk@@{partner_domain}    REJECT", "#bulk@spam.example    REJECT")

EXERCISE = Exercise(
    slug="blocklists",
    title=Text("Known spammers stay outside", "Bekannte Spammer bleiben draußen"),
    source="P Spam mit DNS Blacklists blockieren; P Mailserver absichern (Lokale Blacklist erstellen)",
    task=Text(
        """\
Most of the mail that reaches {mailhost_name} is spam, much of it from addresses that others know already.

1. Refuse clients that zen.spamhaus.org lists (127.0.0.66 is one), but not those that list.dnswl.org knows to be good
   (127.0.0.69 is on both).
2. Refuse the client 127.0.0.67 and the sender bulk@{partner_domain}, which no list knows: with two lists of your own,
   the files client_checks and sender_checks.

The host itself, your partner and everybody else must be served as before. The files are in {dir}/mailhost;
`hardmail lab reload` takes them over. The class asks its own name server, nobody outside.""",
        """\
Das meiste, was {mailhost_name} erreicht, ist Spam, vieles davon von Adressen, die andere schon kennen.

1. Weise Clients ab, die auf zen.spamhaus.org stehen (127.0.0.66 ist so einer), aber nicht solche, die list.dnswl.org
   als gut kennt (127.0.0.69 steht auf beiden).
2. Weise den Client 127.0.0.67 und den Absender bulk@{partner_domain} ab, die keine Liste kennt: mit zwei eigenen
   Listen, den Dateien client_checks und sender_checks.

Der Rechner selbst, dein Partner und alle anderen müssen bedient werden wie zuvor. Die Dateien liegen in
{dir}/mailhost; `hardmail lab reload` übernimmt sie. Die Klasse fragt ihren eigenen Nameserver, niemanden draußen.""",
    ),
    commands=(
        "swaks -li 127.0.0.66 -s 127.0.0.2:{mailhost_smtp_port} -f x@{partner_domain} -t {user}@{domain} -q RCPT",
        "telnet -b 127.0.0.69 127.0.0.2 {mailhost_smtp_port}",
        "hardmail postmap -q 127.0.0.67 texthash:{dir}/mailhost/client_checks",
    ),
    steps=(
        Step(
            Text("Listed clients are refused", "Gelistete Clients werden abgewiesen"),
            "P Spam mit DNS Blacklists blockieren (reject_rbl_client)",
            Text(
                "554 with the name of the list for 127.0.0.66; 250 for your partner and, to any domain, for the host "
                "itself",
                "554 mit dem Namen der Liste für 127.0.0.66; 250 für deinen Partner und, an jede Domain, für den "
                "Rechner selbst",
            ),
            spammers_are_refused,
        ),
        Step(
            Text("The good are spared", "Die Guten bleiben verschont"),
            "P Spam mit DNS Blacklists blockieren (permit_dnswl_client)",
            Text(
                "250 for 127.0.0.69 at {domain}, 554 for it in a third domain, 554 for 127.0.0.66",
                "250 für 127.0.0.69 bei {domain}, 554 für ihn in einer dritten Domain, 554 für 127.0.0.66",
            ),
            the_good_are_spared,
        ),
        Step(
            Text("Your own list counts", "Die eigene Liste zählt"),
            "P Mailserver absichern (Lokale Blacklist erstellen)",
            Text(
                "5xx for 127.0.0.67 and for bulk@{partner_domain}, 250 for your partner",
                "5xx für 127.0.0.67 und für bulk@{partner_domain}, 250 für deinen Partner",
            ),
            own_list_counts,
        ),
    ),
    hints=(
        Text(
            "All of it belongs into smtpd_recipient_restrictions, and the order is everything: the first word that "
            "decides wins.",
            "Alles gehört in smtpd_recipient_restrictions, und die Reihenfolge ist alles: Das erste Wort, das "
            "entscheidet, gewinnt.",
        ),
        Text(
            "Whatever says permit must come after reject_unauth_destination; the good before the bad.",
            "Was permit sagt, muss nach reject_unauth_destination stehen; die Guten vor den Schlechten.",
        ),
        Text(
            "check_client_access hash:FILE and check_sender_access hash:FILE look a client and a sender up; the "
            "action is REJECT. Write the path in full.",
            "check_client_access hash:DATEI und check_sender_access hash:DATEI schlagen Client und Absender nach; "
            "die Aktion ist REJECT. Schreib den Pfad ganz aus.",
        ),
    ),
    start=(
        Edit(
            "mailhost/client_checks", "# Clients that are refused by their address (access(5)).\n#192.0.2.1    REJECT"
        ),
        Edit("mailhost/sender_checks", "# Senders that are refused (access(5)).\n#bulk@spam.example    REJECT"),
    ),
    solution=(restrictions(*BEFORE, *TABLES, GOOD, BAD), CLIENTS, SENDERS),
    mistakes=(
        Mistake(
            "own-host-refused",
            (restrictions(BAD, *BEFORE, *TABLES), CLIENTS, SENDERS),
            Text(
                "Your own host is refused: its address stands on that list (every list has 127.0.0.2, for tests), "
                "and the list is asked before you say who is trusted.",
                "Dein eigener Rechner wird abgewiesen: Seine Adresse steht auf der Liste (jede Liste enthält "
                "127.0.0.2, zum Testen), und die Liste wird gefragt, bevor du sagst, wem du traust.",
            ),
        ),
        Mistake(
            "good-too-late",
            (restrictions(*BEFORE, *TABLES, BAD, GOOD), CLIENTS, SENDERS),
            Text(
                "A client that is known to be good is refused: whoever asks the list of the bad first never gets to "
                "the list of the good.",
                "Ein als gut bekannter Client wird abgewiesen: Wer die Liste der Schlechten zuerst fragt, kommt nie "
                "zur Liste der Guten.",
            ),
        ),
        Mistake(
            "good-may-relay",
            (restrictions("permit_mynetworks", GOOD, "reject_unauth_destination", *TABLES, BAD), CLIENTS, SENDERS),
            Text(
                "Whoever stands on a list of good senders may now send to anybody through your host: permit ends the "
                "list with yes to everything.",
                "Wer auf einer Liste guter Absender steht, darf jetzt über deinen Server an jeden senden: permit "
                "beendet die Liste mit Ja zu allem.",
            ),
        ),
        Mistake(
            "no-table",
            (restrictions(*BEFORE, "check_client_access hash:@{confdir}/my_checks", GOOD, BAD),),
            Text(
                "A lookup fails (451), and with it every mail: does the file that you name exist, at that path?",
                "Ein Nachschlagen scheitert (451), und damit jede Mail: Gibt es die Datei, die du nennst, unter "
                "diesem Pfad?",
            ),
        ),
    ),
)
