"""Mistakes in restriction lists: told at the start, all at once, with file and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mta.config import ConfigErrors

LISTS = [
    f"smtpd_{stage}_restrictions"
    for stage in ("client", "helo", "sender", "relay", "recipient", "data", "end_of_data", "etrn")
]


@pytest.mark.parametrize("parameter", LISTS)
@pytest.mark.parametrize(
    "before", ["", "permit_mynetworks,\n  ", "check_client_access cidr:{{127.0.0.1 OK}} ", "warn_if_reject "]
)
async def test_a_restriction_that_nobody_knows_is_an_error_in_every_list(
    start: Any, parameter: str, before: str
) -> None:
    with pytest.raises(ConfigErrors) as caught:
        await start(f"# a line\n{parameter} = {before}reject_everything_bad, reject_unauth_destination")
    [error] = caught.value.errors
    lines = Path(error.where.file).read_text().split("\n")
    assert lines[error.where.line - 1].startswith(parameter)
    assert error.message == f'{parameter}: unknown smtpd restriction: "reject_everything_bad"'


BAD_LISTS = [
    ("smtpd_recipient_restrictions = permit_mynetworks,\n  reject_unauth_destinations", "reject_unauth_destinations"),
    ("smtpd_client_restrictions = check_client_access", "argument is missing"),
    ("smtpd_client_restrictions = check_client_access nosuchtype:x", "nosuchtype"),
    ("smtpd_data_restrictions = inline:{a=b}", "table needs a restriction"),
    ("smtpd_client_restrictions = reject_rbl_client zone=1.2.3", "filter"),
    ("smtpd_client_restrictions = check_policy_service nonsense", "bad server name"),
    ("smtpd_restriction_classes = mine\nmine = rejct", "rejct"),
    ("local_header_rewrite_clients = nonsense", "nonsense"),
    ("receive_override_options = no_such_step", "unknown value: no_such_step"),
]


@pytest.mark.parametrize(("settings", "reason"), BAD_LISTS)
async def test_mistakes_are_configuration_errors_with_file_and_line(start: Any, settings: str, reason: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        await start(settings)
    (error,) = caught.value.errors
    assert reason in error.message
    assert "main.cf" in str(error.where)
    assert any(character.isdigit() for character in str(error.where).rpartition("main.cf")[2]), "a line number"


async def test_all_mistakes_are_told_at_once(start: Any) -> None:
    with pytest.raises(ConfigErrors) as caught:
        await start("smtpd_helo_restrictions = one, permit, two\nsmtpd_sender_restrictions = three")
    assert len(caught.value.errors) == 3
