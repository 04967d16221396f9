"""`hardmail audit` on the command line: consent, secrets, formats, exit status."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lab.audit import command
from lab.audit.checks import CHECKS, RULES
from lab.audit.finding import Severity
from lab.audit.settings import Allow
from lab.commands import hardmail
from lab.commands.audit import CONSENTS, FORMATS, SEVERITIES, audit
from lab.errors import UsageError
from tests.lab.audit.conftest import Session, serving, smtp
from tests.servers import free_port

REPOSITORY = Path(__file__).parents[3]


async def run(*arguments: str, environment: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lab", "audit", *arguments,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})}, cwd=REPOSITORY,
    )  # fmt: skip
    output, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode(), errors.decode()


async def against(session: Session, *arguments: str) -> tuple[int, str, str]:
    async with serving(session) as port:
        return await run(f"smtp://127.0.0.1:{port}", "--timeout", "1", "--rate", "1000", *arguments)


def test_the_choices_are_those_of_the_code() -> None:
    assert tuple(severity.word for severity in Severity) == SEVERITIES
    assert set(CONSENTS) == {consent.value for consent in Allow}
    assert FORMATS[0] == "text"


def test_every_option_is_documented() -> None:
    documented = (REPOSITORY / "docs/audit.md").read_text()
    for parameter in audit.params:
        for option in parameter.opts:
            if option.startswith("-") and option != "--output" and option != "--verbose":
                assert option in documented, option


async def test_findings_decide_the_exit_status() -> None:
    status, output, _ = await against(smtp(), "--fail-on", "high")
    assert (status, "starttls-missing" in output) == (0, True)
    status, output, _ = await against(smtp(), "--fail-on", "medium")
    assert status == 1


async def test_a_target_that_is_not_there_is_no_success() -> None:
    status, output, _ = await run(f"smtp://127.0.0.1:{free_port()}")
    assert (status, "connection refused" in output) == (69, True)


async def test_other_peoples_servers_are_left_alone() -> None:
    status, output, errors = await run("smtp://127.0.0.1:1", "smtp://8.8.8.8", "--timeout", "0.1")
    assert (status, output) == (64, "")
    assert "--i-own-this-host" in errors


@pytest.mark.parametrize("form", ["json", "sarif", "html", "text"])
async def test_a_report_goes_to_a_file(form: str, tmp_path: Path) -> None:
    status, output, _ = await against(smtp(), "--format", form, "-o", str(tmp_path / "report"))
    assert (status, output) == (1, "")
    text = (tmp_path / "report").read_text()
    assert "starttls-missing" in text
    if form in ("json", "sarif"):
        json.loads(text)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--allow", "smuggling"], "--sink"),
        (["--allow", "mail"], "--sink"),
        (["--sink", "a b@c"], "--sink"),
        (["--sender", "x>\r\nRCPT TO:<y@z"], "--sender"),
        (["--victim", "nobody"], "--victim"),
        (["--only", "nothing"], "--only"),
        (["--user", "alice"], "password"),
        (["--ca-file", __file__], "no usable CA"),
        (["--helo", "x\r\nMAIL"], "--helo"),
        (["--domain", "x\r\n"], "--domain"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_sent(arguments: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=re.escape(told)):
        audit.main(["smtp://127.0.0.1:1", *arguments], standalone_mode=False)


def test_the_password_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_text("from file\nnot this\n")
    assert command._password(file) == "from file"
    monkeypatch.setenv(command.PASSWORD_VARIABLE, "from the environment")
    assert command._password(None) == "from the environment"
    file.write_text("")
    with pytest.raises(UsageError, match="empty"):
        command._password(file)


def test_no_option_takes_a_password() -> None:
    assert not [p for p in audit.params if "password" in (p.name or "") and p.name != "password_file"]


def test_help_and_list_name_everything() -> None:
    def asked(*arguments: str) -> Result:
        return CliRunner().invoke(hardmail, ["audit", *arguments])

    for parameter in audit.params:
        assert all(option in asked("--help").output for option in parameter.opts if option.startswith("-"))
    listed = asked("--list").output
    assert all(check.name in listed for check in CHECKS)
    assert all(rule.id in listed for rule in RULES)
