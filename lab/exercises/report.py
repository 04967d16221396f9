"""The report that a student hands in: every check with its steps and wire lines, signed with the student's seed.

The first line of the file is a comment that says whose it is, the last one a comment with the signature of all octets
before it: HMAC-SHA-256 with a key that follows from the seed. Whoever has the seed can sign; the report proves which
student's seed it was made with and that nobody else has changed it, not that the student worked alone.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from lab.errors import LabError, UsageError
from lab.exercises import seed as seeds
from lab.exercises import words
from lab.exercises.catalogue import SLUGS
from lab.exercises.show import source
from lab.exercises.texts import Text
from lab.exercises.work import Work

HEAD = re.compile(rb"<!-- hardmail-report (\{[^\n]{1,2000}\}) -->\n")
SIGNATURE = re.compile(rb"<!-- hardmail-signature hmac-sha256 ([0-9a-f]{64}) -->\s*\Z")
REPORT_OCTETS = 20 << 20

STYLE = """\
body { font: 16px/1.5 sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; }
table { border-collapse: collapse; width: 100%; }
td, th { border: 1px solid #999; padding: .3em .6em; text-align: left; }
pre { background: #f4f4f4; padding: .6em; overflow-x: auto; } .failed { color: #a00; } .passed { color: #060; }"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a report is what it says."""

    genuine: bool
    text: Text


def write(work: Work, directory: Path, language: str) -> list[Path]:
    """Write report.md and report.html. Raises UsageError if nothing was checked yet, LabError."""
    if not work.recorded():
        raise UsageError(words.NO_CHECK_YET.of(language))
    written = []
    for name, made in (("report.md", markdown), ("report.html", html)):
        body = _head(work) + "".join(f"{line}\n" for line in made(work, language))
        data = _redacted(work, body).encode()
        path = directory / name
        data += f"<!-- hardmail-signature hmac-sha256 {_sign(_seed(work), data)} -->\n".encode()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        except OSError as error:
            raise LabError(f"{error.filename}: {error.strerror}") from None
        written.append(path)
    return written


def verify(path: Path, key: bytes) -> Verdict:
    """Whether the report comes from the student it names, of the class with this key. Raises LabError."""
    try:
        with path.open("rb") as file:
            data = file.read(REPORT_OCTETS + 1)
    except OSError as error:
        raise LabError(f"{path}: {error.strerror}") from None
    head, signature = HEAD.match(data), SIGNATURE.search(data)
    if len(data) > REPORT_OCTETS or head is None or signature is None:
        raise LabError(f"{path} is no report of hardmail lab")
    said = _claims(head.group(1))
    if said is None:
        raise LabError(f"{path} is no report of hardmail lab")
    seed = seeds.student_seed(key, said["student"])
    genuine = hmac.compare_digest(_sign(seed, data[: signature.start()]), signature.group(1).decode())
    genuine = genuine and said["domain"] == seeds.names(seed, said["exercise"])["domain"]
    facts = {"file": path, "slug": said["exercise"], **said}
    return Verdict(genuine, (words.GENUINE if genuine else words.FORGED).given(**facts))


def _claims(text: bytes) -> dict[str, Any] | None:
    try:
        said = json.loads(text)
    except ValueError:
        return None
    wanted: dict[str, type] = {"student": str, "exercise": str, "domain": str, "passed": int, "steps": int}
    if not isinstance(said, dict) or any(type(said.get(name)) is not kind for name, kind in wanted.items()):
        return None
    return said if said["exercise"] in SLUGS and said["student"].isprintable() else None


def _sign(seed: bytes, data: bytes) -> str:
    return hmac.digest(seeds.derived(seed, "report"), data, hashlib.sha256).hex()


def _seed(work: Work) -> bytes:
    return bytes.fromhex(work.notes.seed)


def _head(work: Work) -> str:
    last = work.recorded()[-1]["steps"]
    said = {
        "student": work.notes.student,
        "exercise": work.exercise.slug,
        "domain": work.notes.names["domain"],
        "passed": sum(step["passed"] for step in last),
        "steps": len(last),
    }
    # No `>`: the comment ends where we end it.
    return f"<!-- hardmail-report {json.dumps(said).replace('>', chr(92) + 'u003e')} -->\n"


def _redacted(work: Work, text: str) -> str:
    """No password of the class stands in a report, wherever it may have come from."""
    for user in work.room().users():
        text = text.replace(user.password, "<password>")
    return text


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))


