"""Small parts of the auth room: variables, penalties, the hashing pool, what is remembered, passwd-file lines."""

from __future__ import annotations

import asyncio
import contextlib
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth import variables
from auth.databases import passwd_file
from auth.hashing import FairPool, Remembered
from auth.penalty import LONGEST, Penalties

VALUES = {"u": "Al@Ex.org", "n": "Al", "d": "Ex.org", "user": "Al@Ex.org", "long": "abcdefgh", "a;b": "x"}


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("plain", "plain"),
        ("%u", "Al@Ex.org"),
        ("%Lu/%Un", "al@ex.org/AL"),
        ("%%u", "%u"),
        ("%{user}", "Al@Ex.org"),
        ("%3{long}", "abc"),
        ("%2.3{long}", "cde"),
        ("%-2.2{long}", "gh"),
        ("%05{user}", "Al@Ex.org"),
        ("%06n", "0000Al"),
        ("%R{long}", "hgfedcba"),
        ("%Dd", "Ex,dc=org"),
        ("%{sha1:user}", "26ad0e1ba83b4a5e1d8ee1d0a1d2ab5a6b8f2c58"),
        ("%{if;%n;eq;Al;yes;no}", "yes"),
        ("%{if;%d;ne;;%d;none}", "Ex.org"),
        ("%{if;5;<;7;less}", "less"),
        ("%{nosuch}", "UNSUPPORTED_VARIABLE_nosuch"),
        ("100%", "100"),
    ],
)
def test_variables(text: str, expanded: str) -> None:
    if "sha1" in text:
        import hashlib

        expanded = hashlib.sha1(b"Al@Ex.org", usedforsecurity=False).hexdigest()
    assert variables.expand(text, VALUES.get) == expanded


PIECES = [
    "%",
    "u",
    "{",
    "}",
    ";",
    ":",
    "n",
    "0",
    "1",
    "9",
    ".",
    "-",
    "L",
    "N",
    "X",
    "a",
    "\\",
    "if;",
    "eq",
    "~",
    "sha1",
    "rounds=",
    ",",
]


@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_only_its_own_error_escapes(text: str) -> None:
    with contextlib.suppress(variables.VariableError):
        assert len(variables.expand(text, VALUES.get)) < 40_000


def test_values_cannot_break_out_of_a_path() -> None:
    assert variables.expand("/x/%d", {"d": "../../etc"}.get, lambda value: value.partition("/")[0]) == "/x/.."


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_penalties_double_and_end() -> None:
    clock = Clock()
    penalties = Penalties(clock=clock)
    waits = []
    for attempt in range(6):
        penalties.failed("10.0.0.1", attempt)
        waits.append(penalties.wait("10.0.0.1"))
    assert waits == [4.0, 8.0, LONGEST, LONGEST, LONGEST, LONGEST]
    assert penalties.wait("10.0.0.2") == 0
    clock.now += 5
    assert penalties.wait("10.0.0.1") == LONGEST
    clock.now += 10
    assert penalties.wait("10.0.0.1") == 0


def test_the_same_wrong_password_again_costs_no_more() -> None:
    penalties = Penalties(clock=Clock())
    for _ in range(5):
        penalties.failed("10.0.0.1", 42)
    assert penalties.wait("10.0.0.1") == 4.0
    penalties.succeeded("10.0.0.1")
    assert penalties.wait("10.0.0.1") == 0


def test_penalties_can_be_switched_off() -> None:
    penalties = Penalties(enabled=False)
    penalties.failed("10.0.0.1", 1)
    assert penalties.wait("10.0.0.1") == 0


async def test_a_flood_from_one_address_waits_for_itself() -> None:
    pool = FairPool(workers=1)
    gate, order = threading.Event(), []

    def work(name: str) -> bool:
        gate.wait(10)
        order.append(name)
        return True

    flood = [asyncio.create_task(pool.run("10.0.0.1", lambda: work("flood"))) for _ in range(20)]
    await asyncio.sleep(0)
    good = asyncio.create_task(pool.run("10.0.0.2", lambda: work("good")))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*flood, good)
    assert order.index("good") <= 2
    pool.close()


async def test_the_pool_hands_errors_on_and_survives_cancellation() -> None:
    pool = FairPool(workers=1)

    def fails() -> bool:
        raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        await pool.run("a", fails)
    cancelled = asyncio.create_task(pool.run("a", lambda: True))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await pool.run("a", lambda: True)
    pool.close()


def test_what_is_remembered_is_bounded_in_number_and_age() -> None:
    clock = Clock()
    remembered = Remembered(160 * 2, 60, clock)
    tokens = [remembered.token("S", "stored", b"pw%d" % n, "u") for n in range(3)]
    for token in tokens:
        remembered.add(token)
    assert [remembered.knows(token) for token in tokens] == [False, True, True]
    clock.now += 61
    assert not remembered.knows(tokens[2])
    assert remembered.flush() == 2


def test_what_is_remembered_is_of_one_stored_hash_only() -> None:
    remembered = Remembered(1 << 20, 60)
    remembered.add(remembered.token("S", "old", b"pw", "u"))
    assert not remembered.knows(remembered.token("S", "new", b"pw", "u"))
    assert remembered.token("a", "b", b"", "c") != remembered.token("a", "bc", b"", "")


@pytest.mark.parametrize(
    ("line", "user"),
    [
        ("", None),
        ("# comment", None),
        (":x", None),
        ("eve", passwd_file.User("eve", None)),
        ("a:pw", passwd_file.User("a", "pw")),
        ("a:pw:5:6:gecos:/home/a:/bin/sh:x=1 y", None),
        ("a:Gmnvul0hhMqE2[13]", passwd_file.User("a", "{CRYPT}Gmnvul0hhMqE2")),
        ("a:{PLAIN}x[13]", passwd_file.User("a", "{PLAIN}x[13]")),
        ("a:pw:nosuchuserhere:6::/h::", None),
    ],
)
def test_passwd_file_line(line: str, user: passwd_file.User | None) -> None:
    found = passwd_file.parse_line(line)
    if "gecos" in line:
        user = passwd_file.User("a", "pw", 5, 6, "/home/a", (("x", "1"), ("y", "")), has_userdb=True)
    assert found == user
    assert "pw" not in repr(found)


@given(st.text(max_size=80))
def test_passwd_file_lines_never_fail(line: str) -> None:
    passwd_file.parse_line(line)
