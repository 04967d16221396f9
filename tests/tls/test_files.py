"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tls import files


@pytest.mark.parametrize("mode", [files.KEY_MODE, files.CERTIFICATE_MODE])
@pytest.mark.parametrize("mask", [0o000, 0o022, 0o777])
def test_the_mode_does_not_depend_on_the_umask(tree: Path, mode: int, mask: int) -> None:
    before = os.umask(mask)
    try:
        files.write_atomically(tree / "file", b"content", mode)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tree / "file").stat().st_mode) == mode
    assert [path.name for path in tree.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tree: Path) -> None:
    (tree / "directory").mkdir()
    (tree / "directory/old").write_text("old")
    with pytest.raises(OSError):
        files.write_atomically(tree / "directory", b"new", files.KEY_MODE)
    assert [path.name for path in tree.iterdir()] == ["directory"]
    assert (tree / "directory/old").read_text() == "old"


def test_a_link_is_replaced_and_not_followed(tree: Path) -> None:
    (tree / "target").write_text("target")
    (tree / "link").symlink_to(tree / "target")
    files.write_atomically(tree / "link", b"new", files.KEY_MODE)
    assert (tree / "target").read_text() == "target"
    assert not (tree / "link").is_symlink()


def test_an_existing_directory_is_closed_to_others(tree: Path) -> None:
    (tree / "open").mkdir(mode=0o755)
    files.make_private_directory(tree / "open")
    assert stat.S_IMODE((tree / "open").stat().st_mode) == 0o700
