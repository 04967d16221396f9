"""Editing main.cf and master.cf in place."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.config.edit import Edit, EditError, edit_main, edit_master, parse_entry
from mta.config.maincf import read_settings

Confdir = Callable[..., Path]
MAIN = "# head\na = 1\n  more\n# about b\nb = 2\n\na = 3\n# tail\n"


def ignore(_warning: str) -> None:
    """Warnings are tested beside the real postconf."""


@pytest.mark.parametrize(
    ("edit", "arguments", "expected"),
    [
        (Edit.SET, ["b = x"], "# head\na = 1\n  more\n# about b\nb = x\n\na = 3\n# tail\n"),
        (Edit.SET, ["a=9"], "# head\na = 9\n# about b\nb = 2\n\na = 9\n# tail\n"),
        (Edit.SET, ["new = y z"], MAIN + "new = y z\n"),
        (Edit.COMMENT, ["a"], "# head\n#a = 1\n#  more\n# about b\nb = 2\n\n#a = 3\n# tail\n"),
        (Edit.REMOVE, ["a", "none"], "# head\n# about b\nb = 2\n\n# tail\n"),
    ],
)
def test_main_cf(edit: Edit, arguments: list[str], expected: str, confdir: Confdir) -> None:
    path = confdir(MAIN) / "main.cf"
    edit_main(path, edit, arguments, ignore)
    assert path.read_text() == expected


def test_doubled_names_are_warned_about(confdir: Confdir) -> None:
    warnings = list[str]()
    path = confdir(MAIN) / "main.cf"
    edit_main(path, Edit.SET, ["a = 5", "b = 1", "b = 2"], warnings.append)
    assert warnings == ["ignoring earlier request: 'b = 1'", f'{path}: multiple entries for "a"']
    assert read_settings(path)[0]["b"].value == "2"


def test_comments_inside_a_master_cf_entry_survive(confdir: Confdir) -> None:
    path = confdir("", "smtp inet n - n - - smtpd\n  # why\n  -o a=b\nqmgr unix n - n 300 1 qmgr\n") / "master.cf"
    edit_master(path, Edit.SET, "parameter", ["smtp/inet/c=d"], ignore)
    assert path.read_text() == (
        "smtp       inet  n       -       n       -       -       smtpd\n    -o a=b\n    -o c=d\n  # why\n"
        "qmgr unix n - n 300 1 qmgr\n"
    )


@pytest.mark.parametrize("request_", ["smtp=x", "smtp/inet", "a/b/c/d=e", "//=x"])
def test_unclear_requests_change_nothing(request_: str, confdir: Confdir) -> None:
    path = confdir("", "smtp inet n - n - - smtpd\n") / "master.cf"
    with pytest.raises(EditError):
        edit_master(path, Edit.SET, "entry", [request_], ignore)
    assert path.read_text() == "smtp inet n - n - - smtpd\n"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(st.text(alphabet="ab=# \n{}-o/", max_size=60), st.text(alphabet="ab=/*{}o- #", max_size=20))
def test_any_file_and_request_ends_in_an_edit_or_the_typed_error(tmp_path: Path, text: str, request_: str) -> None:
    path = tmp_path / "file.cf"
    for edit in Edit:
        path.write_text(text)
        for what in ("main", "entry", "field", "parameter"):
            try:
                if what == "main":
                    edit_main(path, edit, [request_], ignore)
                else:
                    edit_master(path, edit, what, [request_], ignore)
            except EditError:
                assert not path.with_name("file.cf.tmp").exists()
    with suppress(EditError):
        assert len(parse_entry(text)) >= 8
