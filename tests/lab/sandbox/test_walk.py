"""Places that another user prepared: his links are refused, those of root and of the user himself are followed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.sandbox.identity import make_directory
from lab.sandbox.walk import make_directories, open_directory, open_file
from lab.supervisor.instance import InstanceLock
from lab.supervisor.logs import open_log

NOBODY = 65534


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A link of another user to a directory called `target`."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a link of another user")
    (tmp_path / "target").mkdir()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    os.lchown(link, NOBODY, NOBODY)
    return link


def test_own_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "target" / "deep").mkdir(parents=True)
    (tmp_path / "relative").symlink_to("target/../target")
    (tmp_path / "absolute").symlink_to(tmp_path / "relative")
    directory = open_directory(tmp_path / "absolute" / "deep")
    there = (tmp_path / "target" / "deep").stat()
    assert (os.fstat(directory).st_dev, os.fstat(directory).st_ino) == (there.st_dev, there.st_ino)
    os.close(directory)


def test_circle_and_file_in_the_way_are_errors(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "file").touch()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no Path objects wanted
    for name in ("circle", "file/below", "missing"):
        with pytest.raises(OSError, match=str(tmp_path)):
            open_directory(tmp_path / name)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208 - as above


def test_links_of_another_user_are_refused(foreign: Path) -> None:
    with pytest.raises(OSError, match="link of another user"):
        make_directories(foreign / "new")
    with pytest.raises(OSError, match="link of another user"):
        make_directory(foreign / "new", 0o755)
    with pytest.raises(OSError, match="link of another user"):
        make_directory(foreign, 0o755)
    with pytest.raises(OSError, match="link of another user"):
        open_log(foreign / "mail.log")
    with pytest.raises(LabError, match="link of another user"):
        InstanceLock(foreign / "master.pid").acquire()
    assert list((foreign.parent / "target").iterdir()) == []


def test_file_with_a_second_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("data")
    (tmp_path / "master.pid").hardlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="another name"):
        open_file(tmp_path / "master.pid", os.O_RDWR)
    with pytest.raises(LabError, match="another name"):
        InstanceLock(tmp_path / "master.pid").acquire()
    assert (tmp_path / "precious").read_text() == "data"
