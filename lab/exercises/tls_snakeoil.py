"""From a snakeoil certificate and old protocols to a proven name and a floor."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from cryptography import x509

from lab.behaviours.protocol_floor import accepts
from lab.exercises.base import Edit, Exercise, Mistake, Seen, Step, failed, passed
from lab.exercises.room import Room
from lab.exercises.texts import Text
from lab.wire import Refused, Transcript
from tls.policy import Version


async def opened(room: Room, service: str, wire: Transcript) -> Any:
    """A probe of the service: each has starttls()."""
    openers: dict[str, Callable[..., Awaitable[Any]]] = {"smtp": room.smtp, "imap": room.imap, "pop3": room.pop3}
    client = await openers[service](f"mailhost.{service}", wire)
    if service == "smtp":
        await client.ehlo(f"mail.{room.names['partner_domain']}")
    return client


async def certificate_of(room: Room, service: str, wire: Transcript) -> x509.Certificate:
    """The certificate that a service shows to a client that takes any."""
    async with await opened(room, service, wire) as client:
        await client.starttls(room.any_certificate)
        shown: bytes = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return x509.load_der_x509_certificate(shown)


async def proven(room: Room, service: str, wire: Transcript) -> Seen:
    """Whether a client that trusts the class's authority alone believes that this is the mail host."""
    async with await opened(room, service, wire) as client:
        try:
            answer = await client.starttls(room.trust, room.name)
        except Refused as error:
            refusal = str(error)
        else:
            version = client.writer.get_extra_info("ssl_object").version() if client.tls else None
            return passed(f"{service}: {version}, {room.name}") if client.tls else failed(f"{service}: {answer}")
    certificate = await certificate_of(room, service, wire)
    subject, issuer = certificate.subject.rfc4514_string(), certificate.issuer.rfc4514_string()
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    other = room.name not in names.get_values_for_type(x509.DNSName)
    saw = f"{service}: {refusal}; subject {subject}, issuer {issuer}"
    return failed(saw, "another-name" if other else None)


async def smtp_is_proven(room: Room, wire: Transcript) -> Seen:
    """SMTP with STARTTLS."""
    return await proven(room, "smtp", wire)


async def readers_are_proven(room: Room, wire: Transcript) -> Seen:
    """IMAP and POP3."""
    smtp = await proven(room, "smtp", Transcript())
    for service in ("imap", "pop3"):
        seen = await proven(room, service, wire)
        if not seen.passed:
            return failed(seen.saw, "half" if smtp.passed else seen.mistake)
    return seen


async def old_protocols_are_refused(room: Room, wire: Transcript) -> Seen:
    """TLS 1.0 and 1.1 are refused everywhere, TLS 1.2 is not."""
    for version in (Version.TLSv1, Version.TLSv1_1):
        doors = [door.partition(".")[2] for door in await accepts(room, version, wire)]
        if doors:
            return failed(f"{version.name}: {', '.join(doors)}", "mandatory-only" if doors == ["smtp"] else None)
    doors = [door.partition(".")[2] for door in await accepts(room, Version.TLSv1_2, wire)]
    wanted = ["smtp", "imap", "pop3"]
    return passed(f"TLSv1_2: {', '.join(doors)}") if doors == wanted else failed(f"TLSv1_2: {doors}", "too-high")


CERTIFICATE = Edit("mailhost/main.cf", "smtpd_tls_cert_file = @{certificate}\nsmtpd_tls_key_file = @{key}")
FLOOR = Edit("mailhost/main.cf", "smtpd_tls_protocols = >=TLSv1.2")
DOVECOT = (
    Edit(
        "mailhost/conf.d/10-ssl.conf",
        "ssl_cert = <@{certificate}\nssl_key = <@{key}",
        "ssl_cert = <@{snakeoil}\nssl_key = <@{snakeoil_key}",
    ),
    Edit("mailhost/conf.d/10-ssl.conf", "ssl_min_protocol = TLSv1.2", "ssl_min_protocol = TLSv1"),
)

