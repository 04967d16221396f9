"""The command `hardmail ca`."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tls.authority import Authority
from tls.tool import main


@pytest.fixture
def ca(tree: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["create", str(tree / "ca"), "--name", "Test CA"]) == 0
    assert capsys.readouterr().out == f"{tree / 'ca/ca.pem'}\n"
    return tree / "ca"


def test_issued_certificates_are_verified_by_openssl(ca: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["issue", str(ca), "mail.example.org", "127.0.0.2"]) == 0
    certificate, key = capsys.readouterr().out.split()
    assert main(["issue", "--client", str(ca), "alice@example.org"]) == 0
    client, _ = capsys.readouterr().out.split()
    for file, purpose in ((certificate, "sslserver"), (client, "sslclient")):
        subprocess.run(["openssl", "verify", "-CAfile", ca / "ca.pem", "-purpose", purpose, file], check=True)
    assert Path(key).stat().st_mode & 0o777 == 0o600


def test_show(ca: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["issue", str(ca), "mail.example.org", "::1"])
    capsys.readouterr()
    assert main(["show", "--json", str(ca)]) == 0
    root, server = json.loads(capsys.readouterr().out)
    assert (root["kind"], root["subject"]) == ("authority", "CN=Test CA")
    assert server["names"] == ["mail.example.org", "::1"] and server["days_left"] in (396, 397)
    assert main(["show", str(ca)]) == 0
    assert "  names: mail.example.org, ::1\n" in capsys.readouterr().out


def test_renew(ca: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["issue", str(ca), "--days", "10", "short.example.org"])
    main(["issue", str(ca), "--days", "100", "long.example.org"])
    capsys.readouterr()
    assert main(["renew", str(ca)]) == 0
    assert capsys.readouterr().out == f"{ca / 'server-short.example.org.pem'}\n"
    assert main(["renew", str(ca), "--within", "30"]) == 0
    assert capsys.readouterr().out == ""
    assert all(credentials.days_left() > 30 for credentials in Authority.load(ca).issued())


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [
        ([], os.EX_USAGE, "usage"),
        (["issue", "CA"], os.EX_USAGE, "NAME"),
        (["renew", "CA", "--within", "-1"], os.EX_USAGE, "not a number of days"),
        (["renew", "CA", "--within", "9" * 400], os.EX_USAGE, "not a number of days"),
        (["create", "CA"], os.EX_CONFIG, "already an authority"),
        (["issue", "CA", "a b"], os.EX_CONFIG, "'a b'"),
        (["issue", "CA", "--client", "a", "b"], os.EX_CONFIG, "one name"),
        (["show", "CA/none"], os.EX_CONFIG, "ca.pem: No such file"),
        (["create", "/proc/none"], os.EX_CANTCREAT, "/proc/none: "),
    ],
)
def test_failures_are_one_line_and_an_exit_status(
    ca: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, text: str
) -> None:
    assert main([argument.replace("CA", str(ca)) for argument in arguments]) == status
    error = capsys.readouterr().err
    assert text in error
    assert status == os.EX_USAGE or error.count("\n") == 1


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "hardmail ca issue ./ca" in capsys.readouterr().out
