"""No path and no link leads out of the mail root, with openat2 and without it."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imap.store import JailEscape
from imap.store.jail import Directory, component_wise


@pytest.fixture(params=["openat2", "component-wise"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Directory]:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root" / "a" / "b").mkdir(parents=True)
    (tmp_path / "root" / "a" / "b" / "file").write_bytes(b"inside")
    with contextlib.ExitStack() as stack:
        if request.param == "component-wise":
            stack.enter_context(component_wise())
        yield stack.enter_context(Directory.root(tmp_path / "root"))


def test_opens_beneath(root: Directory) -> None:
    with root.directory("a/b") as directory:
        assert directory.read("file") == b"inside"


@pytest.mark.parametrize(
    "path", ["..", "../secret", "a/../..", "a/b/../../..", "/etc", "/", "", ".", "a//b", "a/./b", "a/b\0c", "a/" * 70]
)
def test_refuses_paths_that_climb(root: Directory, path: str) -> None:
    with pytest.raises(JailEscape):
        root.directory(path)


@pytest.mark.parametrize("target", ["/etc", "..", "../..", "../../root/a", "/proc/self/cwd", "a/b"])
def test_refuses_links_to_directories(root: Directory, tmp_path: Path, target: str) -> None:
    (tmp_path / "root" / "link").symlink_to(target)
    (tmp_path / "root" / "a" / "link").symlink_to(target)
    for path in ("link", "link/b", "a/link", "a/link/b"):
        with pytest.raises(JailEscape):
            root.directory(path)
        with pytest.raises(JailEscape):
            root.make_directories(path)


def test_refuses_magic_links(tmp_path: Path) -> None:
    outside = os.open(tmp_path, os.O_RDONLY)
    try:
        with Directory.root("/proc/self") as process, pytest.raises(JailEscape):
            process.directory(f"fd/{outside}")
    finally:
        os.close(outside)


def test_refuses_a_link_to_a_file(root: Directory, tmp_path: Path) -> None:
    (tmp_path / "root" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(JailEscape):
        root.read("link")
    with pytest.raises(JailEscape):
        root.write("link", b"overwritten", flags=os.O_CREAT)
    root.link("link", root, "second")
    assert (tmp_path / "root" / "second").is_symlink()
    assert (tmp_path / "secret").read_bytes() == b"secret"


def test_remove_tree_does_not_follow_links(root: Directory, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "kept").touch()
    (tmp_path / "root" / "a" / "link").symlink_to(tmp_path / "outside")
    root.remove_tree("a")
    assert (tmp_path / "outside" / "kept").exists()
    assert not (tmp_path / "root" / "a").exists()


def test_a_fifo_does_not_block(root: Directory, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "root" / "fifo")
    with pytest.raises(OSError, match="not a regular file"):
        root.read("fifo")


def test_control_files_are_bounded(root: Directory, tmp_path: Path) -> None:
    with (tmp_path / "root" / "big").open("wb") as file:
        file.truncate(2000)
    with pytest.raises(OSError, match="too large"):
        root.read("big", limit=1000)


def test_makes_directories_for_the_owner_only(root: Directory, tmp_path: Path) -> None:
    root.make_directories("x/y/z").close()
    assert (tmp_path / "root" / "x" / "y" / "z").stat().st_mode & 0o777 == 0o700


_parts = st.sampled_from(["..", ".", "", "a", "b", "link", "/", "\0", "etc", "passwd", "root"])


@given(st.lists(_parts, max_size=8).map("/".join))
def test_nothing_but_the_typed_error_or_a_file_inside(tmp_path_factory: pytest.TempPathFactory, path: str) -> None:
    base = tmp_path_factory.mktemp("jail")
    (base / "root" / "a" / "b").mkdir(parents=True)
    (base / "root" / "link").symlink_to("/")
    with Directory.root(base / "root") as directory:
        try:
            found = directory.directory(path)
        except (JailEscape, OSError):
            return
        with found:
            real = Path(f"/proc/self/fd/{found.fd}").readlink()
        assert real.is_relative_to(base / "root")
