"""Tables outside the jail, read through proxymap."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from lab.behaviours.proxymap import who_opens
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import Transcript

ALIAS = "info"
# A process looks whether a table has changed once in a second.
SEEN_IN_SECONDS, LOOK_AGAIN_SECONDS = 2.5, 0.5


def elsewhere(room: Room, name: str) -> Path:
    """A table outside the jail."""
    return room.directory / "elsewhere" / name


async def aliases_through_proxymap(room: Room, wire: Transcript) -> Seen:
    """The alias is known, and code inside smtpd cannot open the table."""
    known = await room.recipient(f"{ALIAS}@{room.domain}", wire)
    if known.code == 451:
        return failed(known, "not-readable" if "Sender address rejected" in known.text else "no-proxymap")
    unknown = await room.recipient(f"nobody-at-all@{room.domain}", wire)
    if (known.code, unknown.code) != (250, 550):
        return failed(f"{known}; {unknown}")
    if await who_opens(room, room.confdir("mailhost"), "smtpd", elsewhere(room, "aliases"), wire):
        return failed(f"smtpd: open {elsewhere(room, 'aliases')}", "still-opens")
    return passed(f"{known}; {unknown}")


async def senders_through_proxymap(room: Room, wire: Transcript) -> Seen:
    """The same for the table of customers that are barred."""
    user = room.user("user").address
    barred = await room.recipient(user, wire, sender=f"barred@{room.names['partner_domain']}")
    if barred.code == 451:
        return failed(barred, "not-readable" if "Sender address rejected" in barred.text else None)
    other = await room.recipient(user, wire)
    if barred.code // 100 != 5 or other.code != 250:
        return failed(f"{barred}; {other}")
    if await who_opens(room, room.confdir("mailhost"), "smtpd", elsewhere(room, "customers"), wire):
        return failed(f"smtpd: open {elsewhere(room, 'customers')}", "still-opens")
    return passed(barred)


async def changes_are_seen(room: Room, wire: Transcript) -> Seen:
    """Mail to an alias that has just been added reaches the user, and no server opens the tables itself."""
    user, token, table = room.user("user"), room.token(), elsewhere(room, "aliases")
    before = table.read_text()
    wire.note(f"{table}: {token}@{room.domain} {user.address}")
    try:
        table.write_text(f"{before}{token}@{room.domain} {user.address}\n")
        deadline = time.monotonic() + SEEN_IN_SECONDS
        while (reply := await room.send(f"{token}@{room.domain}", token, wire)).code == 550:
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        if reply.code != 250:
            return failed(reply, "frozen" if reply.code == 550 else None)
        await room.comes(user, token, wire)
    finally:
        table.write_text(before)
    for service in ("smtpd", "qmgr"):
        for name in ("aliases", "customers"):
            if await who_opens(room, room.confdir("mailhost"), service, elsewhere(room, name), wire):
                return failed(f"{service}: open {elsewhere(room, name)}", "still-opens")
    return passed(f"{reply}; {user.address}")


SERVICE = Edit("mailhost/master.cf", "proxymap  unix  -       -       n       -       -       proxymap")
ALIASES = Edit(
    "mailhost/main.cf", "virtual_alias_maps = hash:@{confdir}/virtual, proxy:texthash:@{dir}/elsewhere/aliases"
)
CUSTOMERS = Edit(
    "mailhost/main.cf",
    "smtpd_sender_restrictions = permit_mynetworks, check_sender_access proxy:texthash:@{dir}/elsewhere/customers",
)
READABLE = Edit("mailhost/main.cf", "proxy_read_maps = $virtual_alias_maps $smtpd_sender_restrictions")

EXERCISE = Exercise(
    slug="chroot-proxymap",
    title=Text("Tables outside the jail", "Tabellen außerhalb des Gefängnisses"),
    source="L 3.2.2 Proxymap; L 3.2.1.3 master.cf",
    task=Text(
        """\
Each server of Postfix runs in a jail: it may open its own files and what main.cf names. Two tables lie elsewhere, in
{dir}/elsewhere: aliases, and customers, which tells whom the company has barred. As main.cf names them, whoever breaks
into smtpd can read both.

Have proxymap read them for the others: afterwards no process that talks to the network, and no queue manager, may be
able to open the files, and both tables have to work as before (info@{domain} is an alias, barred@{partner_domain} is
barred).

Edit {dir}/mailhost/main.cf and master.cf; `hardmail lab reload` takes them over. The check plays an intruder: code that
runs inside smtpd and tries to open the files.""",
        """\
Jeder Server von Postfix läuft in einem Gefängnis: Er darf seine eigenen Dateien öffnen und was main.cf nennt. Zwei
Tabellen liegen anderswo, in {dir}/elsewhere: aliases, und customers, worin steht, wen die Firma gesperrt hat. So, wie
main.cf sie nennt, kann sie lesen, wer in smtpd einbricht.

Lass proxymap sie für die anderen lesen: Danach darf kein Prozess, der mit dem Netz spricht, und kein Queue-Manager die
Dateien öffnen können, und beide Tabellen müssen wirken wie zuvor (info@{domain} ist ein Alias,
barred@{partner_domain} ist gesperrt).

