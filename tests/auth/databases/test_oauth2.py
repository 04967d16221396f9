"""The oauth2 passdb: tokens verified by local keys, by introspection and tokeninfo servers, and by grants."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth.client import AuthClient, AuthFailed
from auth.databases import BadArguments
from auth.databases.oauth2 import OAuth2Passdb
from tests.interop import realdovecot

if TYPE_CHECKING:
    from tests.auth.conftest import Running

Start = Callable[..., Awaitable["Running"]]
SECRET = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())
NOW = int(time.time())
LOCAL = "introspection_mode = local\nlocal_validation_key_dict = fs:posix:prefix=%s/keys/\nusername_attribute = sub\n"


def keys(place: Path) -> None:
    """The key directory: <azp>/<alg>/<kid>."""
    texts = {
        "default/HS256/default": base64.b64encode(SECRET),
        "default/RS256/default": RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "app/ES256/two%2f2": EC_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    }
    for name, text in texts.items():
        path = place / "keys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text)
    for path in (place / "keys").rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def token(key: Any = SECRET, algorithm: str = "HS256", headers: dict[str, str] | None = None, **claims: Any) -> str:
    """A JWT of alice's, with these claims besides; None takes one away."""
    content = {"sub": "alice", "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 600} | claims
    content = {name: value for name, value in content.items() if value is not None}
    return jwt.encode(content, key, algorithm, {"typ": "JWT"} | (headers or {}))


def unsigned() -> str:
    """A token that needs no key (CVE-2015-9235)."""
    parts = [{"typ": "JWT", "alg": "none"}, {"sub": "alice", "exp": NOW + 600}]
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


LOCAL_TOKENS: dict[str, tuple[str, bool]] = {
    "HS256": (token(), True),
    "RS256": (token(RSA_KEY, "RS256"), True),
    "ES256 with azp and kid": (token(EC_KEY, "ES256", {"kid": "two/2"}, azp="app"), True),
    "upper case": (token(sub="ALICE"), True),
    "another user's": (token(sub="bob"), False),
    "wrong key": (token(SECRET[::-1]), False),
    "wrong ES key": (token(OTHER_KEY, "ES256", {"kid": "two/2"}, azp="app"), False),
    "unknown kid": (token(headers={"kid": "three"}), False),
    "unknown azp": (token(azp="other"), False),
    "empty kid": (token(headers={"kid": ""}), False),
    "key outside": (token(headers={"kid": "../HS256/default"}), False),
    "directory outside": (token(azp=".."), False),
    "expired": (token(exp=NOW - 5), False),
    "without exp": (token(exp=None), False),
    "not yet": (token(nbf=NOW + 300), False),
    "from the future": (token(iat=NOW + 300), False),
    "without sub": (token(sub=None), False),
    "other typ": (token(headers={"typ": "at+jwt"}), False),
    "none": (unsigned(), False),
    "cut": (token()[:-3], False),
    "two parts": (".".join(token().split(".")[:2]), False),
    "nonsense": ("xxx", False),
    "inactive": (token(active=False), False),
    "active": (token(active=True), True),
}


async def logs_in(sockets: Path, words: str, mechanism: str = "XOAUTH2") -> bool:
    """Whether alice is let in with a token (or password)."""
    client = AuthClient(sockets / "auth-client", "imap")
    messages = {
        "XOAUTH2": f"user=alice\x01auth=Bearer {words}\x01\x01",
        "OAUTHBEARER": f"n,a=alice,\x01auth=Bearer {words}\x01\x01",
        "PLAIN": f"\0alice\0{words}",
    }

    async def challenge(data: bytes) -> bytes:
        assert json.loads(data)["status"] in ("401", "invalid_token")
        return b""

    try:
        await client.authenticate(mechanism, messages[mechanism].encode(), challenge)
    except AuthFailed as failure:
        assert not failure.temporary
        return False
    finally:
        await client.close()
    return True


def configuration(place: Path, settings: str) -> str:
    """dovecot.conf with the passdb on its own configuration file."""
    (place / "oauth2.conf").write_text(settings)
    (place / "oauth2.conf").chmod(0o644)
    return (
        "auth_mechanisms = plain xoauth2 oauthbearer\n"
        f"passdb {{\n driver = oauth2\n args = {place}/oauth2.conf\n}}\n"
        "userdb {\n driver = static\n args = uid=8 gid=8 home=/nonexistent\n}\n"
        "service anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
    )


async def test_local_validation(start: Start, place: Path) -> None:
    keys(place)
    running = await start(configuration(place, LOCAL % place))
    got = {name: await logs_in(running.directory, text) for name, (text, _) in LOCAL_TOKENS.items()}
    assert got == {name: wanted for name, (_, wanted) in LOCAL_TOKENS.items()}
    assert await logs_in(running.directory, token(), "OAUTHBEARER")


@pytest.mark.interop
@pytest.mark.needs("dovecot", "dovecot-core")
async def test_dovecot_takes_the_same_tokens(place: Path) -> None:
    keys(place)
    with realdovecot.authenticating(place, configuration(place, LOCAL % place)) as sockets:
        worked = await asyncio.gather(*(logs_in(sockets, text) for text, _ in LOCAL_TOKENS.values()))
        got = dict(zip(LOCAL_TOKENS, worked, strict=True))
    assert got == {name: wanted for name, (_, wanted) in LOCAL_TOKENS.items()}


async def test_issuers_scope_and_fields(start: Start, place: Path) -> None:
    keys(place)
    more = "issuers = https://a.example https://b.example\nscope = mail\npass_attrs = seen=%{oauth2:sub} host=%{oauth2:inner}\n"
    running = await start(configuration(place, LOCAL % place + more))
    good = {"iss": "https://b.example", "scope": "openid mail"}
    assert await logs_in(running.directory, token(**good))
    for change in ({"iss": None}, {"iss": "https://c.example"}, {"scope": "openid"}, {"scope": None}):
        assert not await logs_in(running.directory, token(**good | change)), change
    assert await logs_in(running.directory, token(**good | {"scope": None, "aud": ["x", "mail"]}))
    client = AuthClient(running.path("auth-client"), "imap")
    said = f"user=alice\x01auth=Bearer {token(**good, more={'inner': 'value'})}\x01\x01".encode()

    async def challenge(data: bytes) -> bytes:
        raise AssertionError(data)

    fields = (await client.authenticate("XOAUTH2", said, challenge)).fields
    await client.close()
    assert (fields["seen"], fields["host"]) == ("alice", "value")


class Provider:
    """An OAuth 2 server on a port of its own; ``answers`` maps paths to status and JSON."""

    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, Any]] = {}
        self.seen: list[tuple[str, str, str, str]] = []
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                provider.seen.append((self.command, self.path, self.headers.get("Authorization", ""), body))
                status, content = provider.answers.get(self.path, (404, {}))
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = answer

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.mark.parametrize(
    ("mode", "request_seen"),
    [
        ("auth", ("GET", "/me", "Bearer tok", "")),
        ("get", ("GET", "/me?t=tok", "", "")),
        ("post", ("POST", "/me", "", "token=tok")),
    ],
)
async def test_introspection(
    start: Start, place: Path, provider: Provider, mode: str, request_seen: tuple[str, str, str, str]
) -> None:
    path = "/me?t=" if mode == "get" else "/me"
    settings = f"introspection_mode = {mode}\nintrospection_url = {provider.url}{path}\nusername_attribute = login\n"
    running = await start(configuration(place, settings))
    whole = path + ("tok" if mode == "get" else "")
    provider.answers[whole] = (200, {"login": "Alice", "active": True})
    assert await logs_in(running.directory, "tok")
    assert provider.seen == [request_seen]
    for answer in (
        (200, {"login": "bob"}),
        (200, {"login": "alice", "active": False}),
        (401, {}),
        (200, {"error": "x"}),
    ):
        provider.answers[whole] = answer
        assert not await logs_in(running.directory, "tok"), answer


