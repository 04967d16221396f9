"""Lab 12.2: IMAP and POP3, SMTP authentication over Dovecot's socket, mail sent with smtptest."""

from __future__ import annotations

from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import Transcript

THIRD = "victim@far.example"


async def imap_reads(room: Room, wire: Transcript) -> Seen:
    """A mail of the partner, read over IMAP after STARTTLS."""
    user = room.user("user")
    async with await room.imap("mailhost.imap", wire) as imap:
        token = await room.mail_to(user, wire)
        started = await imap.starttls(room.any_certificate)
        if started.status != "OK":
            return failed(f"STARTTLS: {started}")
        entered = await imap.login(user.name, user.password)
        if entered.status != "OK":
            return failed(f"LOGIN: {entered}")
        await imap.command("SELECT INBOX")
        found = await imap.command(f"SEARCH SUBJECT {token}")
    hits = [line for line in found.untagged if line.startswith(b"* SEARCH ")]
    return passed(hits[0].decode()) if hits else failed(f"SEARCH: {found}")


async def pop3_reads(room: Room, wire: Transcript) -> Seen:
    """The colleague's mail, read over POP3 after STLS."""
    user = room.user("colleague")
    async with await room.pop3("mailhost.pop3", wire) as pop3:
        token = await room.mail_to(user, wire)
        started = await pop3.starttls(room.any_certificate)
        if not started.startswith("+OK"):
            return failed(f"STLS: {started}")
        entered = await pop3.login(user.name, user.password)
        if not entered.startswith("+OK"):
            return failed(f"PASS: {entered}")
        stat = await pop3.command("STAT")
        number = stat.split()[1]
        _, lines = await pop3.multiline(f"RETR {number}")
    return passed(stat) if any(token.encode() in line for line in lines) else failed(f"RETR {number}: another mail")


async def auth_is_offered_inside_tls(room: Room, wire: Transcript) -> Seen:
    """What EHLO announces before and after STARTTLS."""
    async with await room.smtp("mailhost.smtp", wire) as smtp:
        before = await smtp.ehlo()
    async with await room.encrypted(wire) as smtp:
        offered = smtp.keywords.get("AUTH")
    if offered is None:
        return failed("STARTTLS, EHLO: no AUTH")
    if "AUTH" in before:
        return failed(f"EHLO: AUTH {before['AUTH']}", "auth-in-the-clear")
    if "ANONYMOUS" in offered.split():
        return failed(f"STARTTLS, EHLO: AUTH {offered}")
    return passed(f"STARTTLS, EHLO: AUTH {offered}")


async def user_sends(room: Room, wire: Transcript) -> Seen:
    """The user, away from home, logs in and sends a mail to the partner."""
    user, partner, token = room.user("user"), room.user("partner"), room.token()
    async with await room.encrypted(wire) as smtp:
        entered = await smtp.auth_plain(user.name, user.password)
        if entered.code // 100 == 4:
            return failed(f"AUTH PLAIN: {entered}", "no-socket")
        if entered.code != 235:
            return failed(f"AUTH PLAIN: {entered}")
        reply = await smtp.send_message(
            user.address, [partner.address], f"From: {user.address}\nSubject: {token}\n\nHi\n"
        )
    if reply.code == 554:
        return failed(f"{entered}; RCPT TO:<{partner.address}>: {reply}", "not-permitted")
    if reply.code != 250:
        return failed(f"{entered}; {reply}")
    mail = await room.comes(partner, token, wire)
    if f"(Authenticated sender: {user.name}".encode() not in mail:
        return failed(f"{reply}; Received: … ?", "no-header")
    return passed(f"{entered}; {reply}; (Authenticated sender: {user.name})")


async def others_do_not(room: Room, wire: Transcript) -> Seen:
    """A wrong password, and no password at all."""
    async with await room.encrypted(wire) as smtp:
        wrong = await smtp.auth_plain(room.user("user").name, "guessed")
        if wrong.code != 535:
            return failed(f"AUTH PLAIN: {wrong}")
        for recipient in (THIRD, room.user("partner").address):
            reply = await room.envelope(smtp, recipient)
            if reply.code == 250:
                return failed(f"RCPT TO:<{recipient}>: {reply}", "open-to-all")
    own = await room.recipient(room.user("user").address, wire)
    if own.code != 250:
        return failed(f"RCPT TO:<{room.user('user').address}>: {own}", "users-only")
    return passed(f"{wrong}; {reply}")


PROTOCOLS = Edit("mailhost/dovecot.conf", "protocols = imap pop3 lmtp", "protocols = lmtp")
COMMENTED = "  #unix_listener @{queue}/private/auth {\n  #  mode = 0666\n  #}\n"
SOCKET = Edit(
    "mailhost/conf.d/10-master.conf",
    "  unix_listener @{queue}/private/auth {\n    mode = 0600\n    user = @{postfix_user}\n    group = "
    "@{postfix_group}\n  }\n",
    COMMENTED,
)
SASL = Edit(
    "mailhost/main.cf",
    "smtpd_tls_auth_only = yes\nsmtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = "
    "private/auth\nsmtpd_sasl_security_options = noanonymous\nsmtpd_sasl_authenticated_header = yes",
)
PERMIT = Edit(
    "mailhost/main.cf",
    "smtpd_recipient_restrictions = permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
)