Bearbeite {dir}/mailhost/main.cf und master.cf; `hardmail lab reload` übernimmt sie. Die Prüfung spielt einen
Einbrecher: Code, der innerhalb von smtpd läuft und die Dateien zu öffnen versucht.""",
    ),
    commands=(
        f"swaks -li 127.0.0.3 -s 127.0.0.2:{{mailhost_smtp_port}} -f '' -t {ALIAS}@{{domain}} -q RCPT",
        "swaks -li 127.0.0.3 -s 127.0.0.2:{mailhost_smtp_port} -f barred@{partner_domain} -t {user}@{domain} -q RCPT",
        "hardmail postconf -c {dir}/mailhost proxy_read_maps",
    ),
    steps=(
        Step(
            Text("Aliases are found through proxymap", "Aliase werden über proxymap gefunden"),
            "L 3.2.2 Proxymap (Chroot-Restriktionen umgehen)",
            Text(
                f"250 for {ALIAS}@{{domain}}, 550 for an invented name; code inside smtpd cannot open aliases",
                f"250 für {ALIAS}@{{domain}}, 550 für einen erfundenen Namen; Code in smtpd kann aliases nicht öffnen",
            ),
            aliases_through_proxymap,
        ),
        Step(
            Text("So is who is barred", "Ebenso, wer gesperrt ist"),
            "L 3.2.2 Proxymap (Konsolidierung offener Lookup-Tabellen)",
            Text(
                "5xx for barred@{partner_domain}, 250 for your partner; code inside smtpd cannot open customers",
                "5xx für barred@{partner_domain}, 250 für deinen Partner; Code in smtpd kann customers nicht öffnen",
            ),
            senders_through_proxymap,
        ),
        Step(
            Text("Changes are seen, and nobody else reads", "Änderungen wirken, und niemand sonst liest"),
            "L 3.2.2 Proxymap (Sicherheitsaspekte)",
            Text(
                "mail to an alias that has just been added reaches {user}; neither smtpd nor qmgr can open a table",
                "Mail an einen eben eingetragenen Alias erreicht {user}; weder smtpd noch qmgr kann eine Tabelle "
                "öffnen",
            ),
            changes_are_seen,
        ),
    ),
    hints=(
        Text(
            "A table that begins with proxy: is opened by proxymap and asked over a socket.",
            "Eine Tabelle, die mit proxy: beginnt, öffnet proxymap; gefragt wird über einen Socket.",
        ),
        Text(
            "proxymap is a service like the others: master.cf has to have a line for it.",
            "proxymap ist ein Dienst wie die anderen: master.cf braucht eine Zeile dafür.",
        ),
        Text(
            "proxymap opens only what proxy_read_maps names, directly or by $parameter.",
            "proxymap öffnet nur, was proxy_read_maps nennt, direkt oder über $parameter.",
        ),
    ),
    start=(
        Edit("elsewhere/aliases", f"{ALIAS}@@{{domain}}    @{{user}}@@{{domain}}"),
        Edit("elsewhere/customers", "barred@@{partner_domain}    REJECT you have not paid"),
        Edit(
            "mailhost/main.cf",
            "virtual_alias_maps = hash:@{confdir}/virtual, texthash:@{dir}/elsewhere/aliases\n"
            "smtpd_sender_restrictions = permit_mynetworks, check_sender_access texthash:@{dir}/elsewhere/customers\n"
            "proxy_read_maps = $virtual_alias_maps",
        ),
    ),
    solution=(SERVICE, ALIASES, CUSTOMERS, READABLE),
    mistakes=(
        Mistake(
            "no-proxymap",
            (ALIASES, CUSTOMERS, READABLE),
            Text(
                "Every lookup fails (451): the servers ask proxymap, and nothing in master.cf starts it.",
                "Jedes Nachschlagen scheitert (451): Die Server fragen proxymap, und nichts in master.cf startet ihn.",
            ),
        ),
        Mistake(
            "not-readable",
            (SERVICE, ALIASES, CUSTOMERS),
            Text(
                "One table is answered and the other is not (451): proxymap gives out only what it was told it may.",
                "Die eine Tabelle wird beantwortet, die andere nicht (451): proxymap gibt nur heraus, was es "
                "herausgeben darf.",
            ),
        ),
        Mistake(
            "frozen",
            (
                Edit(
                    "mailhost/master.cf",
                    "@{mailhost.smtp}  inet  n  -  y  -  -  smtpd",
                    "@{mailhost.smtp}  inet  n  -  n  -  -  smtpd",
                ),
            ),
            Text(
                "The jail is closed, and the server knows the table only as it was when it started: what is added "
                "later does not count. Somebody outside the jail has to look it up.",
                "Das Gefängnis ist zu, und der Server kennt die Tabelle nur, wie sie bei seinem Start war: Was "
                "später dazukommt, gilt nicht. Jemand außerhalb muss für ihn nachschlagen.",
            ),
        ),
        Mistake(
            "still-opens",
            (SERVICE, ALIASES, READABLE),
            Text(
                "A server can still open a table itself, and so can whoever breaks into it: main.cf names the file "
                "without proxy: somewhere.",
                "Ein Server kann eine Tabelle noch selbst öffnen, und damit jeder, der in ihn einbricht: Irgendwo "
                "nennt main.cf die Datei ohne proxy:.",
            ),
        ),
    ),
)
