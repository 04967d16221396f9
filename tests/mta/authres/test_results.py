"""Authentication-Results: what is found, how it is written, what is removed; and DMARC's alignment."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from mta.authres import Authenticator, Client, dmarc
from mta.authres.authenticator import author_domain
from mta.authres.dkim import Message
from mta.authres.header import Finding, field, without_forged
from mta.dns import Answer, NotFound, Record, Resolver, TempFail

KEY = ed25519.Ed25519PrivateKey.generate()
PUBLIC = base64.b64encode(KEY.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
RECORDS = {
    "good.example": "v=spf1 ip4:192.0.2.1 -all",
    "mail.good.example": "v=spf1 ip4:192.0.2.1 -all",
    "other.example": "v=spf1 ip4:192.0.2.1 -all",
    "sel._domainkey.good.example": f"v=DKIM1; k=ed25519; p={PUBLIC.decode()}",
    "_dmarc.good.example": "v=DMARC1; p=reject; sp=quarantine",
    "_dmarc.strict.example": "v=DMARC1; p=reject; aspf=s; adkim=s",
    "mail.strict.example": "v=spf1 ip4:192.0.2.1 -all",
}
CONTENT = b"From: Joe <joe@good.example>\r\nSubject: x\r\n\r\nHi.\r\n"


class Zone(Resolver):
    async def query(self, name: str, kind: str) -> Answer:
        if name.endswith("down.example"):
            raise TempFail(name, kind, "try again")
        if kind != "TXT" or name not in RECORDS:
            raise NotFound(name, kind, "not found", exists=False)
        return Answer(name, (Record(kind, RECORDS[name]),))


def signed(content: bytes = CONTENT, domain: str = "good.example") -> bytes:
    body = base64.b64encode(hashlib.sha256(content.split(b"\r\n\r\n", 1)[1]).digest()).decode()
    own = f"dkim-signature:v=1; a=ed25519-sha256; c=relaxed; d={domain}; s=sel; h=from; bh={body}; b="
    start = content.split(b"\r\n", 1)[0].replace(b"From: ", b"from:") + b"\r\n"
    # The body is simple (the second part of c= is not given); a relaxed field of one line is that line.
    value = KEY.sign(hashlib.sha256(start + own.encode()).digest())
    return own.encode() + base64.b64encode(value) + b"\r\n" + content


async def results(
    content: bytes, sender: str = "joe@good.example", address: str = "192.0.2.1", **more: object
) -> list[str]:
    client = Client(address, "mx.nowhere.example", sender, **more)  # type: ignore[arg-type]
    _, text = await Authenticator(Zone(), "mx.example.net").judge(client, content)
    name, _, rest = text.partition("; ")
    assert name == "Authentication-Results: mx.example.net"
    return rest.split(";\n\t")


async def test_all_three_pass() -> None:
    spf, dkim, policy = await results(signed())
    assert spf == "spf=pass smtp.mailfrom=joe@good.example"
    assert dkim.startswith("dkim=pass (256-bit key) header.d=good.example header.s=sel header.b=")
    assert policy == "dmarc=pass (p=reject) header.from=good.example"


async def test_either_is_enough_for_dmarc_if_it_is_aligned() -> None:
    assert (await results(CONTENT))[1:] == ["dkim=none", "dmarc=pass (p=reject) header.from=good.example"]
    assert (await results(signed(), "x@other.example"))[-1].startswith("dmarc=pass")
    assert (await results(CONTENT, "x@other.example"))[-1] == "dmarc=fail (p=reject) header.from=good.example"
    assert (await results(CONTENT, "x@mail.good.example"))[-1].startswith("dmarc=pass")
    strict = b"From: a@strict.example\r\n\r\n"
    assert (await results(strict, "x@mail.strict.example"))[-1].startswith("dmarc=fail")


async def test_subdomains_have_a_policy_of_their_own() -> None:
    content = b"From: a@sub.good.example\r\n\r\n"
    assert (await results(content, "", "192.0.2.9"))[-1] == "dmarc=fail (p=quarantine) header.from=sub.good.example"


async def test_failures() -> None:
    assert (await results(CONTENT, address="192.0.2.9"))[0] == "spf=fail smtp.mailfrom=joe@good.example"
    assert (await results(CONTENT, ""))[0] == "spf=none smtp.helo=mx.nowhere.example"
    broken = signed().replace(b"Hi.", b"Ho.")
    assert (await results(broken))[1].startswith("dkim=fail (body hash did not verify) header.d=good.example")
    assert (await results(b"From: a@none.example\r\n\r\n"))[-1] == "dmarc=none header.from=none.example"
    assert (await results(b"Subject: x\r\n\r\n"))[-1] == "dmarc=permerror (not one author domain)"
    assert (await results(b"From: a@good.example, b@other.example\r\n\r\n"))[-1].startswith("dmarc=permerror")
    down = b"DKIM-Signature: v=1; a=rsa-sha256; d=down.example; s=s; h=from; bh=AAAA; b=AAAA\r\nFrom: a@down.example\r\n\r\n"
    assert [each.split(" ")[0] for each in await results(down, "a@down.example")] == [
        "spf=temperror", "dkim=temperror", "dmarc=temperror"
    ]  # fmt: skip


async def test_whom_we_know() -> None:
    assert await results(CONTENT, user="alice", mechanism="PLAIN") == ["auth=pass (PLAIN) smtp.auth=alice"]
    assert await results(CONTENT, trusted=True) == ["none"]


@pytest.mark.parametrize(
    ("line", "forged"),
    [
        ("Authentication-Results: mx.example.net; spf=pass", True),
        ("authentication-results:\r\n\tMX.example.NET;\r\n\tspf=pass", True),
        ('Authentication-Results: "mx.example.net" 1; spf=pass', True),
        ("Authentication-Results: (a (b) c) mx.example.net; spf=pass", True),
        ("Authentication-Results: mx.example.net", True),
        ("Authentication-Results : mx.example.net; spf=pass", True),
        ("Authentication-Results: ; spf=pass", True),
        ("Authentication-Results: " + "(" * 500 + ")" * 500 + " mx.example.net; none", True),
        ("Authentication-Results: mx.example.com; spf=pass", False),
        ("Authentication-Results: (mx.example.net) other.example; spf=pass", False),
        ("Authentication-Results: (a \\( \\\\(b\\)) c) mx.example.net; spf=pass", True),
        ("Authentication-Results: (never ends mx.example.net; spf=pass", True),
        ("Authentication-Results: mx.example.com (mx.example.net; spf=pass", False),
        ("X-Authentication-Results: mx.example.net; spf=pass", False),
    ],
)
def test_forged_results_are_removed(line: str, forged: bool) -> None:
    content = f"Received: x\r\n{line}\r\nFrom: a\r\n\r\nAuthentication-Results: mx.example.net; none\r\n".encode()
    kept = without_forged(content, "mx.example.net")
    assert (kept == b"Received: x\r\nFrom: a\r\n\r\nAuthentication-Results: mx.example.net; none\r\n") is forged
    assert (kept == content) is not forged


@pytest.mark.parametrize("piece", [b"\\(", b"(", b"(a)", b"(\\\\"])
def test_comments_cost_what_they_are_long(piece: bytes) -> None:
    """The field is a stranger's: quoted parentheses that may each begin a comment are looked at once."""

    def seconds(count: int) -> float:
        content = b"Authentication-Results: (" + piece * count + b"\r\n\r\n"
        started = time.process_time()
        for _ in range(10):
            without_forged(content, "mx.example.net")
        return time.process_time() - started

    assert seconds(16_000) < 64 * seconds(1_000)


