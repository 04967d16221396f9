"""Reading master.cf."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mta.config import ConfigErrors, MainConfig, MasterConfig
from mta.config.mastercf import split_endpoint

GOOD = """
# service type  private unpriv  chroot  wakeup  maxproc command
smtp      inet  n       -       n       -       -       smtpd
127.0.0.1:submission inet n - y - 7 smtpd
  -o syslog_name=postfix/submission
  # a comment between options
  -o { smtpd_relay_restrictions = permit_sasl_authenticated, reject }
  -v
pickup    unix  n       -       n       60?     1       pickup
filter    unix  -       n       n       -       10      pipe
  flags=Rq user=nobody argv=/bin/filter -o ${sender} { a b }
"""


def test_columns_defaults_and_options() -> None:
    smtp, submission, pickup, pipe = MasterConfig.parse(GOOD)
    assert (smtp.name, smtp.type, smtp.private, smtp.unpriv, smtp.chroot) == ("smtp", "inet", False, True, False)
    assert (smtp.wakeup, smtp.maxproc, smtp.command, smtp.args) == (0, 100, "smtpd", ())
    assert submission.chroot
    assert submission.maxproc == 7
    assert dict(submission.overrides) == {
        "syslog_name": "postfix/submission",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    }
    assert submission.endpoint == ("127.0.0.1", "submission")
    assert submission.line == 4
    assert (pickup.wakeup, pickup.wakeup_conditional, pickup.maxproc) == (60, True, 1)
    assert pipe.private
    assert pipe.args == ("flags=Rq", "user=nobody", "argv=/bin/filter", "-o", "${sender}", "a b")
    assert pipe.overrides == {}


def test_main_cf_gives_defaults_and_switches_services_off(tmp_path: Path) -> None:
    (tmp_path / "main.cf").write_text(
        "default_process_limit = 3\nmaster_service_disable = pickup/unix, !smtp/inet inet\n"
    )
    (tmp_path / "master.cf").write_text(GOOD)
    services = MasterConfig.load(tmp_path, MainConfig.load(tmp_path))
    assert [service.name for service in services] == ["smtp", "filter"]
    assert services[0].maxproc == 3


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("smtp", 'missing "transport type" field'),
        ("smtp tcp n - n - - smtpd", "bad transport type: tcp"),
        ("smtp inet", 'missing "private" field'),
        ("smtp inet y - n - - smtpd", "inet service cannot be private"),
        ("smtp inet - - n - - smtpd", "inet service cannot be private"),
        ("smtp inet n x n - - smtpd", 'field "unprivileged": bad value: "x"'),
        ("smtp inet n - n ? - smtpd", 'field "wakeup_time": bad value: "?"'),
        ("smtp inet n - n - few smtpd", 'field "max_proc": bad value: "few"'),
        ("smtp inet n - n - -", 'missing "command" field'),
        ("smtp inet n - n - - -", 'field "command" has no default value'),
        ("smtp inet n - n - - smtpd -o nothing", "missing '=' after attribute name"),
        ("smtp inet n - n - - smtpd -o { a = b", 'missing "}"'),
        ("[::1 inet n - n - - smtpd", 'missing "]"'),
        ("host: inet n - n - - smtpd", "missing service information"),
        ("25x inet n - n - - smtpd", "garbage after numerical service"),
        ("b@d:25 inet n - n - - smtpd", "valid hostname or network address required"),
    ],
)
def test_mistakes_name_file_and_line(line: str, complaint: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        MasterConfig.parse(f"# comment\n{line}\n", "/x/master.cf")
    assert complaint in str(caught.value)
    assert str(caught.value).startswith("/x/master.cf, line 2: ")


def test_a_line_that_continues_nothing_is_skipped_with_a_warning() -> None:
    services = MasterConfig.parse("  smtp inet n - n - - smtpd\nqmgr unix n - n - 1 qmgr\n", "/x/master.cf")
    assert [service.name for service in services] == ["qmgr"]
    assert str(services.warnings[0]).startswith("/x/master.cf, line 1: logical line must not start with whitespace")


def test_all_mistakes_are_reported_together() -> None:
    with pytest.raises(ConfigErrors) as caught:
        MasterConfig.parse("a tcp\nsmtp inet n - n - - smtpd\nb inet y - n - - smtpd\n")
    assert [error.where.line for error in caught.value.errors] == [1, 3]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("25", ("", "25")),
        (":25", ("", "25")),
        ("smtp", ("", "smtp")),
        ("localhost:smtp", ("localhost", "smtp")),
        ("[::1]:2525", ("::1", "2525")),
        ("[IPv6:::1]:25", ("::1", "25")),
        ("::1:2525", ("::1", "2525")),
    ],
)
def test_endpoints(name: str, expected: tuple[str, str]) -> None:
    assert split_endpoint(name) == expected


def test_real_master_cf_is_read() -> None:
    path = Path("/etc/postfix/master.cf")
    if not path.exists():
        pytest.skip("Postfix is not installed here")
    assert {"smtp", "pickup", "qmgr"} <= {service.name for service in MasterConfig.load(path.parent)}


Parse = Callable[[str], object]


@given(st.text(alphabet="smtp inet-ny{}=o#\n\t?1[]:/", max_size=100))
def test_only_the_typed_error_escapes(text: str) -> None:
    for start in ("", "smtp inet n - n - - smtpd "):
        try:
            MasterConfig.parse(start + text)
        except ConfigErrors as error:
            assert error.errors
