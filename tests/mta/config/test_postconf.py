"""The postconf command, alone and beside the real one."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mta.config.postconf import main
from tests import peers

Confdir = Callable[..., Path]

MAIN = """compatibility_level = 3.6
myhostname = mx.example.com
mynetworks = 127.0.0.0/8
message_size_limit = 1000
message_size_limit=3000
helper = 2
smtpd_recipient_limit = $helper
smtpd_relay_restrictions =
    # a comment
  permit_mynetworks,
     reject_unauth_destination
smtpd_banner = ${myhostname} and
   more
no_such_parameter = 1
process_name = me
smtp_helo_name = $undefined
smtpd_restriction_classes = mine, other
mine = permit
slow_destination_rate_delay = 1s
virtual_maps = hash:/x
alias_maps = ldap:old
old_server_host = h
old_nonsense = h
"""
MASTER = """smtp      inet  n       -       n       -       -       smtpd
submission inet n - y - 5 smtpd -v
  -o syslog_name=postfix/submission
  -o {smtpd_relay_restrictions = permit_sasl_authenticated, reject}
  -o smtpd_banner=$helper
  -o unused_here=1
slow unix - - n - - smtp -o local_name=x -o myhostname=$local_name
filter unix - n n - 10 pipe
  flags=Rq user=nobody argv=/bin/filter -f ${sender} {a b}
"""
CALLS = [
    ["-n"],
    ["-x", "-n"],
    ["-f", "-n"],
    ["-h", "-x", "smtpd_recipient_limit", "smtpd_banner"],
    ["-H", "mydestination"],
    ["-d", "smtpd_timeout", "relay_domains", "smtpd_expansion_filter"],
    ["-d", "-x", "relay_domains", "append_dot_mydomain"],
    ["-C", "user"],
    ["-C", "service", "-n"],
    ["-C", "service", "-d"],
    ["no_such_parameter", "nowhere"],
    ["-o", "helper=9", "-x", "smtpd_recipient_limit"],
    ["-M"],
    ["-Mf"],
    ["-M", "smtp"],
    ["-M", "nothing/unix"],
    ["-F"],
    ["-Fh", "slow/unix/command"],
    ["-FH", "smtp"],
    ["-P"],
    ["-P", "-x"],
    ["-Ph", "submission/inet/syslog_name"],
]
EDITS = [
    ["-e", "message_size_limit=77", "newone = 8"],
    ["message_size_limit=5"],
    ["-#", "smtpd_relay_restrictions", "smtpd_banner"],
    ["-X", "smtpd_relay_restrictions", "nonsense"],
    ["-Me", "foo/inet=foo inet n - n - - smtpd -o x=y"],
    ["-Me", "smtp/inet=smtp inet n - y - - smtpd"],
    ["-F", "smtp/inet/chroot=y", "slow/unix/command=smtp -v -o a=b"],
    ["-P", "smtp/inet/smtpd_banner=hello", "submission/inet/syslog_name=other"],
    ["-PX", "submission/inet/syslog_name"],
    ["-MX", "slow/unix"],
    ["-M#", "slow/unix", "smtp/inet"],
]


@pytest.fixture
def directory(confdir: Confdir) -> Path:
    path = confdir(MAIN, MASTER)
    # Postfix reads a file that was written this very second twice, and warns twice.
    peers.age(path / "main.cf", path / "master.cf")
    return path


@pytest.mark.interop
@pytest.mark.needs("postconf", "postfix")
@pytest.mark.parametrize("arguments", CALLS, ids=" ".join)
def test_output_and_warnings_are_the_real_ones(
    arguments: list[str], directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    real = subprocess.run(["postconf", "-c", directory, *arguments], capture_output=True, text=True, check=False)
    status = main(["-c", str(directory), *arguments])
    ours = capsys.readouterr()
    assert ours.out == real.stdout
    assert _warnings(ours.err) == _warnings(real.stderr)
    assert status == real.returncode


@pytest.mark.interop
@pytest.mark.needs("postconf", "postfix")
@pytest.mark.parametrize("arguments", EDITS, ids=" ".join)
def test_edited_files_are_the_real_ones(
    arguments: list[str], directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("real")
    for name in ("main.cf", "master.cf"):
        shutil.copy(directory / name, other / name)
    real = subprocess.run(["postconf", "-c", other, *arguments], capture_output=True, text=True, check=False)
    assert main(["-c", str(directory), *arguments]) == real.returncode
    for name in ("main.cf", "master.cf"):
        assert (directory / name).read_text() == (other / name).read_text()


def _warnings(text: str) -> list[str]:
    return sorted(line.partition("postconf: ")[2] for line in text.splitlines())


def test_lists(capsys: pytest.CaptureFixture[str], directory: Path) -> None:
    assert main(["-c", str(directory), "-a"]) == 0
    assert "dovecot" in capsys.readouterr().out.split()
    assert main(["-c", str(directory), "-m"]) == 0
    assert {"hash", "cidr", "pcre", "inline", "unionmap"} <= set(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["-n", "-d"], "specify one of -d and -n"),
        (["-M", "-P"], "specify one of -M -P"),
        (["-e"], "-e requires name=value argument"),
        (["-#", "a=b"], "names without value"),
        (["-Z"], "usage: postconf"),
        (["-C", "all,rubbish"], 'unknown -C option value "rubbish" in "all,rubbish"'),
        (["-F", "*/*/nosuch"], 'invalid service attribute name: "nosuch"'),
        (["-Me", "new/unix=new unix - - n"], 'bad field count: "new/unix=new unix - - n"'),
        (["-Me", "new/foo=new foo - - n - - smtp"], 'invalid type field "foo" in "new foo - - n - - smtp"'),
        (["-e", "a"], "missing '='"),
        (["-e", "a=b\nc=d"], "no multi-line input"),
        (["-P", "smtp/inet/x=a b"], "whitespace"),
    ],
)
def test_bad_calls_say_what_is_wrong(
    arguments: list[str], complaint: str, directory: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (directory / "main.cf").read_text()
    assert main(["-c", str(directory), *arguments]) == 1
    assert complaint in capsys.readouterr().err
    assert (directory / "main.cf").read_text() == before


def test_a_broken_file_is_reported_with_its_line(confdir: Confdir, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(confdir("a = b\nrubbish\n")), "-n"]) == 1
    assert "main.cf, line 2: missing '=' after attribute name" in capsys.readouterr().err


def test_editing_keeps_the_mode_and_leaves_no_temporary_file(directory: Path) -> None:
    (directory / "main.cf").chmod(0o640)
    assert main(["-c", str(directory), "-e", "biff = no"]) == 0
    assert (directory / "main.cf").stat().st_mode & 0o777 == 0o640
    assert sorted(path.name for path in directory.iterdir()) == ["main.cf", "master.cf"]
