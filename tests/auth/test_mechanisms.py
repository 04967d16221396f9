"""SASL mechanisms as pure steps: the RFCs' own examples, refusals, and garbage."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.mechanisms import MECHANISMS, REFUSED_BY_NAME, Environment, Refused
from auth.mechanisms.gssapi import gssapi
from auth.mechanisms.steps import (
    ActAs,
    Anonymous,
    Authorize,
    Binding,
    Certificate,
    Challenge,
    Credentials,
    Done,
    Identify,
    Initial,
    VerifyPassword,
    VerifyToken,
)
from auth.schemes import sasl

Respond = Callable[[bytes], bytes]


class Driver:
    """Runs a mechanism against a client function and one stored password."""

    def __init__(
        self, name: str, *, password: bytes = b"", credentials: bytes | None = None, nonce: bytes = b""
    ) -> None:
        self.name = name
        self.password = password
        self.credentials = credentials
        self.environment = Environment("host.example", (), lambda size: nonce or bytes(size), lambda: 1234)
        self.start = MECHANISMS[name].start
        self.binding: bytes | None = None
        self.user = self.authzid = ""
        self.challenges: list[bytes] = []

    def run(self, initial: bytes | None, respond: Respond) -> bytes:
        """The mechanism's last message. Raises Refused."""
        steps = self.start(self.environment)
        answer: bytes | str | None = None
        try:
            question = next(steps)
            while True:
                match question:
                    case Initial():
                        answer = initial
                    case Challenge(data):
                        self.challenges.append(data)
                        answer = respond(data)
                    case Identify(user):
                        self.user, answer = user, user
                    case ActAs(user):
                        self.authzid, answer = user, None
                    case VerifyPassword(password):
                        if password != self.password:
                            raise Refused("wrong")
                        answer = None
                    case Credentials(scheme, suffix):
                        answer = self._credentials(scheme, suffix)
                    case VerifyToken(token):
                        answer = None if token.encode() == self.password else ""
                    case Binding():
                        answer = self.binding
                    case Authorize(principal, realm):
                        if principal != f"{self.user}@{realm}":
                            raise Refused("another")
                        answer = None
                    case Anonymous() | Certificate():
                        answer = None
                question = steps.send(answer)
        except StopIteration as stop:
            assert isinstance(stop.value, Done)
            return stop.value.data

    def _credentials(self, scheme: str, suffix: str) -> bytes:
        if self.credentials is not None:
            return self.credentials
        from auth import schemes

        return schemes.credentials("PLAIN", self.password.decode(), scheme, self.user + suffix)


def never(data: bytes) -> bytes:
    raise AssertionError(f"asked {data!r}")


def test_plain() -> None:
    driver = Driver("PLAIN", password=b"pw")
    assert driver.run(b"Ursel\0Kurt\0pw", never) == b""
    assert (driver.user, driver.authzid) == ("Kurt", "Ursel")
    assert Driver("PLAIN", password=b"pw").run(None, lambda data: b"\0Kurt\0pw") == b""


def test_login_prompts() -> None:
    driver = Driver("LOGIN", password=b"pw")
    driver.run(None, lambda data: {b"Username:": b"Kurt", b"Password:": b"pw"}[data])
    assert driver.challenges == [b"Username:", b"Password:"]
    driver = Driver("LOGIN", password=b"pw")
    driver.run(b"Kurt", lambda data: b"pw")
    assert driver.challenges == [b"Password:"]


def test_cram_md5_of_rfc_2195(monkeypatch: pytest.MonkeyPatch) -> None:
    context = sasl.cram_context(b"tanstaaftanstaaf")
    challenge = b"<1896.697170952@postoffice.reston.mci.net>"
    assert sasl.cram_digest(context, challenge) == b"b913a602c7eda7a495b4e6e7334d3890"
    driver = Driver("CRAM-MD5", password=b"tanstaaftanstaaf")

    def respond(data: bytes) -> bytes:
        return b"tim " + hmac.new(b"tanstaaftanstaaf", data, "md5").hexdigest().encode()

    driver.run(None, respond)
    assert driver.user == "tim"
    assert driver.challenges[0].endswith(b".1234@host.example>")


