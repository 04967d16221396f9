"""Header addresses of our own clients: what is left alone at a glance, and what that glance costs."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from mta.message import rewriting
from mta.message.headers import Field

Write = Callable[[int], bytes]


async def looked_at(value: bytes) -> bool:
    """Whether the field's addresses were looked for one by one."""
    looks = []

    async def addresses(value: str, change: rewriting.Change) -> str | None:
        looks.append(value)
        return None

    async def change(address: str) -> str:
        return address

    await rewriting.rewrite_fields([Field(b"to", b"To:" + value + b"\r\n")], addresses, change, change, True)
    return bool(looks)


@pytest.mark.parametrize(
    ("value", "looked"),
    [
        (b" a@b.example", False),
        (b'a@b.example ,\r\n\tA. Person <a@b.example>,  "P, Q" <c-d@e.f.example>, <g@h.example>', False),
        (b"   <a@b.example>   ", False),
        (b" a", True),
        (b" a@b", True),
        (b" a@b.example.", True),
        (b" A <a@b.example> x", True),
        (b" a@b.example, ", True),
        (b" a@b.example (comment)", True),
        (b"", True),
    ],
)
async def test_complete_addresses_need_no_second_look(value: bytes, looked: bool) -> None:
    assert await looked_at(value) is looked


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda size: b" " * size + b"!", id="blanks"),
        pytest.param(lambda size: b" a@b.example," + b" " * size + b"!", id="blanks after a comma"),
        pytest.param(lambda size: b" a@b.example" + b" " * size + b"!", id="blanks at the end"),
        pytest.param(lambda size: b" a@" + b"b." * (size // 2) + b"!", id="labels"),
        pytest.param(lambda size: b" a@b.example," * (size // 13) + b"!", id="addresses"),
        pytest.param(lambda size: b" " + b"a " * (size // 2) + b"!", id="words"),
    ],
)
async def test_the_look_costs_what_the_field_is_long(write: Write) -> None:
    async def seconds(size: int) -> float:
        value = write(size)
        started = time.process_time()
        for _ in range(200):
            await looked_at(value)
        return time.process_time() - started

    small = await seconds(6_000)
    assert await seconds(96_000) < 64 * small


async def test_a_field_longer_than_any_header_is_not_tried() -> None:
    value = b" " + b"a@b.example, " * 10_000 + b"a@b.example"
    assert await looked_at(value)
