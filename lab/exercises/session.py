"""Starting an exercise: where it lies, whose it is, and what to do if it is there already."""

from __future__ import annotations

import re
from pathlib import Path

from lab.errors import UsageError
from lab.exercises.catalogue import SLUGS, find
from lab.exercises.work import NOTES_FILE, Work
from lab.sandbox.identity import privileged

SEED = re.compile(r"[0-9a-f]{64}")
# The services of an exercise that root starts are not root: they must be able to walk to their files.
ROOTS_PLACE = Path("/var/lib/hardmail-lab")
STUDENT_LENGTH = 100


def default_place(slug: str) -> Path:
    """Where an exercise lies unless --dir says otherwise."""
    return (ROOTS_PLACE if privileged() else Path.home() / "hardmail-lab") / slug


def begin(slug: str | None, directory: Path | None, student: str = "", seed: str | None = None) -> Work:
    """Lay out and start an exercise, or start again what lies in the directory. Raises LabError."""
    if slug is not None and slug not in SLUGS:
        raise UsageError(f"no exercise is called {slug}; there are: {', '.join(SLUGS)}")
    if slug is None and directory is None:
        raise UsageError("name an exercise (`hardmail lab list` shows them), or a --dir that holds one")
    if seed is not None and not SEED.fullmatch(seed):
        raise UsageError("--seed wants the 64 hexadecimal digits that `hardmail lab seed` prints")
    if len(student) > STUDENT_LENGTH or not student.isprintable():
        raise UsageError(f"--student wants a name of at most {STUDENT_LENGTH} printable characters")
    place = directory or default_place(slug or "")
    if (place / NOTES_FILE).exists():
        work = Work.open(place)
        if slug not in (None, work.exercise.slug):
            raise UsageError(f"{place} holds exercise {work.exercise.slug}; choose another --dir")
        if student not in ("", work.notes.student) or seed not in (None, work.notes.seed):
            raise UsageError(f"{place} holds the work of {work.notes.student or 'somebody'}; choose another --dir")
    elif slug is None:
        raise UsageError(f"{place} holds no exercise; name one: hardmail lab start 12.1 --dir {place}")
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Work.create(find(slug), place, student, bytes.fromhex(seed) if seed else None)
    if work.running() is None:
        work.up()
    return work