def test_apop_of_rfc_1939() -> None:
    challenge = b"<1896.697170952@dbc.mtview.ca.us>"
    digest = bytes.fromhex("c4c9334bac560ecc979e58001b3e22fb")
    driver = Driver("APOP", password=b"tanstaaf")
    driver.run(challenge + b"\0mrose\0" + digest, never)
    assert driver.user == "mrose"
    with pytest.raises(Refused):
        Driver("APOP", password=b"other").run(challenge + b"\0mrose\0" + digest, never)
    driver.environment = dataclasses.replace(driver.environment, issuer="<1896.2.")
    with pytest.raises(Refused, match="not made on this connection"):
        driver.run(challenge + b"\0mrose\0" + digest, never)


@pytest.mark.parametrize(
    ("name", "algorithm", "client_nonce", "server_nonce", "salt", "proof", "final"),
    [
        (
            "SCRAM-SHA-1", "sha1", "fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j", "QSXCR+Q6sek8bf92",
            "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=", "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            "SCRAM-SHA-256", "sha256", "rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ],
)  # fmt: skip
def test_scram_of_the_rfcs(  # RFC 5802 section 5, RFC 7677 section 3
    name: str, algorithm: str, client_nonce: str, server_nonce: str, salt: str, proof: str, final: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    keys = sasl.scram_keys(b"pencil", algorithm, 4096, base64.b64decode(salt))
    server_first = f"r={client_nonce}{server_nonce},s={salt},i=4096"
    signed = f"n=user,r={client_nonce},{server_first},c=biws,r={client_nonce}{server_nonce}".encode()
    signature = hmac.digest(keys.stored_key, signed, algorithm)
    key = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
    assert hashlib.new(algorithm, key).digest() == keys.stored_key
    assert base64.b64encode(hmac.digest(keys.server_key, signed, algorithm)).decode() == final
    driver = Driver(name, credentials=keys.text().encode())

    def respond(data: bytes) -> bytes:
        salted = hashlib.pbkdf2_hmac(algorithm, b"pencil", base64.b64decode(salt), 4096)
        ours = hmac.digest(salted, b"Client Key", algorithm)
        nonce = data.decode().split(",")[0]
        message = f"n=user,r={client_nonce},{data.decode()},c=biws,{nonce}".encode()
        mask = hmac.digest(hashlib.new(algorithm, ours).digest(), message, algorithm)
        made = base64.b64encode(bytes(a ^ b for a, b in zip(ours, mask, strict=True))).decode()
        return f"c=biws,{nonce},p={made}".encode()

    assert driver.run(f"n,,n=user,r={client_nonce}".encode(), respond).startswith(b"v=")


@pytest.mark.parametrize(
    "first",
    [
        "",
        "n",
        "x,,n=a,r=b",
        "p=tls-unique,,n=a,r=b",
        "n,b=x,n=a,r=b",
        "n,,m=x,n=a,r=b",
        "n,,n=a=2X,r=b",
        "n,,a,r=b",
        "n,,n=a",
    ],
)
def test_scram_refuses(first: str) -> None:
    with pytest.raises(Refused):
        Driver("SCRAM-SHA-256", password=b"x").run(first.encode(), lambda data: b"")


def scram_client(gs2: str, binding: bytes, password: bytes = b"x") -> tuple[bytes, Respond]:
    """The first message and the answers of a SCRAM-SHA-256 client that believes itself bound to ``binding``."""
    bare = "n=a,r=nonce"

    def respond(data: bytes) -> bytes:
        nonce, salt, rounds = (field[2:] for field in data.decode().split(","))
        keys = sasl.scram_keys(password, "sha256", int(rounds), base64.b64decode(salt))
        salted = hashlib.pbkdf2_hmac("sha256", password, base64.b64decode(salt), int(rounds))
        last = f"c={base64.b64encode(gs2.encode() + binding).decode()},r={nonce}"
        mask = hmac.digest(keys.stored_key, f"{bare},{data.decode()},{last}".encode(), "sha256")
        key = hmac.digest(salted, b"Client Key", "sha256")
        return f"{last},p={base64.b64encode(bytes(a ^ b for a, b in zip(key, mask, strict=True))).decode()}".encode()

    return (gs2 + bare).encode(), respond


@pytest.mark.parametrize("kind", ["tls-exporter", "tls-unique"])
def test_scram_plus_is_bound_to_its_session(kind: str) -> None:
    driver = Driver("SCRAM-SHA-256-PLUS", password=b"x")
    driver.binding = b"of this session"
    assert driver.run(*scram_client(f"p={kind},,", b"of this session")).startswith(b"v=")
    with pytest.raises(Refused, match="channel binding"):  # somebody in the middle has another session with us
        driver.run(*scram_client(f"p={kind},,", b"of another"))
    driver.binding = None
    with pytest.raises(Refused, match="no tls"):
        driver.run(*scram_client(f"p={kind},,", b""))


@pytest.mark.parametrize("gs2", ["n,,", "y,,", "p=tls-server-end-point,,", "p=,,"])
def test_scram_plus_takes_no_unbound_client(gs2: str) -> None:
    driver = Driver("SCRAM-SHA-256-PLUS", password=b"x")
    driver.binding = b"data"
    with pytest.raises(Refused, match="channel binding"):
        driver.run(*scram_client(gs2, b"data" if gs2.startswith("p") else b""))


def test_scram_notices_that_channel_binding_was_struck_from_the_list() -> None:
    driver = Driver("SCRAM-SHA-256", password=b"x")
    assert driver.run(*scram_client("y,,", b"")).startswith(b"v=")
    driver.environment = dataclasses.replace(driver.environment, binds=True)
    with pytest.raises(Refused, match="downgrade"):
        driver.run(*scram_client("y,,", b""))
    assert driver.run(*scram_client("n,,", b"")).startswith(b"v=")


class Ticket:
    """A security context that takes one round more and then trusts alice."""

    closed = 0

    def __init__(self, service: str, hostname: str) -> None:
        if (service, hostname) != ("pop", "host.example"):
            raise OSError(f"no key for {service}@{hostname}")
        self.rounds = 0

    def step(self, token: bytes) -> tuple[bytes, bool]:
        if token == b"forged":
            raise OSError("forged")
        self.rounds += 1
        return b"answer" * (token == b"mutual" or self.rounds == 1), self.rounds == 2

    def client(self) -> str:
        return "alice@REALM"

    def realm(self) -> str:
        return "REALM"

    def wrap(self, data: bytes) -> bytes:
        return b"W" + data

    def unwrap(self, data: bytes) -> bytes:
        if not data.startswith(b"W"):
            raise OSError("not protected")
        return data[1:]

    def close(self) -> None:
        Ticket.closed += 1


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([b"first", b"second", b"W\x01\0\0\0alice"], ""),
        ([b"first", b"mutual", b"", b"W\x01\0\0\0alice"], ""),
        ([b"first", b"second", b"W\x01\0\0\0bob"], "another"),
        ([b"first", b"second", b"W\x04\0\0\0alice"], "security layer"),
        ([b"first", b"second", b"W\x01"], "security layer"),
        ([b"first", b"second", b"alice"], "not protected"),
        ([b"first", b"forged"], "forged"),
    ],
)
def test_gssapi(said: list[bytes], fault: str) -> None:
    driver = Driver("GSSAPI")
    driver.start = gssapi(Ticket, OSError)
    driver.environment = dataclasses.replace(driver.environment, service="pop3", kerberos_hostname="host.example")
    answers = iter(said[1:])
    before = Ticket.closed
    if fault:
        with pytest.raises(Refused, match=fault):
            driver.run(said[0], lambda data: next(answers))
    else:
        assert driver.run(said[0], lambda data: next(answers)) == b""
        assert driver.challenges[-1] == b"W\x01\0\0\0"
    assert Ticket.closed == before + 1