async def test_tokeninfo_first_and_introspection_where_it_does_not_tell_the_name(
    start: Start, place: Path, provider: Provider
) -> None:
    settings = f"tokeninfo_url = {provider.url}/info?t=\nintrospection_url = {provider.url}/me\n"
    running = await start(configuration(place, settings))
    provider.answers = {"/info?t=tok": (200, {"scope": "x"}), "/me": (200, {"email": "alice"})}
    assert await logs_in(running.directory, "tok")
    assert [path for _, path, _, _ in provider.seen] == ["/info?t=tok", "/me"]
    provider.answers["/info?t=tok"] = (200, {"email": "alice"})
    assert await logs_in(running.directory, "tok")
    assert [path for _, path, _, _ in provider.seen][2:] == ["/info?t=tok"]


async def test_a_password_for_which_the_server_grants_a_token(start: Start, place: Path, provider: Provider) -> None:
    settings = (
        f"use_grant_password = yes\ngrant_url = {provider.url}/grant\nclient_id = us\nclient_secret = hush\n"
        f"introspection_url = {provider.url}/me\nusername_attribute = login\n"
    )
    running = await start(configuration(place, settings))
    provider.answers = {"/grant": (200, {"access_token": "tok"}), "/me": (200, {"login": "alice"})}
    assert await logs_in(running.directory, "pass&word", "PLAIN")
    assert parse_qs(provider.seen[0][3]) == {
        "grant_type": ["password"], "username": ["alice"], "password": ["pass&word"],
        "client_id": ["us"], "client_secret": ["hush"],
    }  # fmt: skip
    assert provider.seen[1][2] == "Bearer tok"
    provider.answers["/grant"] = (400, {"error": "invalid_grant"})
    assert not await logs_in(running.directory, "wrong", "PLAIN")


