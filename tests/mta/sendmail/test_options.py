"""The command line of sendmail(1), as programs have written it for decades."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.queue import Notify
from mta.queue.tool import Fatal
from mta.sendmail import options as modes
from mta.sendmail.options import BadOption, Options, parse


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("-t", Options(from_header=True)),
        ("-ti", Options(from_header=True, dot_ends=False)),  # PHP: sendmail -t -i
        ("-t -i", Options(from_header=True, dot_ends=False)),
        ("-oi -t", Options(from_header=True, dot_ends=False)),
        (
            "-FCronDaemon -i -odi -oem -oi -t -fcron@x",
            Options(fullname="CronDaemon", from_header=True, dot_ends=False, sender="cron@x"),
        ),
        ("-oem -oi -f a@x -- b@y", Options(dot_ends=False, sender="a@x", recipients=["b@y"])),  # mutt
        ("-i -- b@y c@z", Options(dot_ends=False, recipients=["b@y", "c@z"])),  # git send-email
        ("-f <> b@y", Options(sender="<>", recipients=["b@y"])),
        ("-r a@x b@y", Options(sender="a@x", recipients=["b@y"])),
        (
            "-N never -R hdrs -V id -B 8bitmime b@y",
            Options(notify=Notify.NEVER, ret="HDRS", envid="id", body="8BITMIME", recipients=["b@y"]),
        ),
        ("-N success,delay b@y", Options(notify=Notify.SUCCESS | Notify.DELAY, recipients=["b@y"])),
        ("-bs", Options(mode=modes.SMTP)),
        ("-bp", Options(mode=modes.LIST)),
        ("-bi", Options(mode=modes.ALIASES)),
        ("-I", Options(mode=modes.ALIASES)),
        ("-q", Options(mode=modes.FLUSH)),
        ("-q -v", Options(mode=modes.FLUSH, verbose=1)),
        ("-bd -q1h", Options(mode=modes.DAEMON)),
        ("-qI4F1C2A40", Options(mode=modes.FLUSH, retry_id="4F1C2A40")),
        ("-qRexample.org", Options(mode=modes.FLUSH, site="example.org")),
        ("-C /etc/x -v b@y", Options(confdir="/etc/x", verbose=1, recipients=["b@y"])),
        ("-U -n -m -x -G -Am -h 5 -L x -O y=z -X /log -e m b@y", Options(gateway=True, recipients=["b@y"])),
        ("-- -t", Options(recipients=["-t"])),
    ],
)
def test_understood(line: str, wanted: Options) -> None:
    assert parse(line.split()) == wanted


@pytest.mark.parametrize(
    "line",
    [
        *(
            "",
            "-i",
            "-f",
            "-Z b@y",
            "-bx b@y",
            "-B binary b@y",
        ),
        *("-qX", "-t -bs", "-t -bv", "-bs -t"),
    ],
)
def test_refused_as_wrong_use(line: str) -> None:
    with pytest.raises((Fatal, BadOption)):
        parse(line.split())


@pytest.mark.parametrize("words", [["a\nb@x"], ["-f", "a\r@x", "b@y"], ["-V", "a\0", "b@y"]])
def test_line_ends_in_arguments_are_refused(words: list[str]) -> None:
    with pytest.raises(Fatal):
        parse(words)


@given(st.lists(st.text(max_size=8), max_size=6))
def test_only_the_typed_error_escapes(words: list[str]) -> None:
    with contextlib.suppress(Fatal, BadOption):
        parse(words)


@pytest.mark.parametrize("line", ["-N sometimes b@y", "-N never,delay b@y", "-R some b@y"])
def test_bad_wishes_about_delivery_status_cost_no_mail(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(line.split()) == Options(recipients=["b@y"])
    assert capsys.readouterr().err == f"sendmail: warning: bad {line[:2]} option value -- ignored\n"
