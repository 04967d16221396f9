"""own-authority: certificates of the lab's own authority can be verified, and are renewed without a break."""

from __future__ import annotations

import asyncio
import ssl
import time

from cryptography import x509

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, Twin, exposed, hardened
from lab.behaviours.stack import ARRIVES_IN_SECONDS, LOOK_AGAIN_SECONDS, Lab
from lab.wire import Refused, Transcript

CERTIFICATES = (
    Change("mailhost/main.cf", "smtpd_tls_cert_file = @{certificate}\nsmtpd_tls_key_file = @{key}"),
    Change("mailhost/dovecot.conf", "ssl_cert = <@{certificate}\nssl_key = <@{key}"),
)
SNAKEOIL = (
    Change("mailhost/main.cf", "smtpd_tls_cert_file = @{snakeoil}\nsmtpd_tls_key_file = @{snakeoil_key}"),
    Change("mailhost/dovecot.conf", "ssl_cert = <@{snakeoil}\nssl_key = <@{snakeoil_key}"),
)
# More than a certificate of the lab lives: every one is renewed.
WITHIN_DAYS = "1000"


async def certificates(lab: Lab, evidence: Transcript) -> list[x509.Certificate]:
    """What SMTP, IMAP and POP3 prove their name with. Raises Refused where a client that looks does not believe it."""
    found = []
    for endpoint, kind in (("mailhost.smtp", lab.smtp), ("mailhost.imap", lab.imap), ("mailhost.pop3", lab.pop3)):
        async with await kind(endpoint, evidence) as client:
            if endpoint == "mailhost.smtp":
                await client.command("EHLO probe.example")
            await client.starttls(lab.trust, lab.name)
            session: ssl.SSLObject = client.writer.get_extra_info("ssl_object")
            der = session.getpeercert(binary_form=True)
            assert der is not None
            found.append(x509.load_der_x509_certificate(der))
    return found


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """Three servers are verified by name; then the authority renews, the lab reloads, and an open session goes on."""
    try:
        before = await certificates(lab, evidence)
    except Refused as error:
        return exposed(f"nobody can tell the server from an impostor: {error}")
    alice = lab.user("alice")
    async with await lab.imap("mailhost.imaps", evidence, tls=True) as imap:
        await imap.login(alice.name, alice.password)
        evidence.note("hardmail ca renew, hardmail reload")
        for command in (
            ("ca", "renew", str(lab.directory / "ca"), "--within", WITHIN_DAYS),
            ("reload", "--dir", str(lab.directory)),
        ):
            result = await lab.hardmail(*command)
            if result.status:
                raise ProbeFailed(f"hardmail {command[0]}: {result.errors.strip()}")
        deadline = time.monotonic() + ARRIVES_IN_SECONDS
        while any(new.serial_number == old.serial_number for new, old in zip(await seen(lab), before, strict=True)):
            if time.monotonic() > deadline:
                raise ProbeFailed("the renewed certificates are not in use after a reload")
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
        if (still := await imap.command("NOOP")).status != "OK":
            raise ProbeFailed(f"the renewal ends open sessions: {still}")
    after = await certificates(lab, evidence)
    if any(new.public_key() != old.public_key() for new, old in zip(after, before, strict=True)):
        raise ProbeFailed("a renewal must keep the key: clients may know its fingerprint")
    names = after[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return hardened(
        f"verified as {names.get_values_for_type(x509.DNSName)[0]}; the renewed one is in use, the open session goes on"
    )


async def seen(lab: Lab) -> list[x509.Certificate]:
    """The certificates in use, without a word about it."""
    return await certificates(lab, Transcript())


BEHAVIOUR = Behaviour(
    slug="own-authority",
    title="The lab's own authority vouches for its servers",
    source="T Verschlüsselung (Snakeoil-SSL-Zertifikat)",
    why="The snakeoil certificate of an installation is signed by itself. Whoever accepts it accepts every impostor's, "
    "too. With one authority, whose certificate the clients install once, each server can prove its name, and a "
    "certificate that ends is renewed without touching a client.",
    configuration=CERTIFICATES,
    expectation="a client that trusts the authority, and nobody else, verifies every server by its name",
    probe=probe,
    twin=Twin(SNAKEOIL, "the handshake fails: self-signed certificate"),
    shared=False,
)
