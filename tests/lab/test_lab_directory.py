"""The directory of a lab: nobody else may have prepared it, and no link leads out of it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lab import profiles
from lab.errors import LabError
from lab.profiles import Lab

ROOT = Path(__file__).parent.parent.parent


def rendered(directory: Path) -> Lab:
    """A lab without its ports."""
    lab = profiles.render("hardened", directory)
    for reserved in lab.reserved.values():
        for _, sock in reserved:
            sock.close()
    return lab


@pytest.mark.parametrize("name", ["mailhost", "log", "ca", "dns", "var"])
def test_link_in_place_of_a_directory_is_refused(place: Path, name: str) -> None:
    (place / "elsewhere").mkdir()
    (place / "lab").mkdir(mode=0o755)
    (place / "lab" / name).symlink_to(place / "elsewhere")
    with pytest.raises(LabError, match=f"{name} is not a directory"):
        profiles.render("hardened", place / "lab")
    assert list((place / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("name", ["ca.pem", "mailhost/main.cf", "credentials.json"])
def test_link_in_place_of_a_file_is_replaced(place: Path, name: str) -> None:
    (place / "precious").write_text("data")
    (place / "lab" / name).parent.mkdir(mode=0o755, parents=True)
    (place / "lab" / name).symlink_to(place / "precious")
    rendered(place / "lab")
    assert (place / "precious").read_text() == "data"
    assert stat.S_ISREG((place / "lab" / name).lstat().st_mode)


def test_directory_that_is_a_link_is_refused(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "lab").symlink_to(place / "elsewhere")
    with pytest.raises(LabError, match="is not a directory"):
        profiles.render("hardened", place / "lab")
    assert list((place / "elsewhere").iterdir()) == []


def test_directory_that_others_can_write_to_is_refused(place: Path) -> None:
    (place / "lab").mkdir()
    (place / "lab").chmod(0o777)
    with pytest.raises(LabError, match="written to by others"):
        profiles.render("hardened", place / "lab")
    (place / "lab").chmod(0o755)
    rendered(place / "lab")
    (place / "lab" / "mailhost").chmod(0o775)
    with pytest.raises(LabError, match="written to by others"):
        profiles.open_lab(place / "lab")


def test_directory_of_another_user_is_refused_in_one_line(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a directory away")
    (place / "lab").mkdir(mode=0o755)
    os.chown(place / "lab", 65534, 65534)
    result = subprocess.run(
        [sys.executable, "-m", "lab", "up", "--dir", str(place / "lab")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "XDG_RUNTIME_DIR": str(place / "runtime")},
        timeout=60,
        check=False,
    )
    assert result.returncode != 0
    assert "belongs to user 65534" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list((place / "lab").iterdir()) == []


def test_rendered_files_of_another_user_are_not_read(place: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    rendered(place / "lab")
    os.chown(place / "lab" / "lab.json", 65534, 65534)
    with pytest.raises(LabError, match="belongs to another user"):
        profiles.open_lab(place / "lab")


def test_new_directory_lets_services_through(place: Path) -> None:
    rendered(place / "new" / "lab")
    mode = stat.S_IMODE((place / "new" / "lab").stat().st_mode)
    assert mode == (0o711 if os.geteuid() == 0 else 0o700)
    profiles.open_lab(place / "new" / "lab")