EXERCISE = Exercise(
    slug="12.2",
    title=Text("Dovecot: IMAP, POP3 and SMTP authentication", "Dovecot: IMAP, POP3 und SMTP-Authentifikation"),
    source="T Lab 12.2: Dovecot; T Authentifikation: Postfix main.cf; T Authentifikation: Dovecot",
    task=Text(
        """\
{mailhost_name} accepts mail for {domain}, but {user} and {colleague} can neither read it nor send mail from elsewhere.

1. Switch IMAP and POP3 on.
2. Let users who authenticate send mail to anybody: over TLS only, never anonymously, and with their name in the
   Received header. Postfix asks Dovecot over a socket. Everybody else may still send mail to {domain} alone.
3. Send a mail to {partner}@{partner_domain} with smtptest.

The files are {dir}/mailhost/dovecot.conf, conf.d/*.conf and main.cf; `hardmail lab reload` takes them over.
Postfix runs as user {postfix_user}, group {postfix_group}; its queue directory is {dir}/var/mailhost/queue.""",
        """\
{mailhost_name} nimmt Mail für {domain} an, aber {user} und {colleague} können sie weder lesen noch von anderswo senden.

1. Schalte IMAP und POP3 ein.
2. Wer sich authentifiziert, darf an jeden senden: nur über TLS, nie anonym, und mit seinem Namen im Received-Header.
   Postfix fragt Dovecot über einen Socket. Alle anderen dürfen weiterhin nur an {domain} senden.
3. Sende mit smtptest eine Mail an {partner}@{partner_domain}.

Die Dateien sind {dir}/mailhost/dovecot.conf, conf.d/*.conf und main.cf; `hardmail lab reload` übernimmt sie.
Postfix läuft als Benutzer {postfix_user}, Gruppe {postfix_group}; sein Queue-Verzeichnis ist
{dir}/var/mailhost/queue.""",
    ),
    commands=(
        '{smtptest} -t "" -p {mailhost_smtp_port} -a {user} -u {user} 127.0.0.2',
        "  MAIL FROM:<{user}@{domain}>",
        "  RCPT TO:<{partner}@{partner_domain}>",
        "  DATA",
        '{imtest} -t "" -p {mailhost_imap_port} -a {user} -u {user} 127.0.0.2',
        "openssl s_client -quiet -starttls pop3 -connect 127.0.0.2:{mailhost_pop3_port}",
    ),
    steps=(
        Step(
            Text("Mail can be read over IMAP", "Mail lässt sich über IMAP lesen"),
            "T Dovecot; T Lab 12.2: Dovecot (IMAP/POP3 testen)",
            Text(
                "STARTTLS, LOGIN, and a mail that has just arrived is found",
                "STARTTLS, LOGIN, und eine eben angekommene Mail wird gefunden",
            ),
            imap_reads,
        ),
        Step(
            Text("Mail can be read over POP3", "Mail lässt sich über POP3 lesen"),
            "T Dovecot; T Lab 12.2: Dovecot (IMAP/POP3 testen)",
            Text(
                "STLS, USER and PASS, and a mail that has just arrived is retrieved",
                "STLS, USER und PASS, und eine eben angekommene Mail wird abgeholt",
            ),
            pop3_reads,
        ),
        Step(
            Text("Authentication is offered inside TLS only", "Authentifikation wird nur innerhalb von TLS angeboten"),
            "T Postfix-Authentifikation (sollte nur über TLS verwendet werden)",
            Text(
                "EHLO announces AUTH after STARTTLS and not before, and no ANONYMOUS",
                "EHLO kündigt AUTH nach STARTTLS an und nicht vorher, und kein ANONYMOUS",
            ),
            auth_is_offered_inside_tls,
        ),
        Step(
            Text("Who logs in can send mail to anybody", "Wer sich anmeldet, kann an jeden senden"),
            "T Authentifikation: Postfix main.cf; T Authentifikation: Dovecot",
            Text(
                "235, then 250 for {partner}@{partner_domain}; the mail arrives there and names who was authenticated",
                "235, dann 250 für {partner}@{partner_domain}; die Mail kommt an und nennt den Authentifizierten",
            ),
            user_sends,
        ),
        Step(
            Text("Nobody else can", "Niemand sonst kann das"),
            "T Authentifikation: Postfix main.cf (reject_unauth_destination)",
            Text(
                "535 for a wrong password, 554 for other domains without log-in, 250 for {domain} as before",
                "535 für ein falsches Passwort, 554 für fremde Domains ohne Anmeldung, 250 für {domain} wie zuvor",
            ),
            others_do_not,
        ),
    ),
    hints=(
        Text(
            "Begin with reading: which line of dovecot.conf names the protocols that are served?",
            "Beginne mit dem Lesen: Welche Zeile der dovecot.conf nennt die Protokolle, die bedient werden?",
        ),
        Text(
            "Postfix has no passwords. In conf.d/10-master.conf, the block `service auth` can hold a socket for "
            "Postfix; smtpd_sasl_type and smtpd_sasl_path tell Postfix to ask there. The path is relative to the "
            "queue directory.",
            "Postfix hat keine Passwörter. In conf.d/10-master.conf kann der Block `service auth` einen Socket für "
            "Postfix enthalten; smtpd_sasl_type und smtpd_sasl_path sagen Postfix, wo es fragt. Der Pfad ist relativ "
            "zum Queue-Verzeichnis.",
        ),
        Text(
            "Logging in is one thing, being allowed another: the list smtpd_recipient_restrictions is read from left "
            "to right, and the first word that decides wins.",
            "Sich anmelden ist eines, dürfen ein anderes: Die Liste smtpd_recipient_restrictions wird von links nach "
            "rechts gelesen, und das erste Wort, das entscheidet, gewinnt.",
        ),
        Text(
            "Six smtpd_ parameters begin with tls_auth or sasl_; the socket has mode 0600 and belongs to the user of "
            "Postfix; permit_sasl_authenticated stands before reject_unauth_destination.",
            "Sechs smtpd_-Parameter beginnen mit tls_auth oder sasl_; der Socket hat mode 0600 und gehört dem "
            "Benutzer von Postfix; permit_sasl_authenticated steht vor reject_unauth_destination.",
        ),
    ),
    start=(Edit("mailhost/dovecot.conf", "protocols = lmtp", "protocols = imap pop3 lmtp"),),
    solution=(PROTOCOLS, SOCKET, SASL, PERMIT),
    mistakes=(
        Mistake(
            "auth-in-the-clear",
            (PROTOCOLS, SOCKET, SASL, PERMIT, Edit("mailhost/main.cf", "smtpd_tls_auth_only = no")),
            Text(
                "AUTH is announced before TLS protects the line: a client that believes it sends the password for "
                "all to read.",
                "AUTH wird angekündigt, bevor TLS die Leitung schützt: Ein Client, der das annimmt, sendet das "
                "Passwort für alle lesbar.",
            ),
        ),
        Mistake(
            "no-socket",
            (PROTOCOLS, SASL, PERMIT),
            Text(
                "Postfix wants to ask somebody about the password and reaches nobody. Does Dovecot open a socket for "
                "it, at the very path that Postfix looks at, and may Postfix use it?",
                "Postfix will jemanden nach dem Passwort fragen und erreicht niemanden. Öffnet Dovecot einen Socket "
                "dafür, genau unter dem Pfad, auf den Postfix schaut, und darf Postfix ihn benutzen?",
            ),
        ),
        Mistake(
            "not-permitted",
            (PROTOCOLS, SOCKET, SASL),
            Text(
                "The log-in succeeds, and changes nothing: the list that decides on recipients does not ask about it.",
                "Die Anmeldung gelingt und ändert nichts: Die Liste, die über Empfänger entscheidet, fragt nicht "
                "danach.",
            ),
        ),
        Mistake(
            "no-header",
            (PROTOCOLS, SOCKET, SASL, PERMIT, Edit("mailhost/main.cf", "smtpd_sasl_authenticated_header = no")),
            Text(
                "The mail arrives, but nobody can tell later who sent it. One parameter writes it into the header.",
                "Die Mail kommt an, aber niemand kann später sagen, wer sie gesendet hat. Ein Parameter schreibt es "
                "in den Header.",
            ),
        ),
        Mistake(
            "open-to-all",
            (
                *(PROTOCOLS, SOCKET, SASL),
                Edit("mailhost/main.cf", "smtpd_recipient_restrictions = permit_sasl_authenticated, permit"),
            ),
            Text(
                "Whoever cannot log in may send to anybody all the same. A list that permits somebody must also "
                "refuse the rest.",
                "Wer sich nicht anmelden kann, darf trotzdem an jeden senden. Eine Liste, die jemanden zulässt, muss "
                "den Rest auch abweisen.",
            ),
        ),
        Mistake(
            "users-only",
            (
                *(PROTOCOLS, SOCKET, SASL),
                Edit("mailhost/main.cf", "smtpd_recipient_restrictions = permit_sasl_authenticated, reject"),
            ),
            Text(
                "Now nobody outside can send you mail: your partner has no password here. What may he still do?",
                "Jetzt kann dir niemand von außen Mail senden: Dein Partner hat hier kein Passwort. Was darf er "
                "weiterhin?",
            ),
        ),
    ),
)
