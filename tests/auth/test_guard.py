"""Lock-outs and the policy server: who is heard, what the server is told, and that refusals all take the same time."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from auth import client_connection, schemes
from auth.addresses import client_of
from auth.lockout import Lockouts

if TYPE_CHECKING:
    from .conftest import Peer, Running

Start = Callable[..., Awaitable["Running"]]
PASSDB = "passdb {\n  driver = passwd-file\n  args = %s/users\n}\nservice anvil {\n  unix_listener anvil-auth-penalty {\n    mode = 0\n  }\n}\n"
USERS = "alice:{PLAIN}secret\nbob:{PLAIN}hunter2\n"


def request(id: int, user: str, password: str, *parameters: str) -> str:
    """AUTH PLAIN."""
    response = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
    return "\t".join(["AUTH", str(id), "PLAIN", "service=imap", *parameters, f"resp={response}"])


async def login(peer: Peer, id: int, user: str, password: str, *parameters: str) -> list[str]:
    """The words of the reply to AUTH PLAIN."""
    peer.say(request(id, user, password, *parameters))
    return await peer.line()


def test_addresses() -> None:
    assert client_of("192.0.2.1") == "192.0.2.1"
    assert client_of("2001:db8:1:2::5") == client_of("2001:db8:1:ffff::9") == "2001:db8:1::"
    assert client_of("2001:db8:2::5") != client_of("2001:db8:1::5")
    assert client_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert client_of("fe80::1%eth0") == "fe80::"
    assert client_of("") == ""
    assert client_of("x:y") == "x:y"


def test_an_address_is_locked_for_its_time_and_others_are_not() -> None:
    now = 0.0
    lockouts = Lockouts(address=3, account=0, seconds=60, clock=lambda: now)
    assert [lockouts.failed("192.0.2.1", f"user{n}") for n in range(3)] == [[], [], ["address"]]
    assert lockouts.locked("192.0.2.1", "alice") == "address"
    assert lockouts.locked("192.0.2.2", "alice") == ""
    now = 60.0
    assert lockouts.locked("192.0.2.1", "alice") == ""
    assert lockouts.failed("192.0.2.1", "alice") == []  # counted anew


def test_failures_far_apart_and_those_before_a_success_do_not_add_up() -> None:
    now = 0.0
    lockouts = Lockouts(address=2, account=0, seconds=60, clock=lambda: now)
    lockouts.failed("192.0.2.1", "alice")
    now = 61.0
    assert lockouts.failed("192.0.2.1", "alice") == []
    lockouts.succeeded("192.0.2.1", "alice")
    assert lockouts.failed("192.0.2.1", "alice") == []


def test_an_account_is_locked_but_not_where_its_user_has_logged_in_before() -> None:
    lockouts = Lockouts(address=0, account=2, seconds=60)
    lockouts.succeeded("198.51.100.7", "alice")
    lockouts.failed("192.0.2.1", "alice")
    assert lockouts.failed("192.0.2.2", "alice") == ["account"]
    assert lockouts.locked("192.0.2.3", "alice") == "account"
    assert lockouts.locked("198.51.100.7", "alice") == ""
    assert lockouts.locked("192.0.2.3", "bob") == ""


async def test_a_locked_address_is_refused_with_the_right_password_too(start: Start, tmp_path: Any) -> None:
    running = await start(PASSDB % tmp_path + "hardmail_lockout_address_failures = 2\n", users=USERS)
    peer = await running.connect()
    for number in (1, 2):
        assert (await login(peer, number, "alice", "wrong", "rip=192.0.2.1"))[0] == "FAIL"
    assert await login(peer, 3, "bob", "hunter2", "rip=192.0.2.1") == ["FAIL", "3", "user=bob"]
    assert await login(peer, 4, "bob", "hunter2", "rip=192.0.2.2") == ["OK", "4", "user=bob"]


async def test_a_refusal_comes_a_fixed_time_after_the_request_whatever_the_work(
    start: Start, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On this clock the first request is heard and refused at once, and the second has taken 0.9 seconds of work.
    clock = iter([0.0, 0.0, 10.0, 10.9])
    running = await start(PASSDB % tmp_path + "auth_failure_delay = 1 secs\n", users=USERS)
    peer = await running.connect()
    monkeypatch.setattr(client_connection, "time", SimpleNamespace(monotonic=lambda: next(clock), time=time.time))
    before = time.monotonic()
    peer.say(request(1, "alice", "wrong"), request(2, "bob", "wrong"))
    assert [(await peer.line())[1] for _ in range(2)] == ["2", "1"]
    assert time.monotonic() - before > 0.99


class PolicyServer:
    """A policy server on a port of its own; ``answer`` is what it says to ``allow``."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str], str]] = []
        self.answer = '{"status":0,"msg":"ok"}'
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                server.seen.append((self.path, dict(self.headers), body))
                data = (server.answer if self.path.endswith("allow") else "{}").encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"

    async def told(self, count: int) -> list[tuple[str, str]]:
        """The requests so far, once there are ``count``: path and body."""
        async with asyncio.timeout(10):
            while len(self.seen) < count:
                await asyncio.sleep(0.01)
        return [(path, body) for path, _, body in self.seen]