def digest_reply(data: bytes, user: str, password: str, **changes: str) -> bytes:
    """What a DIGEST-MD5 client answers (RFC 2831 section 2.1.2)."""
    nonce = data.decode().split('nonce="')[1].split('"')[0]
    given = {
        "realm": "",
        "nonce": nonce,
        "cnonce": "c",
        "nc": "00000001",
        "qop": "auth",
        "digest-uri": "imap/h",
    } | changes

    def md5(text: bytes) -> bytes:
        return hashlib.md5(text, usedforsecurity=False).digest()

    a1 = md5(f"{user}:{given['realm']}:{password}".encode()) + f":{nonce}:c".encode()
    a2 = md5(f"AUTHENTICATE:{given['digest-uri']}".encode()).hex()
    response = md5(f"{md5(a1).hex()}:{nonce}:{given['nc']}:c:{given['qop']}:{a2}".encode()).hex()
    quoted = {"realm", "nonce", "cnonce", "digest-uri"}
    pairs = [f'{name}="{value}"' if name in quoted else f"{name}={value}" for name, value in given.items()]
    return ",".join([f'username="{user}"', *pairs, f"response={response}", "charset=utf-8"]).encode()


def test_digest_md5() -> None:
    driver = Driver("DIGEST-MD5", password=b"pw")
    final = driver.run(None, lambda data: digest_reply(data, "chris", "pw"))
    assert final.startswith(b"rspauth=")
    assert driver.user == "chris"
    driver = Driver("DIGEST-MD5", password=b"pw")
    driver.run(None, lambda data: digest_reply(data, "chris", "pw", realm="elwood"))
    assert driver.user == "chris@elwood"
    driver = Driver("DIGEST-MD5", password=b"pw")
    driver.run(None, lambda data: digest_reply(data, "chris@dom", "pw"))
    assert driver.user == "chris@dom"


