"""`hardmail lab` as a student and a teacher use it, from the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.exercises.seed import names, student_seed

ROOT = Path(__file__).parents[3]


class Desk:
    """Runs `hardmail lab` with a runtime directory and a home of its own."""

    def __init__(self, place: Path) -> None:
        self.directory = place / "lab"
        self.place = place
        (place / "runtime").mkdir(mode=0o700)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("LC_")},
            "PYTHONPATH": str(ROOT),
            "XDG_RUNTIME_DIR": str(place / "runtime"),
            "LANG": "C.UTF-8",
        }

    def lab(self, *arguments: str, status: int = 0, **environment: str) -> str:
        """What a command says on standard output and standard error."""
        ended = subprocess.run(
            [sys.executable, "-m", "lab", "lab", *arguments],
            capture_output=True, text=True, timeout=120, check=False, env={**self.environment, **environment},
        )  # fmt: skip
        assert ended.returncode == status, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@pytest.fixture
def desk(place: Path) -> Iterator[Desk]:
    made = Desk(place)
    yield made
    if made.directory.exists():
        made.lab("stop", "--dir", str(made.directory))


@pytest.mark.slow
@pytest.mark.exercise
def test_from_start_to_report(desk: Desk) -> None:
    key, lab = desk.place / "class.key", str(desk.directory)
    seed = desk.lab("seed", "--key", str(key), "Erika").split()[0]
    domain = names(bytes.fromhex(seed), "12.1")["domain"]

    told = desk.lab("start", "12.1", "--student", "Erika", "--seed", seed, "--dir", lab, "--lang", "de")
    assert f"Test-Domain {domain}" in told
    assert desk.lab("report", status=64)  # nothing to report yet

    said = desk.lab("check", status=1)
    assert "connection refused" in said
    assert "read: Mailserver Teil 2, slide mydestination" in said
    assert "gesehen: " in desk.lab("check", status=1, LC_ALL="de_DE.UTF-8")

    assert "Hint 1 of 4" in desk.lab("hint")
    assert "Tipp 2 von 4" in desk.lab("hint", "--lang", "de")

    main = desk.directory / "mailhost" / "main.cf"
    before = main.read_text()
    main.write_text(before + "inet_interfaces = 127.0.0.1 127.0.0.999\n")
    refused = desk.lab("reload", status=78)
    assert re.search(r"mailhost/m\w+\.cf, line [0-9]+: .*127\.0\.0\.999", refused)
    assert "mailhost/main.cf" in desk.lab("check", status=1)  # edited, and not taken over

    kept = desk.lab("reset").split()[-1].rstrip(".")
    assert "127.0.0.999" in (Path(kept) / "mailhost" / "main.cf").read_text()
    assert main.read_text() == before

    assert "mydestination = $mydomain" in desk.lab("solve")
    passed = desk.lab("check", "-v")
    assert "5 of 5" in passed
    assert "S: 554 5.7.1 <victim@far.example>: Relay access denied" in passed

    main.write_text(main.read_text() + "inet_interfaces = all\n")  # another address for the ports that are held
    assert "taken over" in desk.lab("reload")
    assert "5 of 5" in desk.lab("check")

    assert desk.lab("report").startswith("Written: ")
    for name in ("report.md", "report.html"):
        file = desk.directory / name
        text = file.read_text()
        assert "Relay access denied" in text
        assert "hints seen: 2" in text
        assert "the sample solution was shown" in text
        assert "genuine. Erika, exercise 12.1, 5 of 5" in desk.lab("report", "--verify", str(file), "--key", str(key))
        assert "NOT genuine" in desk.lab("report", "--verify", str(file), status=1)  # another key: none
        file.write_text(text.replace("connection refused", "250 Ok"))
        assert "NOT genuine" in desk.lab("report", "--verify", str(file), "--key", str(key), status=1)

    desk.lab("stop")
    assert "1. Your partner can connect" in desk.lab("check", "--dir", lab)  # what does not run is started
    assert domain in desk.lab("start", "--dir", lab)
    assert "holds exercise 12.1" in desk.lab("start", "12.2", "--dir", lab, status=64)
    assert "holds the work of Erika" in desk.lab("start", "--student", "Max", "--dir", lab, status=64)


def test_list(desk: Desk) -> None:
    assert "12.1               Mails von außen annehmen" in desk.lab("list", "--lang", "de")


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["check", "--dir", "/proc/nothing"], 70, "/proc/nothing: No such file"),
        (["start"], 64, "name an exercise"),
        (["start", "12.9"], 64, "no exercise is called 12.9"),
        (["start", "12.1", "--seed", "abc"], 64, "64 hexadecimal digits"),
        (["start", "12.1", "--student", "a\nb"], 64, "printable"),
        (["check"], 69, "no exercise runs"),
        (["seed", "--key", "/proc/nothing/key"], 70, "/proc/nothing/key: No such file"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(desk: Desk, arguments: list[str], status: int, said: str) -> None:
    told = desk.lab(*arguments, status=status)
    assert said in told
    assert told.count("\n") == 1


def test_the_class_key_is_the_teacher_s_alone(desk: Desk) -> None:
    key = desk.place / "class.key"
    lines = desk.lab("seed", "--key", str(key), "Erika", "Max").splitlines()
    assert key.stat().st_mode & 0o777 == 0o600
    assert [line.split()[1] for line in lines] == ["Erika", "Max"]
    assert lines == desk.lab("seed", "--key", str(key), "Erika", "Max").splitlines()
    assert lines[0].split()[0] == student_seed(bytes.fromhex(key.read_text()), "Erika").hex()
    key.write_text("short")
    assert "class.key" in desk.lab("seed", "--key", str(key), "Erika", status=70)