@dataclass(frozen=True, slots=True)
class _Row:
    """One step of one check, in one language."""

    number: int
    title: str
    passed: bool
    saw: str
    source: str
    wire: list[str]


@dataclass(frozen=True, slots=True)
class _Check:
    """One check, in one language."""

    heading: str
    hints: str
    rows: list[_Row]


def _checks(work: Work, language: str) -> Iterator[_Check]:
    facts = work.room().facts
    for number, entry in enumerate(work.recorded(), 1):
        rows = []
        for place, (step, result) in enumerate(zip(work.exercise.steps, entry["steps"], strict=True), 1):
            saw = result["saw"]
            text = saw if isinstance(saw, str) else saw[language]
            title = step.title.of(language, facts)
            rows.append(_Row(place, title, result["passed"], text, source(step.source, language), result["wire"]))
        help_had = words.HINTS_SEEN.of(language, {"hints": entry["hints"]})
        if entry["solved"]:
            help_had += "; " + words.SOLUTION_SEEN.of(language)
        yield _Check(words.CHECKED.of(language, {"number": number, "time": _when(entry["time"])}), help_had, rows)


def _facts(work: Work, language: str) -> list[tuple[str, str]]:
    return [
        (words.STUDENT.of(language), work.notes.student or "–"),
        (words.STARTED.of(language), _when(work.notes.started)),
        ("Domain", work.notes.names["domain"]),
        (words.SOURCE.of(language), source(work.exercise.source, language)),
    ]


def _title(work: Work, language: str) -> str:
    return words.REPORT.of(language, {"slug": work.exercise.slug, "title": work.exercise.title.of(language)})


def _verdict(passed: bool, language: str) -> str:
    return (words.PASSED if passed else words.FAILED).of(language)


def markdown(work: Work, language: str) -> Iterator[str]:
    """The report as Markdown. Text from the wire stands in code: it is no markup."""
    yield f"# {_title(work, language)}\n"
    for name, value in _facts(work, language):
        yield f"- {name}: {_code(value)}"
    for check in _checks(work, language):
        yield f"\n## {check.heading}\n\n{check.hints}\n"
        yield f"| {words.STEP.of(language)} | {words.RESULT.of(language)} | {words.SAW.of(language)} |\n|---|---|---|"
        for row in check.rows:
            saw = _code(row.saw).replace("|", "\\|")
            yield f"| {row.number}. {row.title} | {_verdict(row.passed, language)} | {saw} |"
        yield f"\n### {words.WIRE.of(language)}"
        for row in check.rows:
            yield f"\n{row.number}. {row.title} ({row.source})\n"
            yield from (f"    {line}" for line in row.wire)


def _code(text: str) -> str:
    """A code span around any text (CommonMark 6.1): more backticks than stand in it."""
    text = " ".join(text.split()) or " "
    ticks = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{ticks} {text} {ticks}" if "`" in text else f"`{text}`"


def html(work: Work, language: str) -> Iterator[str]:
    """The report as one HTML page without script; every text is escaped."""
    e: Callable[[str], str] = escape
    title = e(_title(work, language))
    yield f'<!doctype html>\n<html lang="{language}">\n<head>\n<meta charset="utf-8">'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n<ul>"
    for name, value in _facts(work, language):
        yield f"<li>{e(name)}: {e(value)}</li>"
    yield "</ul>"
    for check in _checks(work, language):
        yield f"<h2>{e(check.heading)}</h2>\n<p>{e(check.hints)}</p>\n<table>"
        heads = (words.STEP, words.RESULT, words.SAW, words.SOURCE)
        yield "<tr>" + "".join(f"<th>{e(head.of(language))}</th>" for head in heads) + "</tr>"
        for row in check.rows:
            kind, cells = "passed" if row.passed else "failed", (row.saw, row.source)
            yield f'<tr><td>{row.number}. {e(row.title)}</td><td class="{kind}">{_verdict(row.passed, language)}</td>'
            yield "".join(f"<td>{e(cell)}</td>" for cell in cells) + "</tr>"
        yield "</table>"
        for row in check.rows:
            yield f"<details>\n<summary>{e(words.WIRE.of(language))}: {row.number}. {e(row.title)}</summary>"
            yield "<pre>" + e("\n".join(row.wire)) + "</pre>\n</details>"
    yield "</body>\n</html>"