@pytest.mark.parametrize("answer", [(500, {}), (200, b"nonsense"), (200, []), (200, {"no": "name"})])
async def test_a_server_in_trouble_is_a_temporary_failure(
    start: Start, place: Path, provider: Provider, answer: tuple[int, Any]
) -> None:
    running = await start(configuration(place, f"introspection_url = {provider.url}/me\n"))
    provider.answers["/me"] = answer
    client = AuthClient(running.path("auth-client"), "imap")

    async def challenge(data: bytes) -> bytes:
        raise AssertionError(data)

    with pytest.raises(AuthFailed) as caught:
        await client.authenticate("XOAUTH2", b"user=alice\x01auth=Bearer tok\x01\x01", challenge)
    assert caught.value.temporary
    await client.close()


async def test_a_token_that_could_break_out_of_a_header_is_not_sent(
    start: Start, place: Path, provider: Provider
) -> None:
    running = await start(configuration(place, f"introspection_url = {provider.url}/me\n"))
    assert not await logs_in(running.directory, "a b")
    assert not await logs_in(running.directory, "ä")
    assert provider.seen == []


async def test_the_client_hears_of_the_provider(start: Start, place: Path) -> None:
    keys(place)
    running = await start(configuration(place, LOCAL % place + "openid_configuration_url = https://id.example/conf\n"))
    client = AuthClient(running.path("auth-client"), "imap")
    heard = []

    async def challenge(data: bytes) -> bytes:
        heard.append(json.loads(data))
        return b"\x01"

    with pytest.raises(AuthFailed):
        await client.authenticate("OAUTHBEARER", b"n,a=alice,\x01auth=Bearer x\x01\x01", challenge)
    assert heard == [{"status": "invalid_token", "openid-configuration": "https://id.example/conf"}]
    await client.close()


@pytest.mark.parametrize(
    "settings",
    [
        "",
        "introspection_mode = local\n",
        "introspection_mode = other\n",
        "nonsense = 1\n",
        "introspection_url = http://x/\nactive_value =\n",
        "introspection_url = http://x/\nrawlog_dir = /tmp\n",
        "use_grant_password = yes\n",
        "introspection_url = http://x/\ntls_ca_cert_file = /nonexistent\n",
    ],
)
def test_a_wrong_configuration(tmp_path: Path, settings: str) -> None:
    (tmp_path / "oauth2.conf").write_text(settings)
    with pytest.raises(BadArguments):
        OAuth2Passdb(str(tmp_path / "oauth2.conf"))
