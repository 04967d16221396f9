"""The files of an exercise: changed as the edits say, put back without losing anything; and what a check makes of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.behaviours.base import ProbeFailed
from lab.errors import LabError, NotRunning, PlanError, UsageError
from lab.exercises import Edit, Seen, Step, Text, find
from lab.exercises.base import failed
from lab.exercises.engine import Result, look
from lab.exercises.room import Room
from lab.exercises.show import outcome
from lab.exercises.work import Work
from lab.wire import Transcript, WireClosed

SEED = bytes(32)


@pytest.fixture
def work(place: Path) -> Work:
    return Work.create(find("12.1"), place / "lab", "Erika", SEED)


def test_main_cf_is_edited_in_place(work: Work) -> None:
    path = work.directory / "mailhost" / "main.cf"
    before = path.read_text()
    work.apply([Edit("mailhost/main.cf", "inet_interfaces = all\nmydestination = @{domain}")])
    changed = [
        (old, new) for old, new in zip(before.splitlines(), path.read_text().splitlines(), strict=True) if old != new
    ]
    assert changed == [
        ("inet_interfaces = loopback-only", "inet_interfaces = all"),
        ("mydestination = $myhostname, localhost", f"mydestination = {work.notes.names['domain']}"),
    ]


def test_other_files_are_appended_to_or_have_a_passage_replaced(work: Work) -> None:
    path = work.directory / "mailhost" / "dovecot.conf"
    work.apply([Edit("mailhost/dovecot.conf", "protocols = imap lmtp", "protocols = lmtp")])
    assert "\nprotocols = imap lmtp\n" in path.read_text()
    work.apply([Edit("mailhost/dovecot.conf", "ssl = no")])
    assert path.read_text().endswith("\nssl = no\n")
    with pytest.raises(LabError, match="does not hold 'protocols = pop3'"):
        work.apply([Edit("mailhost/dovecot.conf", "", "protocols = pop3")])
    work.apply([Edit("elsewhere/table", "@{user}    x")])
    assert (work.directory / "elsewhere" / "table").read_text() == f"{work.notes.names['user']}    x\n"


def test_reset_loses_nothing(work: Work) -> None:
    confdir = work.directory / "mailhost"
    before = {path.relative_to(confdir): path.read_bytes() for path in confdir.rglob("*") if path.is_file()}
    owners = {path: (path.stat().st_uid, path.stat().st_mode) for path in confdir.rglob("*")}
    (confdir / "main.cf").write_text("mine")
    (confdir / "notes").write_text("my notes")
    (confdir / "master.cf").unlink()
    first, second = work.reset(), work.reset()
    assert first != second
    assert (first / "mailhost" / "main.cf").read_text() == "mine"
    assert (first / "mailhost" / "notes").read_text() == "my notes"
    after = {path.relative_to(confdir): path.read_bytes() for path in confdir.rglob("*") if path.is_file()}
    assert after == before
    assert {path: (path.stat().st_uid, path.stat().st_mode) for path in confdir.rglob("*")} == owners


def test_without_a_name_nobody_can_guess_the_passwords(place: Path) -> None:
    one, other = (Work.create(find("12.1"), place / name) for name in ("one", "other"))
    assert one.notes.seed != other.notes.seed
    assert one.room().user("user").password != other.room().user("user").password


def test_secrets_are_the_owner_s_alone(work: Work) -> None:
    for name in ("exercise.json", "credentials.json", "mailhost/users"):
        assert (work.directory / name).stat().st_mode & 0o077 == 0, name
    assert (work.directory / ".start").stat().st_mode & 0o077 == 0


def test_errors_of_the_files_are_told_before_anything_starts(work: Work) -> None:
    main = work.directory / "mailhost" / "main.cf"
    main.write_text(main.read_text() + "smtpd_recipient_restrictions = reject_everything_bad\n")
    with pytest.raises(PlanError, match=r"mailhost/main.cf, line [0-9]+: .*reject_everything_bad"):
        work.up()
    assert work.running() is None


def test_what_does_not_run_cannot_be_reloaded(work: Work, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place))
    with pytest.raises(NotRunning, match="does not run"):
        work.reload()
    work.stop()


def test_edited_files_are_named(work: Work) -> None:
    main = work.directory / "mailhost" / "main.cf"
    work.notes.edited = main.stat().st_mtime + 1
    assert work.edited_since_reload() == []
    os.utime(main, (work.notes.edited + 1,) * 2)
    assert work.edited_since_reload() == ["mailhost/main.cf"]


@pytest.mark.parametrize("text", ["", "[]", '{"slug": "12.9"}', "{}"])
def test_a_directory_without_an_exercise(work: Work, text: str) -> None:
    (work.directory / "exercise.json").write_text(text)
    with pytest.raises(UsageError, match="holds no exercise"):
        Work.open(work.directory)


def step(see: Callable[[], Seen]) -> Step:
    async def looked(room: Room, wire: Transcript) -> Seen:
        wire.note("here")
        return see()

    return Step(Text("a step", "ein Schritt"), "T mydestination", Text("this", "das"), looked)


@pytest.mark.parametrize("error", [ProbeFailed("no mail"), WireClosed("closed"), OSError("no network")])
async def test_whatever_goes_wrong_is_what_was_seen(work: Work, error: Exception) -> None:
    def raising() -> Seen:
        raise error

    result = await look(step(raising), work.room())
    assert not result.seen.passed
    assert result.seen.saw == str(error)
    assert [str(line) for line in result.lines] == ["*: here"]


async def test_a_mistake_is_told_once_and_in_the_language(work: Work) -> None:
    results: list[Result] = [
        await look(step(lambda: failed("554", "not-my-destination")), work.room()) for _ in range(2)
    ]
    told = " ".join(" ".join(outcome(work, results, "de", verbose=True)).split())
    message = work.exercise.mistake("not-my-destination").message.of("de", work.room().facts)
    assert told.count(message) == 1
    assert told.count("gesehen: 554") == 2
    assert "lies: Mailserver Teil 2, Folie mydestination" in told
    assert "0 von 2 Schritten bestanden." in told
