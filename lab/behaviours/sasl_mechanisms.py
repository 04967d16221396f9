"""sasl-mechanisms: mechanisms are announced only where they are usable, and the broken ones are refused by name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import ssl

from lab.behaviours.base import Behaviour, Change, Finding, ProbeFailed, exposed, hardened
from lab.behaviours.stack import Lab, User
from lab.wire import SMTP, Reply, Transcript

MECHANISMS = ("PLAIN", "LOGIN", "CRAM-MD5", "DIGEST-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")
REFUSED = ("ntlm", "srp", "kerberos_v4")

SETTINGS = (
    Change("mailhost/dovecot.conf", "auth_mechanisms = " + " ".join(MECHANISMS).lower()),
    # The challenge mechanisms need the password itself, or a hash made for them.
    Change("mailhost/users", "dora:{PLAIN}@{password.alice}"),
)


def b64(data: bytes) -> str:
    """As AUTH sends it."""
    return base64.b64encode(data).decode()


async def cram_md5(smtp: SMTP, user: User) -> Reply:
    """RFC 2195: the password proves itself by a keyed hash of the challenge."""
    challenge = base64.b64decode((await smtp.command("AUTH CRAM-MD5")).text)
    digest = hmac.new(user.password.encode(), challenge, hashlib.md5).hexdigest()
    return await smtp.command(b64(f"{user.name} {digest}".encode()))


async def scram_sha_256(smtp: SMTP, user: User, gs2: str = "n,,", binding: bytes = b"") -> Reply:
    """RFC 7677: neither side tells the other anything that could be used again."""
    first = f"n={user.name},r={secrets.token_hex(12)}"
    plus = "-PLUS" if gs2.startswith("p=") else ""
    said = await smtp.command(f"AUTH SCRAM-SHA-256{plus} " + b64(f"{gs2}{first}".encode()))
    server = base64.b64decode(said.text).decode()
    nonce, salt, rounds = (field.partition("=")[2] for field in server.split(","))
    salted = hashlib.pbkdf2_hmac("sha256", user.password.encode(), base64.b64decode(salt), int(rounds))
    key = hmac.digest(salted, b"Client Key", "sha256")
    last = f"c={b64(gs2.encode() + binding)},r={nonce}"
    signature = hmac.digest(hashlib.sha256(key).digest(), f"{first},{server},{last}".encode(), "sha256")
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    reply = await smtp.command(b64(f"{last},p={b64(proof)}".encode()))
    expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), f"{first},{server},{last}".encode(), "sha256")
    if reply.code == 334:
        if base64.b64decode(reply.text) != b"v=" + base64.b64encode(expected):
            raise ProbeFailed("the server cannot prove that it knows the password")
        reply = await smtp.command("")
    return reply


async def scram_plus(smtp: SMTP, user: User) -> Reply:
    """RFC 5802 with tls-unique (RFC 5929): bound to this TLS session, so that nobody in the middle can pass it on."""
    binding = smtp.writer.get_extra_info("ssl_object").get_channel_binding("tls-unique")
    passed_on = await scram_sha_256(smtp, user, "p=tls-unique,,", b"the Finished of another session")
    if passed_on.code != 535:
        raise ProbeFailed(f"SCRAM-SHA-256-PLUS bound to another session: {passed_on}")
    return await scram_sha_256(smtp, user, "p=tls-unique,,", binding)


async def probe(lab: Lab, evidence: Transcript) -> Finding:
    """What EHLO announces, three log-ins without sending a password, and a start with each broken mechanism."""
    dora = User("dora", "dora@lab.example", lab.user("alice").password)
    trust = lab.trust
    trust.maximum_version = ssl.TLSVersion.TLSv1_2  # Python knows the channel binding of TLS 1.2 only
    for login in (cram_md5, scram_sha_256, scram_plus):
        async with await lab.smtp("mailhost.smtp", evidence) as smtp:
            await smtp.ehlo()
            await smtp.starttls(trust, lab.name)
            announced = set((await smtp.ehlo()).get("AUTH", "").split())
            if announced != set(MECHANISMS):
                return exposed(f"announced: {' '.join(sorted(announced))}")
            reply = await login(smtp, dora)
            if reply.code != 235:
                raise ProbeFailed(f"{login.__name__}: {reply}")
    for name in REFUSED:
        confdir = lab.copy_of("mailhost", "")
        with (confdir / "dovecot.conf").open("a") as file:
            file.write(f"\nauth_mechanisms = plain {name}\n")
        result = await lab.hardmail("check", "-c", str(confdir))
        said = next((line for line in result.output.splitlines() if name in line.lower()), "")
        evidence.note(f"auth_mechanisms = plain {name}: exit {result.status}: {said}")
        if not said:
            return exposed(f"{name} is taken without a word")
    return hardened(f"{len(MECHANISMS)} mechanisms announced, three of them used; {', '.join(REFUSED)} refused by name")


BEHAVIOUR = Behaviour(
    slug="sasl-mechanisms",
    title="Only mechanisms that work and are not broken are offered",
    source="L 3.2.1.2 SASL; L smtpd.conf (mech_list)",
    why="A client takes the first mechanism of the list that it knows: a broken or unusable one locks it out or gives "
    "its password away. The list holds only what the password database can serve, NTLM and its like are refused; "
    "SCRAM-SHA-256-PLUS is also bound to the TLS session it runs in.",
    configuration=(SETTINGS[0],),
    expectation="announced only where usable; NTLM, SRP, KERBEROS_V4 refused by name with the reason",
    probe=probe,
    given=SETTINGS,
    shared=False,
)
