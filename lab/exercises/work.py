"""A student's working directory: the files of one exercise, what was tried so far, and the running class behind it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lab import check, profiles
from lab.errors import LabError, NotRunning, PlanError, UsageError
from lab.exercises import seed as seeds
from lab.exercises.base import Edit, Exercise
from lab.exercises.catalogue import find
from lab.exercises.room import Room
from lab.sandbox.identity import privileged
from lab.supervisor import state
from mta.config.edit import Edit as How
from mta.config.edit import edit_main

CLASSROOM = Path(__file__).parent / "classroom"
NOTES_FILE, CHECKS_FILE, START = "exercise.json", "checks.jsonl", ".start"
# What a reload says when the port is held, as always if `all` takes the place of one address, by our own processes.
OWN_PORT = "the port is taken by process"
RELOAD_SECONDS, LOOK_AGAIN_SECONDS = 30.0, 0.05


@dataclass
class Notes:
    """What is remembered about a student's work on one exercise."""

    slug: str
    student: str
    seed: str
    started: float
    names: dict[str, str]
    values: dict[str, str]
    hints: int = 0
    solved: bool = False
    """Whether the sample solution was shown."""
    edited: float = field(default=0.0)
    """When the files were last taken over (seconds since the epoch)."""


class Work:
    """One student's work on one exercise. The files are the student's; the sockets are real."""

    def __init__(self, directory: Path, notes: Notes) -> None:
        self.directory = directory
        self.notes = notes
        self.exercise: Exercise = find(notes.slug)

    # Where it is

    @classmethod
    def create(cls, exercise: Exercise, directory: Path, student: str = "", seed: bytes | None = None) -> Work:
        """Lay the files of the starting state. Raises LabError if there is something already.

        Without a seed, that of the student's name; without a name, a random one: nobody can guess the passwords then.
        """
        directory = directory.absolute()
        if seed is None:
            seed = seeds.student_seed(b"", student) if student else secrets.token_bytes(seeds.SEED_OCTETS)
        names = seeds.names(seed, exercise.slug)
        made = profiles.render(
            CLASSROOM, directory, names=names, password=lambda user: seeds.password(seed, exercise.slug, user)
        )
        for reserved in made.reserved.values():
            for _, sock in reserved:
                sock.close()
        names |= {name: made.values[name] for name in ("postfix_user", "postfix_group")}
        notes = Notes(exercise.slug, student, seed.hex(), time.time(), names, made.values)
        work = cls(directory, notes)
        work.apply(exercise.start)
        for instance in made.instances:
            copy_tree(directory / instance, directory / START / instance)
        (directory / START).chmod(0o700)
        work.remember()
        return work

    @classmethod
    def open(cls, directory: Path | None) -> Work:
        """The work in this directory, else the exercise that was started last. Raises LabError."""
        if directory is None:
            running = (Path(entry.directory) for entry in state.running() if entry.directory)
            directory = next((place for place in running if (place / NOTES_FILE).exists()), None)
            if directory is None:
                raise NotRunning("no exercise runs; start one with: hardmail lab start 12.1")
        profiles.check_owned(directory.absolute())
        try:
            return cls(directory.absolute(), Notes(**json.loads((directory / NOTES_FILE).read_text())))
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UsageError(f"{directory} holds no exercise ({error}); start one with: hardmail lab start") from None

    def remember(self) -> None:
        """Write the notes down."""
        _write(self.directory / NOTES_FILE, json.dumps(asdict(self.notes), indent=1) + "\n")

    def confdirs(self) -> list[Path]:
        """The configuration directories of the hosts that run."""
        return [self.directory / instance for instance in self.exercise.instances]

    def room(self) -> Room:
        """The running class, for the steps of a check."""
        return Room(profiles.open_lab(self.directory).described(), self.notes.names)

    # What was found so far

    def record(self, entry: Mapping[str, Any]) -> None:
        """Keep the outcome of a check for the report."""
        descriptor = os.open(
            self.directory / CHECKS_FILE, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600
        )
        with open(descriptor, "a", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(json.dumps(entry) + "\n")

    def recorded(self) -> list[dict[str, Any]]:
        """The outcomes of all checks, the oldest first."""
        try:
            return [json.loads(line) for line in (self.directory / CHECKS_FILE).read_text().splitlines()]
        except FileNotFoundError:
            return []

    # The files

    def apply(self, edits: Iterable[Edit]) -> None:
        """Change the files as the edits say."""
        for edit in edits:
            path = self.directory / edit.file
            text = self.expanded(edit.text, edit.file.partition("/")[0])
            if path.name == "main.cf":
                edit_main(path, How.SET, text.splitlines(), lambda _: None)
                continue
            if not path.exists():
                path.parent.mkdir(mode=0o755, exist_ok=True)
                path.touch(mode=0o644)
            present = path.read_text()
            instead = self.expanded(edit.instead, edit.file.partition("/")[0])
            if instead not in present:
                raise LabError(f"{edit.file} does not hold {instead!r}")
            path.write_text(present.replace(instead, text) if instead else f"{present}{text}\n")

    def expanded(self, text: str, instance: str) -> str:
        """The text with ports, paths and names in place of @{...}."""
        values = self.notes.values
        return profiles.PLACEHOLDER.sub(lambda m: values.get(m[1]) or values[f"{instance}.{m[1]}"], text)

    def reset(self) -> Path:
        """Put the files of the starting state in place; what stood there is kept in the directory returned."""
        kept = self.directory / time.strftime("before-reset-%Y%m%d-%H%M%S")
        for number in range(1, 100):
            if not kept.exists():
                break
            kept = kept.with_name(f"{kept.name.partition('.')[0]}.{number}")
        for instance in self.exercise.instances:
            copy_tree(self.directory / instance, kept / instance)
            shutil.rmtree(self.directory / instance)
            copy_tree(self.directory / START / instance, self.directory / instance)
        return kept

    def edited_since_reload(self) -> list[str]:
        """Files of the student's host that were written after they were last taken over."""
        found = (path for path in (self.directory / self.exercise.own).rglob("*") if path.is_file())
        return [str(p.relative_to(self.directory)) for p in found if p.stat().st_mtime > self.notes.edited]

    # The processes

    def running(self) -> state.State | None:
        """The supervisor of this class, if it runs."""
        try:
            return state.find(self.directory)
        except NotRunning:
            return None

    def up(self) -> None:
        """Start the hosts of the exercise behind the terminal. Raises LabError with what is wrong."""
        self._note_taken()
        self._refuse_errors()
        argv = [sys.executable, "-m", "lab", "up", "--detach", "--dir", str(self.directory)]
        for instance in self.exercise.instances:
            argv += ["--instance", instance]
        ended = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if ended.returncode:
            raise LabError(*(line.removeprefix("hardmail: ") for line in ended.stderr.splitlines() if line))

    def reload(self) -> list[str]:
        """Take the edited files over; return warnings. Raises LabError with file and line; the old state then stays."""
        entry = self.running()
        if entry is None:
            raise NotRunning(f"the exercise does not run; start it with: hardmail lab start --dir {self.directory}")
        warnings = self._refuse_errors()
        self._note_taken()
        log = self.directory / "log" / "hardmail.log"
        with log.open(encoding="utf-8", errors="replace") as lines:
            lines.seek(0, os.SEEK_END)
            state.tell(entry, signal.SIGHUP)
            said = _reloaded(lines.read, entry)
        if any(OWN_PORT in line for line in said):
            # Another address for the same port: as with Postfix, inet_interfaces wants stop and start (postconf(5)).
            self.stop()
            self.up()
        elif said:
            raise PlanError([*map(self._short, said), "the configuration in use stays"])
        return warnings

    def take_over(self) -> list[str]:
        """Reload, or start what does not run; return warnings."""
        if self.running() is not None:
            return self.reload()
        self.up()
        return []

    def stop(self) -> None:
        """End the hosts; the files stay."""
        if (entry := self.running()) is not None:
            state.stop(entry)

    def _note_taken(self) -> None:
        self.notes.edited = time.time()
        self.remember()

    def _refuse_errors(self) -> list[str]:
        """The warnings of `hardmail check`. Raises PlanError with all errors."""
        findings = check.check(self.confdirs())
        errors = [finding.text for finding in findings if finding.severity == "error"]
        if errors:
            raise PlanError([self._short(text) for text in errors])
        return [self._short(finding.text) for finding in findings if finding.severity == "warning"]

    def _short(self, text: str) -> str:
        return text.replace(f"{self.directory}/", "")


def _reloaded(read: Any, entry: state.State) -> Sequence[str]:
    """Wait for the end of a reload; the reasons if it was given up."""
    said = ""
    deadline = time.monotonic() + RELOAD_SECONDS
    while time.monotonic() < deadline and entry.alive:
        said += read()
        if "the configuration in use stays" in said:
            lines = [line.partition("reload: ")[2] for line in said.splitlines() if "reload: " in line]
            return lines[:-1]
        if "reload: generation" in said:
            return []
        time.sleep(LOOK_AGAIN_SECONDS)
    return ["the reload does not end; the log may tell more"]


def copy_tree(source: Path, target: Path) -> None:
    """Copy the files of a directory with their modes and owners."""
    target.mkdir(parents=True, exist_ok=True)
    shutil.copystat(source, target)
    for path in sorted(source.rglob("*")):
        if path.is_symlink() or not (path.is_dir() or path.is_file()):
            continue
        goal = target / path.relative_to(source)
        if path.is_dir():
            goal.mkdir(exist_ok=True)
        else:
            shutil.copyfile(path, goal)
        shutil.copystat(path, goal)
        if privileged():
            os.chown(goal, path.stat().st_uid, path.stat().st_gid)


def _write(path: Path, text: str) -> None:
    """Put a file of the owner's alone in place, whole or not at all."""
    temporary = path.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
        file.write(text)
    temporary.replace(path)
