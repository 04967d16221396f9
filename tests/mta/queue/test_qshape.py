"""qshape(1): columns of ages, rows of domains. The expected tables were printed by Postfix's own program."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue import qshape, tool
from mta.queue.listing import Listed
from mta.queue.qshape import Shape, Table


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool owns its process, and would take the log lines of the tests after this one."""
    monkeypatch.setattr(tool, "to_stderr", lambda name: None)


MINUTE = 60.0
MAIL = [
    (0, "a@one.example", ["x@big.example", "y@BIG.example"]),
    (7, "", ["x@big.example"]),
    (26, "b@two.example", ["z@small.example."]),
    (26, "b@two.example", ["z@a.very.long.domain.name.that.does.not.fit.example"]),
    (5000, "c@three.example", ["x@big.example", "local"]),
]


def table(shape: Shape) -> list[str]:
    made = Table(shape)
    for age, sender, recipients in MAIL:
        to = tuple((address, "") for address in recipients)
        made.add(Listed("deferred", "ID", 1e9 - age * MINUTE, 1, sender, to), 1e9)
    return list(made.lines())


def test_recipients_by_domain_and_age() -> None:
    assert table(Shape()) == [
        "                                         T  5 10 20 40 80 160 320 640 1280 1280+",
        "                                  TOTAL  7  2  1  0  2  0   0   0   0    0     2",
        "                            big.example  4  2  1  0  0  0   0   0   0    0     1",
        "                                  local  1  0  0  0  0  0   0   0   0    0     1",
        "                          small.example  1  0  0  0  1  0   0   0   0    0     0",
        "+.domain.name.that.does.not.fit.example  1  0  0  0  1  0   0   0   0    0     0",
    ]


def test_senders() -> None:
    lines = table(Shape(by_sender=True, buckets=3))
    assert lines[0].split() == ["T", "5", "10", "10+"]
    assert [line.split() for line in lines[1:4]] == [
        ["TOTAL", "5", "1", "1", "3"],
        ["two.example", "2", "0", "0", "2"],
        ["one.example", "1", "1", "0", "0"],
    ]


def test_linear_ages() -> None:
    assert table(Shape(linear=True, buckets=6))[0].split() == ["T", "5", "10", "15", "20", "25", "25+"]
    made = Table(Shape(linear=True, buckets=6))
    assert [made.bucket(minutes) for minutes in (0, 4.9, 5, 24, 26, 1000)] == [1, 1, 2, 5, 6, 6]


def test_parent_domains_with_enough_children() -> None:
    made = Table(Shape(parents=True, subdomains=2))
    for name in ("a.x.example", "b.x.example", "b.x.example", "c.y.example"):
        made.add(Listed("deferred", "ID", 0.0, 1, "s@s", ((f"u@{name}", ""),)), 0.0)
    assert [line.split()[0] for line in made.lines()][1:] == [
        "TOTAL",
        ".x.example",
        "b.x.example",
        "a.x.example",
        "c.y.example",
    ]


@given(st.text(max_size=40), st.floats(0, 1e9), st.integers(1, 30), st.integers(1, 300), st.booleans())
def test_any_address_and_age_has_its_place(address: str, age: float, buckets: int, tick: int, linear: bool) -> None:
    made = Table(Shape(parents=True, buckets=buckets, tick=tick, linear=linear))
    made.add(Listed("deferred", "ID", -age, 1, address, ((address, ""),)), 0.0)
    assert all(row[0] == sum(count for column, count in row.items() if column) for row in made.rows.values())
    assert len({len(line) for line in made.lines()}) == 1


@pytest.mark.parametrize("argv", [["-h"], ["-z"], ["-c", "/no/such/directory"]])
def test_wrong_use(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert qshape.main(argv) != 0
    assert capsys.readouterr().err.splitlines()[-1].startswith("qshape: fatal: ")


def test_an_empty_queue(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.cf").write_text(f"queue_directory = {tmp_path}/queue\n")
    (tmp_path / "queue").mkdir()
    assert qshape.main(["-c", str(tmp_path), "deferred"]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()[1:]] == [["TOTAL", *["0"] * 11]]