@pytest.mark.parametrize(
    "changes",
    [{"nonce": "x"}, {"nc": "00000002"}, {"qop": "auth-int"}, {"digest-uri": "imap"}, {"cnonce": ""}],
    ids=lambda changes: str(changes),
)
def test_digest_md5_refuses(changes: dict[str, str]) -> None:
    with pytest.raises(Refused):
        Driver("DIGEST-MD5", password=b"pw").run(None, lambda data: digest_reply(data, "chris", "pw", **changes))


def test_bearer_tokens() -> None:
    driver = Driver("OAUTHBEARER", password=b"token")
    driver.run(b"n,a=user@example.com,\x01host=h\x01port=143\x01auth=Bearer token\x01\x01", never)
    assert driver.user == "user@example.com"
    driver = Driver("XOAUTH2", password=b"token")
    with pytest.raises(Refused):
        driver.run(b"user=u\x01auth=Bearer wrong\x01\x01", lambda data: b"\x01")
    assert driver.challenges == [b'{"status":"401","schemes":"bearer","scope":"mail"}']


def test_known_names_that_are_refused_have_a_reason() -> None:
    assert {"NTLM", "SRP", "KERBEROS_V4"} <= set(REFUSED_BY_NAME)
    assert not set(REFUSED_BY_NAME) & set(MECHANISMS)


PARTS = st.sampled_from(
    [b"n,,", b"n=", b"r=", b"a", b",", b"\0", b"=", b'"', b"\x01", b"auth=Bearer ", b"user=", b"c=biws"]
)
MESSAGES = st.one_of(st.binary(max_size=60), st.lists(PARTS, max_size=12).map(b"".join))


@given(st.sampled_from(sorted(MECHANISMS)), st.one_of(st.none(), MESSAGES), st.lists(MESSAGES, min_size=3, max_size=3))
def test_only_a_refusal_escapes(name: str, initial: bytes | None, responses: list[bytes]) -> None:
    left = list(responses)
    try:
        Driver(name, password=b"x").run(initial, lambda data: left.pop() if left else b"")
    except Refused:
        return
