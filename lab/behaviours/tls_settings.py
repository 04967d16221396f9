"""tls-settings: one set of TLS settings for the server, another for the client; sessions are resumed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

from cryptography import x509

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import Lab
from lab.wire import Transcript
from tls.names import common_name

SECONDS = 10.0
DOORS = ("mailhost.submissions", "mailhost.imaps", "mailhost.pop3s")


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection over TLS: whose certificate it showed, the session that can be resumed, and whether it was."""

    subject: str
    session: ssl.SSLSession | None
    resumed: bool | None


def greeted(address: tuple[str, int], lab: Lab, session: ssl.SSLSession | None, context: ssl.SSLContext) -> Seen:
    """Shake hands, read the greeting (TLS 1.3 sends its tickets with it) and hang up."""
    with socket.create_connection(address, SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname=lab.name, session=session) as sock:
            sock.recv(512)
            certificate = x509.load_der_x509_certificate(sock.getpeercert(binary_form=True) or b"")
            return Seen(common_name(certificate.subject), sock.session, sock.session_reused)


async def resumed(door: str, lab: Lab, evidence: Transcript) -> bool:
    """Whether a second connection resumes the session of the first. Raises ProbeFailed for a strange certificate."""
    context, address = lab.trust, lab.endpoint(door)  # sessions belong to their context
    first = await asyncio.to_thread(greeted, address, lab, None, context)
    if first.subject != lab.name:
        raise ProbeFailed(f"{door} shows the certificate of {first.subject}")
    second = await asyncio.to_thread(greeted, address, lab, first.session, context)
    evidence.note(f"{door}: certificate of {first.subject}; a second connection {_how(second)} the session")
    return bool(second.resumed)


def _how(seen: Seen) -> str:
    return "resumes" if seen.resumed else "does not resume"


async def client_of(lab: Lab, evidence: Transcript) -> str:
    """Whose certificate the mail host shows where it is the client: as the next server's Received header tells."""
    alice, carol, token = lab.user("alice"), lab.user("carol"), lab.token()
    async with await lab.smtp_logged_in(alice, evidence) as smtp:
        sent = await smtp.send_message(alice.address, [carol.address], lab.message(token))
    if sent.code != 250:
        raise ProbeFailed(str(sent))
    header = " ".join((await lab.arrived(carol, token, evidence)).partition(b"\r\n\r\n")[0].decode().split())
    _, found, rest = header.partition('(Client CN "')
    evidence.note(f"{found}{rest.partition(')')[0]})" if found else "no client certificate")
    return rest.partition('"')[0]


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """The certificate of each role; and at each door a session that is resumed."""
    client = await client_of(lab, evidence)
    if client != "client.lab.example":
        raise ProbeFailed(f"as a client the mail host shows the certificate of {client or 'nobody'}")
    again = [door for door in DOORS if not await resumed(door, lab, evidence)]
    if again:
        return exposed(f"every connection pays for a whole handshake at {', '.join(again)}")
    return hardened(f"server: {lab.name}, client: {client}; sessions are resumed by SMTP, IMAP and POP3")


ROLES = (
    # The mail host's certificate as a client is another one, to tell the roles apart.
    Change(
        "mailhost/main.cf",
        "smtp_tls_cert_file = @{nullclient.certificate}\n"
        "smtp_tls_key_file = @{nullclient.key}\n"
        "smtpd_tls_session_cache_timeout = 3600s",
    ),
    Change("outside/main.cf", "smtpd_tls_ask_ccert = yes\nsmtpd_tls_CAfile = @{ca_file}"),
)

BEHAVIOUR = Behaviour(
    slug="tls-settings",
    title="The server and the client of a mail host have TLS settings of their own, and resume sessions",
    source="L 3.2.1.1 main.cf (TLS Settings)",
    why="A mail host is a server for some and a client of others. smtpd_tls_* says what it proves and accepts in one "
    "role, smtp_tls_* in the other; what is meant for one and put at the other protects nothing. Sessions that are "
    "resumed make TLS cheap, so that nobody has a reason to go without, but no longer than their keys are safe.",
    configuration=(
        Change("mailhost/main.cf", "smtpd_tls_cert_file = @{certificate}\nsmtpd_tls_key_file = @{key}"),
        Change("mailhost/main.cf", "smtp_tls_CAfile = @{ca_file}\nsmtpd_tls_loglevel = 1\nsmtp_tls_loglevel = 1"),
        *ROLES,
    ),
    expectation="each role shows its own certificate; a second connection resumes the TLS session of the first",
    probe=probe,
    given=ROLES,
    twin=Twin(
        (
            Change("mailhost/main.cf", "smtpd_tls_session_cache_timeout = 0"),
            Change("mailhost/dovecot.conf", "ssl_options = no_ticket"),
        ),
        "every connection pays for a whole handshake",
    ),
    instances=("mailhost", "outside", "nullclient"),
    shared=False,
)