EXERCISE = Exercise(
    slug="tls-snakeoil",
    title=Text("A certificate that proves something", "Ein Zertifikat, das etwas beweist"),
    source="T Dovecot-Konfiguration (Snakeoil-SSL-Zertifikat); P Mailserver absichern (SSLv2 und SSLv3 deaktivieren)",
    task=Text(
        """\
{mailhost_name} speaks TLS with the snakeoil certificate that the installation made: it encrypts, but anybody can make
one like it. And it still speaks TLS 1.0.

1. Give Postfix and Dovecot a certificate of the class's authority. One for your host is issued already:
   {mailhost_certificate}
   {mailhost_key}
   (or make one: `hardmail ca issue {dir}/ca {mailhost_name} 127.0.0.2`).
2. Refuse protocols below TLS 1.2, everywhere.

The files are {dir}/mailhost/main.cf and conf.d/10-ssl.conf; `hardmail lab reload` takes them over.""",
        """\
{mailhost_name} spricht TLS mit dem Snakeoil-Zertifikat der Installation: Das verschlüsselt, aber jeder kann
sich so eines machen. Und er spricht noch TLS 1.0.

1. Gib Postfix und Dovecot ein Zertifikat der Zertifizierungsstelle dieser Klasse. Für deinen Rechner gibt es eins:
   {mailhost_certificate}
   {mailhost_key}
   (oder mach eins: `hardmail ca issue {dir}/ca {mailhost_name} 127.0.0.2`).
2. Weise Protokolle unter TLS 1.2 ab, überall.

Die Dateien sind {dir}/mailhost/main.cf und conf.d/10-ssl.conf; `hardmail lab reload` übernimmt sie.""",
    ),
    commands=(
        "openssl s_client -starttls smtp -connect 127.0.0.2:{mailhost_smtp_port} -CAfile {dir}/ca.pem "
        "-verify_hostname {mailhost_name} -brief",
        "openssl s_client -starttls imap -connect 127.0.0.2:{mailhost_imap_port} -tls1 -cipher ALL:@SECLEVEL=0 -brief",
    ),
    steps=(
        Step(
            Text("SMTP proves its name", "SMTP beweist seinen Namen"),
            "P Mailserver absichern (SSL / TLS Verschlüsselung aktivieren)",
            Text(
                "a client that trusts {dir}/ca.pem and nobody else completes STARTTLS with {mailhost_name}",
                "ein Client, der nur {dir}/ca.pem vertraut, vollendet STARTTLS mit {mailhost_name}",
            ),
            smtp_is_proven,
        ),
        Step(
            Text("IMAP and POP3 prove it too", "IMAP und POP3 beweisen ihn auch"),
            "T Dovecot-Konfiguration (Snakeoil-SSL-Zertifikat)",
            Text("the same for both", "dasselbe für beide"),
            readers_are_proven,
        ),
        Step(
            Text("Old protocols are refused", "Alte Protokolle werden abgewiesen"),
            "P Mailserver absichern (SSLv2 und SSLv3 deaktivieren)",
            Text(
                "TLS 1.0 and 1.1 fail with SMTP, IMAP and POP3, TLS 1.2 works with all three",
                "TLS 1.0 und 1.1 scheitern bei SMTP, IMAP und POP3, TLS 1.2 gelingt bei allen dreien",
            ),
            old_protocols_are_refused,
        ),
    ),
    hints=(
        Text(
            "Two programs speak TLS here, and each has its own settings for certificate, key and protocols.",
            "Zwei Programme sprechen hier TLS, und jedes hat eigene Einstellungen für Zertifikat, Schlüssel und "
            "Protokolle.",
        ),
        Text(
            "Postfix: smtpd_tls_cert_file, smtpd_tls_key_file. Dovecot: ssl_cert, ssl_key, with < before the file "
            "name.",
            "Postfix: smtpd_tls_cert_file, smtpd_tls_key_file. Dovecot: ssl_cert, ssl_key, mit < vor dem Dateinamen.",
        ),
        Text(
            "At the level `may`, Postfix looks at smtpd_tls_protocols (>=TLSv1.2); Dovecot has ssl_min_protocol.",
            "Auf der Stufe `may` gilt bei Postfix smtpd_tls_protocols (>=TLSv1.2); Dovecot hat ssl_min_protocol.",
        ),
    ),
    start=(
        Edit("mailhost/main.cf", "smtpd_tls_protocols = >=TLSv1"),
        Edit("mailhost/conf.d/10-ssl.conf", "ssl_min_protocol = TLSv1"),
    ),
    solution=(CERTIFICATE, FLOOR, *DOVECOT),
    mistakes=(
        Mistake(
            "half",
            (CERTIFICATE, FLOOR),
            Text(
                "Sending is proven, reading is not: the password for reading crosses the line to whoever answers "
                "there. Which program serves it?",
                "Das Senden ist bewiesen, das Lesen nicht: Dort geht das Passwort an jeden, der antwortet. Welches "
                "Programm bedient es?",
            ),
        ),
        Mistake(
            "another-name",
            (
                Edit(
                    "mailhost/main.cf",
                    "smtpd_tls_cert_file = @{outside.certificate}\nsmtpd_tls_key_file = @{outside.key}",
                ),
                *(FLOOR, *DOVECOT),
            ),
            Text(
                "The certificate is genuine, and it is for another name than that of your host: look at its subject.",
                "Das Zertifikat ist echt, aber auf einen anderen Namen als den deines Rechners ausgestellt: Sieh dir "
                "das Subject an.",
            ),
        ),
        Mistake(
            "mandatory-only",
            (
                *(CERTIFICATE, *DOVECOT),
                Edit("mailhost/main.cf", "smtpd_tls_mandatory_protocols = >=TLSv1.2"),
            ),
            Text(
                "Only SMTP still speaks the old protocol. Postfix has one list of protocols for TLS that is "
                "mandatory and one for TLS that is optional; which is yours?",
                "Nur SMTP spricht das alte Protokoll noch. Postfix hat eine Liste von Protokollen für "
                "verpflichtendes und eine für freiwilliges TLS; welches ist deines?",
            ),
        ),
        Mistake(
            "too-high",
            (
                *(CERTIFICATE, *DOVECOT),
                Edit("mailhost/main.cf", "smtpd_tls_protocols = >=TLSv1.3"),
            ),
            Text(
                "TLS 1.2 is refused too: many clients that are still in use cannot do more, and fall back to plain "
                "text.",
                "Auch TLS 1.2 wird abgewiesen: Viele Clients können noch nicht mehr, und fallen auf Klartext zurück.",
            ),
        ),
    ),
)
