"""Log-ins answered from memory: only where the work would bring the same reply, and never for longer."""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth import client_connection
from auth.cache import EntryCache
from auth.databases import Entry
from auth.penalty import Penalties
from auth.protocol import Parameters, ServerConnection
from auth.recall import Recall
from auth.request import AuthRequest
from auth.settings import AuthSettings

if TYPE_CHECKING:
    from .conftest import Peer, Running

Start = Callable[..., Awaitable["Running"]]
PASSDB = "passdb {{\n  driver = passwd-file\n  args = {}/users\n}}\nauth_cache_size = 1M\n"
GOOD, BAD = (base64.b64encode(b"\0alice\0" + password).decode() for password in (b"secret", b"wrong"))
REQUEST = f"PLAIN\tservice=smtp\tnologin\trip=192.0.2.1\tsession=a\tresp={GOOD}".encode()


def recall(
    octets: int = 10_000, stamp: Callable[[], object] = lambda: 0, now: Callable[[], float] = lambda: 0
) -> Recall:
    return Recall(octets, 60, stamp, Penalties(), now)


def found(until: float) -> AuthRequest:
    """A request whose answers hold until then."""
    request = AuthRequest(cast("AuthSettings", None), Parameters())
    request.known_until = until
    return request


def test_a_request_is_known_again_from_anywhere() -> None:
    memory = recall()
    assert memory.reply(REQUEST) is None
    memory.keep(REQUEST, b"user=alice\n", found(1.0), 0)
    assert memory.reply(REQUEST) == b"user=alice\n"
    assert memory.reply(REQUEST.replace(b"192.0.2.1", b"192.0.2.2").replace(b"=a", b"=b\tlport=25")) == b"user=alice\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"PLAIN", b"LOGIN"),
        (b"smtp", b"imap"),
        (b"nologin", b"nologin\tcert_username=bob"),
        (b"nologin", b"nologin\tforward_fields=x=y"),
        (b"nologin", b"nologin\tno-penalty"),
        (b"rip=", b"\x01"),
        (GOOD.encode(), BAD.encode()),
        (GOOD.encode(), b""),
        (GOOD.encode(), GOOD.encode() + b"\tsession=b"),
        (b"resp=", b"resp=\tresp="),
        (b"\tresp=" + GOOD.encode(), b""),
    ],
)
def test_another_request_is_not_known(old: bytes, new: bytes) -> None:
    memory = recall()
    memory.keep(REQUEST, b"user=alice\n", found(1.0), 0)
    assert memory.reply(REQUEST.replace(old, new)) is None


def test_replies_expire_with_what_they_were_made_of() -> None:
    now, stamp = 0.0, 1
    memory = recall(stamp=lambda: stamp, now=lambda: now)
    for until in (10.0, 1000.0):
        memory.keep(REQUEST, b"user=alice\n", found(until), stamp)
        now += 9
        assert memory.reply(REQUEST)
        now += min(until - 9, 52)  # the second one by auth_cache_ttl
        assert memory.reply(REQUEST) is None
    memory.keep(REQUEST, b"user=alice\n", found(2000.0), stamp)
    stamp = 2
    assert memory.reply(REQUEST) is None
    memory.keep(REQUEST, b"user=alice\n", found(now), stamp)
    assert memory.reply(REQUEST) is None


def test_what_was_asked_before_a_change_is_not_remembered_after_it() -> None:
    stamp = 1
    memory = recall(stamp=lambda: stamp)
    before, stamp = memory.stamp(), 2
    memory.keep(REQUEST, b"user=alice\n", found(1.0), before)
    assert memory.reply(REQUEST) is None
    memory.keep(REQUEST, b"user=alice\n", found(1.0), memory.stamp())
    assert memory.reply(REQUEST)


def test_what_a_reply_rests_on_takes_part_in_its_success() -> None:
    memory, request = recall(), found(1.0)
    cached = EntryCache(1000, 60, 60).put("alice", "alice", Entry("{PLAIN}secret", ()))
    assert cached is not None
    request.rests_on(cached)
    memory.keep(REQUEST, b"user=alice\n", request, 0)
    assert memory.reply(REQUEST) and cached.succeeded


def test_the_oldest_go_first_and_without_a_cache_there_is_nothing() -> None:
    memory = recall(octets=1000)
    requests = [REQUEST.replace(b"smtp", service) for service in (b"a", b"b", b"c")]
    for request in requests:
        memory.keep(request, b"user=alice\n", found(1.0), 0)
    assert [memory.reply(request) is not None for request in requests] == [False, True, True]
    memory.keep(requests[0], b"x" * 301, found(1.0), 0)
    assert memory.reply(requests[0]) is None
    nothing = recall(octets=0)
    nothing.keep(REQUEST, b"user=alice\n", found(1.0), 0)
    assert nothing.reply(REQUEST) is None


