"""Lines of master.cf that make a policy service, and those that do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.plan import postfix as plan_postfix
from lab.supervisor.listeners import UnixListener

MASTER = "smtp inet n - n - 1 smtpd\n{line}\n"


@pytest.mark.parametrize(
    ("line", "ours"),
    [
        ("policy-spf unix - n n - 0 hardmail-policyd", True),
        ("policyd-spf unix - n n - 0 spawn\n  user=policyd-spf argv=/usr/bin/policyd-spf", True),
        ("policy-spf unix - n n - - spawn user=nobody argv=/usr/sbin/postfix-policyd-spf-perl", True),
        ("spfcheck unix - n n - 0 spawn user=nobody argv=/usr/bin/python3 /usr/lib/policyd-spf/policyd-spf", True),
        ("greylist unix - n n - 0 spawn user=nobody argv=/usr/bin/perl /usr/lib/greylist.pl", False),
    ],
)
def test_policy_lines(tmp_path: Path, line: str, ours: bool) -> None:
    confdir = tmp_path / "conf"
    confdir.mkdir()
    (confdir / "main.cf").write_text(
        f"compatibility_level = 3.6\nqueue_directory = {tmp_path}/queue\ndata_directory = {tmp_path}/data\n"
    )
    (confdir / "master.cf").write_text(MASTER.format(line=line))
    found = plan_postfix.load(confdir, "x")
    services = {service.name: service for service in found.services}
    assert ("policyd" in services) is ours
    assert any("is not part of hardmail" in warning for warning in found.warnings()) is not ours
    assert any("in place of the program" in warning for warning in found.warnings()) is (ours and " spawn" in line)
    if ours:
        (listener,) = services["policyd"].listeners
        assert isinstance(listener, UnixListener)
        assert listener.path == tmp_path / "queue" / "private" / line.split()[0]
        assert listener.mode == 0o600
        assert services["policyd"].rules.write == ()
