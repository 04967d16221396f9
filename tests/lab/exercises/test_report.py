"""The report: no secret and no markup of others gets in, and no change goes unseen."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lab.errors import LabError, UsageError
from lab.exercises import find, report
from lab.exercises.seed import student_seed
from lab.exercises.work import Work

KEY = b"k" * 32
NASTY = "<script>alert(1)</script> --> | `x` ``y`` \n# head {brace}"


@pytest.fixture
def work(place: Path) -> Work:
    """Work that was checked once, without hosts; the wire said nasty things."""
    made = Work.create(find("12.1"), place / "lab", "Erika --> <b>", student_seed(KEY, "Erika --> <b>"))
    password = made.room().user("user").password
    wire = [f"C: AUTH PLAIN {password}", f"S: 250 {NASTY}"]
    step = {"passed": True, "saw": NASTY, "mistake": None, "seconds": 0.1, "wire": wire}
    made.record({"time": 0.0, "hints": 1, "solved": False, "steps": [step] * len(made.exercise.steps)})
    return made


class Tags(HTMLParser):
    """Collects the elements of a page, and whether a comment came from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


@pytest.mark.parametrize("language", ["en", "de"])
def test_reports_are_genuine_and_without_secrets(work: Work, place: Path, language: str) -> None:
    for path in report.write(work, place / "out", language):
        text = path.read_text()
        assert report.verify(path, KEY).genuine
        assert not report.verify(path, b"").genuine
        assert not report.verify(path, b"l" * 32).genuine
        assert all(user.password not in text for user in work.room().users())
        assert "AUTH PLAIN <password>" in text.replace("&lt;", "<").replace("&gt;", ">")


def test_text_from_the_wire_is_no_markup(work: Work, place: Path) -> None:
    _, page = report.write(work, place / "out", "de")
    tags = Tags()
    tags.feed(page.read_text())
    assert "script" not in tags.tags
    assert "b" not in tags.tags
    assert len(tags.comments) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
@given(where=st.integers(min_value=0), octet=st.integers(min_value=0, max_value=255))
def test_no_change_goes_unseen(work: Work, place: Path, where: int, octet: int) -> None:
    path, _ = report.write(work, place / "out", "en")
    data = bytearray(path.read_bytes().rstrip(b"\n"))
    where %= len(data)
    changed = data[where] != octet
    data[where] = octet
    path.write_bytes(data)
    try:
        genuine = report.verify(path, KEY).genuine
    except LabError:
        genuine = False
    assert genuine is not changed


def test_without_a_check_there_is_no_report(place: Path) -> None:
    with pytest.raises(UsageError):
        report.write(Work.create(find("12.1"), place / "lab"), place, "en")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# a file of another kind\n",
        "<!-- hardmail-report {} -->\n<!-- hardmail-signature hmac-sha256 " + "0" * 64 + " -->\n",
        "<!-- hardmail-report [1] -->\n<!-- hardmail-signature hmac-sha256 " + "0" * 64 + " -->\n",
    ],
)
def test_no_report(place: Path, text: str) -> None:
    (place / "report.md").write_text(text)
    with pytest.raises(LabError, match="is no report"):
        report.verify(place / "report.md", KEY)