def test_an_address_with_failures_has_to_wait_whatever_is_known() -> None:
    penalties = Penalties()
    memory = Recall(10_000, 60, lambda: 0, penalties)
    memory.keep(REQUEST, b"user=alice\n", found(2**40), 0)
    penalties.failed("192.0.2.1", 7)
    assert memory.reply(REQUEST) is None
    assert memory.reply(REQUEST.replace(b"192.0.2.1", b"192.0.2.2"))


WORDS = st.sampled_from(
    [b"AUTH", b"CONT", b"1", b"2", b"007", b"0", b"4294967296", b"PLAIN", b"service=x", b"resp=", b""]
)


@given(st.lists(st.lists(WORDS, max_size=6).map(b"\t".join), max_size=4))
def test_the_number_of_a_known_request_is_checked_like_any(lines: list[bytes]) -> None:
    """Whoever knows every reply answers only what the machine would have begun."""

    def outcome(known: Callable[[bytes], bytes | None]) -> tuple[list[object], bool]:
        machine = ServerConnection({"PLAIN": ()}, spid=1, cuid=1, cookie="c", known=known)
        list(machine.receive(b"VERSION\t1\t2\nCPID\t1\n"))
        machine.data_to_send()
        begun: list[object] = []
        try:
            for event in machine.receive(b"".join(line + b"\n" for line in lines)):
                begun.append(getattr(event, "id", None))
                machine.send_ok(getattr(event, "id", 0), ["user=alice"])
        except client_connection.ProtocolError:
            return [*begun, *machine.data_to_send().split(b"\n")], True
        return [*begun, *machine.data_to_send().split(b"\n")], False

    def known(request: bytes) -> bytes | None:
        return b"user=alice\n" if request == b"PLAIN\tservice=x\tresp=" else None

    told = outcome(lambda request: None)
    recalled = outcome(known)
    assert recalled[1] == told[1]
    assert [line for line in recalled[0] if isinstance(line, bytes)] == [
        line for line in told[0] if isinstance(line, bytes)
    ]


async def login(peer: Peer, id: int, response: str, *parameters: str) -> list[str]:
    peer.say("\t".join(["AUTH", str(id), "PLAIN", "service=smtp", *parameters, f"resp={response}"]))
    return await peer.line()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the requests that were looked into."""
    numbers: list[int] = []
    begin = client_connection.ClientConnection._begin

    def noted(self: client_connection.ClientConnection, event: client_connection.server.Begin) -> None:
        numbers.append(event.id)
        begin(self, event)

    monkeypatch.setattr(client_connection.ClientConnection, "_begin", noted)
    return numbers


async def test_the_service_remembers(start: Start, tmp_path: Path, begun: list[int]) -> None:
    running = await start(PASSDB.format(tmp_path), users="alice:{PLAIN}secret::::::mood=good\n")
    peer = await running.connect()
    for number in range(1, 4):
        expected = ["OK", str(number), "user=alice", "mood=good"]
        assert await login(peer, number, GOOD, f"session={number}") == expected
    assert (await login(peer, 4, BAD))[0] == "FAIL"
    front_end = await running.connect("auth-login", greet=False)  # finished log-ins wait there to be asked for
    await front_end.greeting()
    assert (await login(front_end, 5, GOOD)) == ["OK", "5", "user=alice", "mood=good"]
    assert begun == [1, 4, 5]


async def test_another_password_in_the_file_is_the_only_one(start: Start, tmp_path: Path, begun: list[int]) -> None:
    running = await start(PASSDB.format(tmp_path), users="alice:{PLAIN}secret\n")
    peer = await running.connect()
    assert (await login(peer, 1, GOOD))[0] == "OK"
    (tmp_path / "users").write_text("alice:{PLAIN}changed\n")
    os.utime(tmp_path / "users", (1, 1))
    number = 2
    while (await login(peer, number, GOOD))[0] == "OK":  # the file's time is looked at once a second
        number += 1
    assert number in begun


@pytest.mark.parametrize("users", ["alice:{PLAIN}secret::::::allow_nets=127.0.0.1", "alice:{PLAIN}secret::::::at=%r"])
async def test_what_depends_on_the_client_is_not_remembered(
    start: Start, tmp_path: Path, begun: list[int], users: str
) -> None:
    running = await start(PASSDB.format(tmp_path), users=users + "\n")
    peer = await running.connect()
    first = await login(peer, 1, GOOD, "rip=127.0.0.1")
    second = await login(peer, 2, GOOD, "rip=192.0.2.2")
    assert first[0] == "OK"
    assert (second[0], second[2:]) != (first[0], first[2:])
    assert begun == [1, 2]


@pytest.mark.parametrize(
    "setting", ["auth_debug = yes", "hardmail_lockout_address_failures = 3", "auth_cache_size = 0"]
)
async def test_settings_that_want_to_see_every_log_in(
    start: Start, tmp_path: Path, begun: list[int], setting: str
) -> None:
    running = await start(PASSDB.format(tmp_path) + setting + "\n", users="alice:{PLAIN}secret\n")
    peer = await running.connect()
    assert (await login(peer, 1, GOOD))[0] == (await login(peer, 2, GOOD))[0] == "OK"
    assert begun == [1, 2]
