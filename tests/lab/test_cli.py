"""The command line: quick help, tools by every name, one-line failures with sysexits."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.tools import TOOLS

ROOT = Path(__file__).parent.parent.parent


def hardmail(*arguments: str, program: str = "", cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command, or a link of the name `program`."""
    code = "import sys; sys.argv[0] = sys.argv.pop(1); from lab.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, program or "hardmail", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])},
    )


def test_help_names_every_command_and_tool() -> None:
    done = hardmail("--help")
    assert done.returncode == 0
    for name in (
        "demo",
        "up",
        "run",
        "reload",
        "status",
        "stop",
        "check",
        "import",
        "watch",
        "behaviours",
        "test",
        *TOOLS,
    ):
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize(
    "command", ["demo", "up", "run", "reload", "status", "stop", "check", "import", "watch", "behaviours", "test"]
)
def test_every_command_shows_an_example(command: str) -> None:
    done = hardmail(command, "--help")
    assert done.returncode == 0
    assert f"hardmail {command}" in done.stdout.partition("Example")[2]


@pytest.mark.parametrize("tool", sorted(TOOLS))
def test_every_tool_is_there(tool: str) -> None:
    from lab.tools import load

    assert callable(load(TOOLS[tool].entry))


def test_tool_by_subcommand_and_by_link(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text("myhostname = a.example\n")
    one = hardmail("postconf", "-c", str(tmp_path), "-h", "myhostname")
    two = hardmail("-c", str(tmp_path), "-h", "myhostname", program="/usr/sbin/postconf")
    assert one.stdout == two.stdout == "a.example\n"


def test_help_loads_no_service() -> None:
    code = (
        "import sys; sys.argv = ['hardmail', 'status', '--help']\ntry:\n from lab.cli import main; main()\nfinally:\n"
        " print([m for m in sys.modules if m.split('.')[0] in ('twisted', 'aiosmtpd', 'mta', 'imap', 'auth', 'ssl')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_start_loads_only_what_its_configuration_needs(tmp_path: Path) -> None:
    """Imports are most of the time that a start takes, and of the memory of an idle process."""
    (tmp_path / "main.cf").write_text(
        f"queue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\ninet_interfaces = 127.0.0.1\n"
    )
    (tmp_path / "master.cf").write_text("127.0.0.1:2525 inet n - n - - smtpd\nqmgr unix n - n 300 1 qmgr\n")
    code = (
        "import importlib, sys; from pathlib import Path; from lab import cli, plan, run; import lab.supervisor.runner\n"
        "for service in plan.load(Path(sys.argv[1])).services:\n"
        " for name in (service.entry.partition(':')[0], *service.preload):\n"
        "  importlib.import_module(name)\n"
        "print(*{'click', 'cryptography', 'dns', 'OpenSSL', 'twisted', 'auth.client', 'mta.authres'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("\n", "")


@pytest.mark.parametrize(
    ("main", "status", "line"),
    [
        ("smtpd_tls_auth_only = perhaps", os.EX_CONFIG, "main.cf, line 1: parameter smtpd_tls_auth_only: bad boolean"),
        (None, os.EX_CONFIG, "neither main.cf nor dovecot.conf is there"),
    ],
)
def test_run_and_check_tell_what_is_wrong(tmp_path: Path, main: str | None, status: int, line: str) -> None:
    if main is not None:
        (tmp_path / "main.cf").write_text(main)
        (tmp_path / "master.cf").write_text("")
    for command in ("run", "check"):
        done = hardmail(command, "-c", str(tmp_path))
        assert done.returncode == status
        assert line in done.stdout + done.stderr
        assert len((done.stdout + done.stderr).splitlines()) == 1


def test_check_tells_warnings_and_succeeds(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {tmp_path}/q\nsmtp_tls_securty_level = may\n"
        f"virtual_alias_maps = hash:{tmp_path}/missing\n"
    )
    (tmp_path / "master.cf").write_text("127.0.0.1:2525 inet n - n - - smtpd\n")
    done = hardmail("check", "-c", str(tmp_path))
    assert done.returncode == 0
    assert f"warning: {tmp_path}/main.cf, line 3: unused parameter: smtp_tls_securty_level=may" in done.stdout
    assert f"{tmp_path}/missing" in done.stdout
    assert not (tmp_path / "q").exists()  # looking makes nothing


def test_check_refuses_a_restriction_that_does_not_exist(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {tmp_path}/q\n"
        "smtpd_helo_restrictions = permit_mynetworks, reject_everything_bad\n"
    )
    (tmp_path / "master.cf").write_text("127.0.0.1:2525 inet n - n - - smtpd\n")
    done = hardmail("check", "-c", str(tmp_path))
    assert done.returncode == os.EX_CONFIG
    assert f"error: {tmp_path}/main.cf, line 3: " in done.stdout
    assert 'unknown smtpd restriction: "reject_everything_bad"' in done.stdout


def test_unknown_behaviour(tmp_path: Path) -> None:
    done = hardmail("behaviours", "show", "no-such")
    assert done.returncode == os.EX_USAGE
    assert done.stderr == "hardmail: no behaviour is called no-such; `hardmail behaviours list` shows them all\n"


def test_behaviours_are_listed_and_shown() -> None:
    listed = hardmail("behaviours").stdout.splitlines()
    assert len(listed) >= 28
    shown = hardmail("behaviours", "show", "no-open-relay").stdout
    assert "reject_unauth_destination" in shown
    assert "Weakened" in shown
