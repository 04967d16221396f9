"""Reading and checking main.cf."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.config import PARAMETERS, ConfigErrors, Kind, MainConfig, declared
from mta.config.maincf import FILE_LIMIT

Confdir = Callable[..., Path]
BASE = "compatibility_level = 3.6\n"


def test_the_last_value_wins_and_the_first_is_warned_about(confdir: Confdir) -> None:
    config = MainConfig.load(confdir(BASE + "message_size_limit = 1\nmessage_size_limit = 2\nmessage_size_limit=3\n"))
    assert config.int("message_size_limit") == 3
    assert [warning.rpartition("main.cf, ")[2] for warning in config.warnings] == [
        "line 3: overriding earlier entry: message_size_limit=1",
        "line 4: overriding earlier entry: message_size_limit=2",
    ]


def test_a_repeated_equal_value_is_no_news(confdir: Confdir) -> None:
    assert MainConfig.load(confdir(BASE + "biff = no\nbiff = no\n")).warnings == []


def test_typed_values_and_defaults(confdir: Confdir) -> None:
    config = MainConfig.load(
        confdir(
            BASE + "myhostname = mx.example.com\nhelper = 2\nsmtpd_recipient_limit = $helper\n"
            "smtpd_timeout = 5m\nsmtpd_helo_required = ${helper?yes}\n"
            "mydestination = $myhostname, localhost.$mydomain\n  example.org\n"
        )
    )
    assert config.int("smtpd_recipient_limit") == 2
    assert config.seconds("smtpd_timeout") == 300.0
    assert config.bool("smtpd_helo_required") is True
    assert config.list("mydestination") == ["mx.example.com", "localhost.example.com", "example.org"]
    assert config.str("smtpd_banner") == "mx.example.com ESMTP Postfix"
    assert config.raw("smtpd_banner") == "$myhostname ESMTP $mail_name"
    assert config.str("relay_domains") == ""
    assert config.seconds("maximal_queue_lifetime") == 5 * 86400.0
    assert config.is_set("myhostname")
    assert not config.is_set("smtpd_banner")
    assert config.where("smtpd_timeout").line == 5


def test_a_bare_number_takes_the_unit_of_the_default(confdir: Confdir) -> None:
    config = MainConfig.load(
        confdir(BASE + "maximal_queue_lifetime = 2\ndelay_warning_time = 4\nqueue_run_delay = 9\n")
    )
    assert config.seconds("maximal_queue_lifetime") == 2 * 86400.0
    assert config.seconds("delay_warning_time") == 4 * 3600.0
    assert config.seconds("queue_run_delay") == 9.0


def test_the_compatibility_level_chooses_defaults(confdir: Confdir) -> None:
    old = MainConfig.load(confdir(""))
    assert old.str("append_dot_mydomain") == "yes"
    assert old.compatibility_level == (0, 0, 0)
    new = MainConfig.load(confdir(BASE))
    assert new.str("append_dot_mydomain") == "no"
    assert new.compatibility_level == (3, 6, 0)


def test_unknown_names_are_errors_in_code_and_warnings_in_files(confdir: Confdir) -> None:
    config = MainConfig.load(
        confdir(BASE + "no_such = 1\nused = x\nmyorigin = $used\nsmtpd_restriction_classes = mine\nmine = permit\n")
    )
    with pytest.raises(KeyError):
        config.str("misspelt")
    assert config.raw("misspelt") is None
    assert config.str("no_such") == "1"
    assert [warning.rpartition("main.cf, ")[2] for warning in config.warnings] == [
        "line 2: unused parameter: no_such=1"
    ]


def test_per_transport_names_are_used_when_master_cf_has_the_transport(confdir: Confdir) -> None:
    main = BASE + "slow_destination_rate_delay = 1s\nfast_destination_rate_delay = 1s\n"
    config = MainConfig.load(confdir(main, "slow unix - - n - - smtp\n"))
    assert config.unused == ["fast_destination_rate_delay"]
    assert config.seconds("slow_destination_rate_delay") == 1.0
    assert config.int("slow_destination_concurrency_limit") == 20


def test_all_mistakes_are_reported_together_with_their_lines(confdir: Confdir) -> None:
    directory = confdir(
        BASE + "smtpd_timeout = 5x\nsmtpd_helo_required = maybe\nmessage_size_limit = big\n"
        "myorigin = ${broken\nsmtpd_recipient_limit = 0\nsmtpd_sasl_type =\nbiff = $a\na = $b\nb = $a\n"
        "unused = $\nsmtpd_restriction_classes = mine\nmine = ${\ninet_protocols = ipv5\nmynetworks_style = any\n"
    )
    with pytest.raises(ConfigErrors) as caught:
        MainConfig.load(directory)
    lines = [(error.where.line, error.message) for error in caught.value.errors]
    assert [line for line, _message in lines] == [2, 3, 4, 5, 6, 7, 8, 13, 14, 15]
    assert "bad time value or unit: 5x" in lines[0][1]
    assert "bad boolean configuration: maybe" in lines[1][1]
    assert "truncated macro reference" in lines[3][1]
    assert "unreasonable macro call nesting" in lines[6][1]
    assert str(caught.value).startswith(f"{directory}/main.cf, line 2: parameter smtpd_timeout:")


def test_syntax_errors_name_the_line(confdir: Confdir) -> None:
    with pytest.raises(ConfigErrors) as caught:
        MainConfig.load(confdir("a = b\nthis is none\n= c\n"))
    assert [str(error).rpartition("main.cf, ")[2] for error in caught.value.errors] == [
        "line 2: missing '=' after attribute name: \"this is none\"",
        'line 3: missing attribute name: "= c"',
    ]


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match=r"main\.cf: open: No such file or directory"):
        MainConfig.load(tmp_path)


def test_a_huge_file_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "main.cf").open("wb") as file:
        file.truncate(FILE_LIMIT + 1)
    with pytest.raises(ConfigErrors, match="larger than"):
        MainConfig.load(tmp_path)


def test_overrides_are_a_view_and_are_checked(confdir: Confdir) -> None:
    config = MainConfig.load(confdir(BASE + "smtpd_tls_security_level = may\n"))
    strict = config.with_overrides({"smtpd_tls_security_level": "encrypt", "smtpd_timeout": "9"})
    assert strict.str("smtpd_tls_security_level") == "encrypt"
    assert strict.seconds("smtpd_timeout") == 9.0
    assert config.str("smtpd_tls_security_level") == "may"
    with pytest.raises(ConfigErrors, match="bad time value"):
        config.with_overrides({"smtpd_timeout": "soon"})


def test_an_interface_that_is_down_stops_the_listeners_but_not_the_tools(confdir: Confdir) -> None:
    config = MainConfig.load(confdir(BASE + "inet_interfaces = 192.0.2.254\n"))
    with pytest.raises(ValueError, match="no local interface found"):
        _ = config.own_interfaces


def test_read_only_parameters_cannot_be_set(confdir: Confdir) -> None:
    config = MainConfig.load(confdir(BASE + "process_id = 1\n"))
    assert config.int("process_id") != 1


def test_host_and_domain_defaults_fit_together(confdir: Confdir) -> None:
    config = MainConfig.load(confdir(BASE))
    assert "." in config.str("myhostname")
    assert config.str("myhostname").partition(".")[2] == config.str("mydomain")
    assert MainConfig.load(confdir(BASE + "myhostname = a.b.c\n")).str("mydomain") == "b.c"
    assert MainConfig.load(confdir(BASE + "myhostname = single\n")).str("mydomain") == "localdomain"


def test_every_declared_default_is_a_value_of_its_type(confdir: Confdir) -> None:
    config = MainConfig.load(confdir(BASE + "myhostname = mx.example.com\n"))
    for name, parameter in PARAMETERS.items():
        match parameter.kind:
            case Kind.BOOLEAN:
                config.bool(name)
            case Kind.INTEGER:
                config.int(name)
            case Kind.TIME:
                config.seconds(name)
            case _:
                config.str(name)
        assert parameter.meaning.endswith(".")
        assert parameter.page
    assert declared("x_destination_recipient_limit") is not None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.text(alphabet="ab=$ {}#\n\t?:\\\x00\x80ü", max_size=80))
def test_any_file_is_read_or_refused_with_the_typed_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "main.cf").write_text(text, encoding="utf-8", newline="")
    try:
        assert isinstance(MainConfig.load(tmp_path).warnings, list)
    except ConfigErrors as error:
        assert error.errors