def test_the_organization_is_where_the_records_say() -> None:
    def records(**found: str) -> dict[str, dmarc.Policy]:
        named = {name.replace("_", "."): text for name, text in found.items()}
        return {name: policy for name, text in named.items() if (policy := dmarc.parse(name, [text]))}

    plain = "v=DMARC1; p=none"
    assert dmarc.organizational("a.b.example", {}) == "a.b.example"
    assert dmarc.organizational("a.b.example", records(b_example=plain)) == "b.example"
    assert dmarc.organizational("a.b.example", records(b_example=plain, a_b_example=plain)) == "b.example"
    assert dmarc.organizational("a.b.c.example", records(c_example=plain + "; psd=y")) == "b.c.example"
    assert dmarc.organizational("a.b.example", records(b_example=plain, a_b_example=plain + "; psd=n")) == "a.b.example"
    assert dmarc.parse("x", ["v=DMARC1; p=none", "v=DMARC1; p=reject"]) is None
    assert dmarc.parse("x", ["v=DMARC1; p=sometimes"]) is None
    assert len(list(dmarc.walk("a." * 100 + "example"))) == dmarc.WALK_LIMIT
    assert list(dmarc.walk("a.b.example")) == ["a.b.example", "b.example"]
    assert list(dmarc.walk("example")) == ["example"]


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_said_stays_in_the_field(comment: str, name: str, value: str) -> None:
    text = field("mx.example.net", [Finding("spf", "pass", comment, [("smtp.mailfrom", value), ("smtp.helo", name)])])
    assert text.isprintable()
    assert text.isascii()


@given(st.binary(max_size=200))
def test_any_octets_are_a_message(octets: bytes) -> None:
    author_domain(Message.of(b"From: " + octets))
    without_forged(b"Authentication-Results: " + octets, "mx.example.net")