@pytest.fixture
def policy() -> Iterator[PolicyServer]:
    server = PolicyServer()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


SETTINGS = "auth_policy_server_url = %s\nauth_policy_hash_nonce = fourtytwo\n"
ALICE = '"device_id":"","login":"alice","protocol":"imap","pwhash":"0631","remote":"10.1.2.3","session_id":"sess"'


async def policed(start: Start, policy: PolicyServer, tmp_path: Any, more: str = "") -> Peer:
    running = await start(PASSDB % tmp_path + SETTINGS % policy.url + more, users=USERS)
    return await running.connect()


async def test_the_policy_server_hears_what_dovecot_tells_it(start: Start, policy: PolicyServer, tmp_path: Any) -> None:
    more = "auth_policy_server_api_header = Authorization: Basic abc\n"
    peer = await policed(start, policy, tmp_path, more)
    assert (await login(peer, 1, "alice", "secret", "rip=10.1.2.3", "session=sess"))[0] == "OK"
    assert await policy.told(3) == [
        ("/?command=allow", "{" + ALICE + ',"tls":false}'),
        ("/?command=allow", "{" + ALICE + ',"tls":false}'),
        ("/?command=report", "{" + ALICE + ',"success":true,"policy_reject":false,"tls":false}'),
    ]
    assert policy.seen[0][1]["Authorization"] == "Basic abc"
    assert (await login(peer, 2, "alice", "wrong", "rip=10.1.2.3", "secured=tls"))[0] == "FAIL"
    said = json.loads((await policy.told(5))[4][1])
    assert (said["success"], said["policy_reject"], said["tls"], said["pwhash"]) == (False, False, True, "0b6f")


async def test_a_refusal_of_the_policy_server(start: Start, policy: PolicyServer, tmp_path: Any) -> None:
    peer = await policed(start, policy, tmp_path)
    policy.answer = '{"status":-1,"msg":"go away"}'
    assert await login(peer, 1, "alice", "secret") == ["FAIL", "1", "user=alice", "reason=go away"]
    assert '"success":false,"policy_reject":true' in (await policy.told(2))[1][1]


async def test_the_policy_server_slows_down(start: Start, policy: PolicyServer, tmp_path: Any) -> None:
    peer = await policed(start, policy, tmp_path, "auth_policy_check_after_auth = no\n")
    policy.answer = '{"status":1}'
    before = time.monotonic()
    assert (await login(peer, 1, "alice", "secret"))[0] == "OK"
    assert time.monotonic() - before >= 1


@pytest.mark.parametrize("answer", ["rubbish", "[]", '{"msg":"x"}', '{"status":"x"}', '{"status":1,"msg":["x"]}'])
@pytest.mark.parametrize("reject", ["no", "yes"])
async def test_nonsense_counts_as_auth_policy_reject_on_fail_says(
    start: Start, policy: PolicyServer, tmp_path: Any, answer: str, reject: str
) -> None:
    policy.answer = answer
    peer = await policed(start, policy, tmp_path, f"auth_policy_reject_on_fail = {reject}\n")
    assert (await login(peer, 1, "alice", "secret"))[0] == ("FAIL" if reject == "yes" else "OK")


async def test_a_policy_server_that_is_down(start: Start, tmp_path: Any) -> None:
    settings = SETTINGS % "http://127.0.0.1:1/" + "auth_policy_reject_on_fail = yes\n"
    running = await start(PASSDB % tmp_path + settings, users=USERS)
    assert (await login(await running.connect(), 1, "alice", "secret"))[0] == "FAIL"


async def test_log_only_changes_nothing(start: Start, policy: PolicyServer, tmp_path: Any) -> None:
    peer = await policed(start, policy, tmp_path, "auth_policy_log_only = yes\n")
    policy.answer = '{"status":-1}'
    assert (await login(peer, 1, "alice", "secret"))[0] == "OK"


async def test_an_unknown_user_costs_the_same_hash(
    start: Start, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[tuple[str, str, int]] = []

    def verify(scheme: str, stored: str, password: bytes, user: str) -> bool:
        work.append((scheme, stored, len(password)))
        return False

    stored = schemes.generate("SHA512-CRYPT", b"secret", rounds=1000)
    running = await start(PASSDB % tmp_path, users=f"alice:{{SHA512-CRYPT}}{stored}\n")
    peer = await running.connect()
    monkeypatch.setattr(schemes, "verify", verify)
    assert (await login(peer, 1, "alice", "wrong!"))[0] == "FAIL"
    assert (await login(peer, 2, "nobody", "wrong"))[0] == "FAIL"
    assert work == [("SHA512-CRYPT", stored, 6)] * 2
