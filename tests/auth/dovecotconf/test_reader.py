"""Reading dovecot.conf: what each kind of line means, and every error with its file and line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.dovecotconf import ConfigErrors, DovecotConfig
from auth.dovecotconf.lexer import BadLine, logical_lines, parse

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("login_greeting = foo", "foo"),
        ("login_greeting=foo", "foo"),
        ("  login_greeting\t=  foo  ", "foo"),
        ("login_greeting = foo # bar", "foo"),
        ("login_greeting = foo#bar", "foo"),
        ('login_greeting = "foo # bar"', "foo # bar"),
        ('login_greeting = "foo \\"x\\" bar"', 'foo "x" bar'),
        ("login_greeting = 'foo \"x\" bar'", 'foo "x" bar'),
        ('login_greeting = "x  y"z', '"x  y"z'),
        ("login_greeting = foo \\\n   bar \\\n baz", "foo bar baz"),
        ("login_greeting = foo \\\n# between\n\n bar", "foo bar"),
        ("login_greeting = one\nlogin_greeting = two", "two"),
        ("login_greeting == x", "= x"),
        ("mail_plugins = a\nlogin_greeting = x  $mail_plugins  y", "x a y"),
        ('mail_plugins = a\nlogin_greeting = "x $mail_plugins"', "x $mail_plugins"),
        ("mail_plugins = a\nlogin_greeting = $mail_plugins\nmail_plugins = b", "a"),
    ],
)
def test_value(write: Write, text: str, expected: str) -> None:
    assert DovecotConfig.load(write(text)).str("login_greeting") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("foo = 1", "line 1: Unknown setting: foo"),
        ("\n\nfoo = 1", "line 3: Unknown setting: foo"),
        ("passdb {\n foo = 1\n}", "line 2: Unknown setting: passdb { foo"),
        ("blah foo {\n x=1\n}", "line 1: Unknown setting: blah { blah"),
        ("service auth\n{\n}", "line 1: Expecting '{'"),
        ("service auth { user = x }", "line 1: Garbage after '{'"),
        ("}", "line 1: Unexpected '}'"),
        ("= x", "line 1: Missing key name ('=' at the beginning of line)"),
        ("auth_failure_delay = 2 parsecs", "line 1: Invalid time interval: 2 parsecs"),
        ("auth_failure_delay = 2", "line 1: Time interval '2' is missing units (add e.g. 's' for seconds)"),
        ("auth_failure_delay = 2500 msecs", "line 1: Milliseconds not supported for this setting: 2500 msecs"),
        ("ssl = perhaps", "line 1: Invalid value: perhaps"),
        ("auth_verbose = maybe", "line 1: Invalid boolean value: maybe (use yes or no)"),
        ("default_process_limit = abc", "line 1: Invalid number abc: Not a valid number"),
        ("default_process_limit = -1", "line 1: Invalid number -1: Number too small"),
        ("default_vsz_limit = 1X", "line 1: Invalid size: 1X"),
        ("service a {\n inet_listener b {\n  port = 70000\n }\n}", "line 3: Invalid port number 70000"),
        ("service a {\n unix_listener b {\n  mode = 0999\n }\n}", "line 3: Invalid number: 0999"),
        ("!include nofile.conf", "line 1: No matches"),
        ("login_greeting = a $foo b", "line 1: Unknown variable: $foo"),
        ("passdb a {\n driver=static\n}\npassdb a {\n}", "line 4: passdb/a already exists"),
        ("passdb {\n args = x\n}", "passdb is missing driver"),
        ("protocols = imap xyz", "protocols: Unknown protocol: xyz"),
        ("default_internal_user = nosuchuserhere", "default_internal_user doesn't exist: nosuchuserhere"),
        ("imap_client_workarounds = nosuch", "imap_client_workarounds: Unknown workaround: nosuch"),
        ("namespace a {\n mailbox B {\n  special_use = \\C\n }\n}", "mailbox B: unknown special_use: \\C"),
        ("syslog_facility = nosuch", "Unknown syslog_facility: nosuch"),
        ("ssl_options = nosuch", "ssl_options: unknown flag: 'nosuch'"),
        ("auth_worker_max_count = 0", "auth_worker_max_count must be above zero"),
        ("ssl_verify_client_cert = yes", "ssl_verify_client_cert set, but ssl_ca not"),
        ("remote 10.0.0.0/33 {\n}", "line 1: Invalid network mask: 33"),
        ("listen =", "listen can't be set empty"),
        ("service auth {\n process_limit = 5\n}", "service(auth): process_limit must be 1"),
        ("service auth {\n unix_listener {\n mode=0\n}\n}", "service(auth): unix_listener: path must not be empty"),
        ("namespace a {\n separator = //\n}", "Namespace '': Hierarchy separator must be only one character long"),
    ],
)
def test_error(write: Write, text: str, expected: str) -> None:
    path = write(text)
    with pytest.raises(ConfigErrors) as caught:
        DovecotConfig.load(path)
    where = f"{path} " if expected.startswith("line") else f"{path}: "
    assert str(caught.value.errors[0]) == f"Error in configuration file {where}{expected}"


def test_all_errors_are_told_together(write: Write, tmp_path: Path) -> None:
    path = write("foo = 1\n!include other.conf\nssl = perhaps\n", **{"other.conf": "bar = 2\n"})
    with pytest.raises(ConfigErrors) as caught:
        DovecotConfig.load(path)
    assert [(error.file.name, error.line) for error in caught.value.errors] == [
        ("dovecot.conf", 1),
        ("other.conf", 1),
        ("dovecot.conf", 3),
    ]


def test_unclosed_block_names_its_start(write: Write) -> None:
    path = write("mail_debug = yes\nservice auth {\n user = x\n")
    with pytest.raises(ConfigErrors, match=r"Missing '}' \(section started at .*dovecot.conf:2\)"):
        DovecotConfig.load(path)


def test_includes_are_relative_and_sorted(write: Write, tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "10-a.conf").write_text("login_greeting = a\n!include_try missing.conf\n")
    (tmp_path / "conf.d" / "20-b.conf").write_text("login_greeting = b\n")
    assert DovecotConfig.load(write("!include conf.d/*.conf\n")).str("login_greeting") == "b"


def test_include_loop_is_an_error(write: Write) -> None:
    with pytest.raises(ConfigErrors, match="Recursive include file"):
        DovecotConfig.load(write("!include dovecot.conf\n"))


def test_file_value(write: Write, tmp_path: Path) -> None:
    config = DovecotConfig.load(write("ssl_cert = <cert.pem\n", **{"cert.pem": "certificate\n"}))
    assert config.path("ssl_cert") == tmp_path / "cert.pem"
    assert config.str("ssl_cert") == "certificate\n"
    assert config.path("ssl_key") is None


def test_missing_file_is_an_error_of_a_start_but_not_of_doveconf(write: Write) -> None:
    path = write("ssl_cert = <missing.pem\n")
    with pytest.raises(ConfigErrors, match=r"ssl_cert: Can't open file .*missing.pem: No such file or directory"):
        DovecotConfig.load(path)
    assert DovecotConfig.load(path, expand=False).raw("ssl_cert") == "missing.pem"


@pytest.mark.parametrize(
    ("text", "setting", "value", "warning"),
    [
        ("ssl_protocols = !SSLv3", "ssl_min_protocol", "TLSv1", "ssl_protocols has been replaced by ssl_min_protocol"),
        ("ssl_protocols = !SSLv3 !TLSv1 !TLSv1.1", "ssl_min_protocol", "TLSv1.2", "ssl_protocols has been replaced"),
        ("ssl_protocols = TLSv1.2", "ssl_min_protocol", "TLSv1.2", "ssl_protocols has been replaced"),
        ("ssl_dh_parameters_length = 2048", "ssl_dh", "", "ssl_dh_parameters_length is no longer needed"),
        ("protocols = imaps", "protocols", "imap", "'imaps' protocol can no longer be specified (use protocols=imap)."),
        ("protocols = imap imaps", "protocols", "imap", "'imaps' protocol is no longer necessary, remove it"),
    ],
)
def test_settings_of_older_versions(write: Write, text: str, setting: str, value: str, warning: str) -> None:
    config = DovecotConfig.load(write(text + "\n"))
    assert config.str(setting) == value
    assert config.warnings[0].startswith("NOTE: You can get a new clean config file")
    assert f":1: {warning}" in config.warnings[1]


def test_imaps_alone_closes_the_plain_port(write: Write) -> None:
    config = DovecotConfig.load(write("protocols = imaps\n"))
    assert {getattr(one, "port", 0) for one in config.service("imap-login").listeners} == {993}


def test_a_setting_outside_filters_after_one_inside_is_warned_of(write: Write) -> None:
    config = DovecotConfig.load(write("protocol imap {\n mail_plugins = a\n}\nmail_plugins = b\n"))
    assert "line 4: Global setting mail_plugins won't change the setting inside an earlier filter" in config.warnings[0]
    assert config.protocol("imap").str("mail_plugins") == "a"


def test_filters(write: Write) -> None:
    config = DovecotConfig.load(
        write(
            "mail_plugins = quota\nlocal 127.0.0.1 {\n ssl = no\n protocol imap {\n  mail_debug = yes\n }\n}\n"
            "protocol imap {\n mail_plugins = $mail_plugins imap_quota\n}\nprotocol !imap {\n verbose_ssl = yes\n}\n"
            "remote 10.0.0.0/8 {\n disable_plaintext_auth = no\n}\nlocal_name *.example.org {\n ssl = required\n}\n"
        )
    )
    assert config.protocol("imap").list("mail_plugins") == ["quota", "imap_quota"]
    assert config.list("mail_plugins") == ["quota"]
    assert not config.protocol("imap").bool("verbose_ssl")
    assert config.protocol("pop3").bool("verbose_ssl")
    assert config.connection(local="127.0.0.1").str("ssl") == "no"
    assert not config.connection(local="127.0.0.1").bool("mail_debug")
    assert config.protocol("imap").connection(local="127.0.0.1").bool("mail_debug")
    assert not config.connection(remote="10.200.0.1").bool("disable_plaintext_auth")
    assert config.connection(remote="11.0.0.1").bool("disable_plaintext_auth")
    assert config.connection(local_name="a.example.org").str("ssl") == "required"
    assert config.connection(local_name="a.b.example.org").str("ssl") == "yes"


def test_filters_in_the_wrong_order_are_refused(write: Write) -> None:
    with pytest.raises(ConfigErrors, match=r"use local \{ protocol \{ \.\. \} \} instead"):
        DovecotConfig.load(write("protocol imap {\n local 127.0.0.1 {\n }\n}\n"))


def test_blocks(write: Write) -> None:
    config = DovecotConfig.load(
        write(
            "passdb {\n driver = static\n}\npassdb {\n driver = passwd-file\n args = a b\n deny = yes\n}\n"
            'namespace inbox {\n inbox = yes\n mailbox "Sent Messages" {\n  special_use = \\Sent\n }\n}\n'
            "namespace inbox {\n separator = /\n}\n"
            "plugin {\n quota = count\n}\nplugin/quota_rule = *:storage=1G\n"
        )
    )
    assert [block.str("driver") for block in config.blocks("passdb")] == ["static", "passwd-file"]
    assert [block.bool("deny") for block in config.blocks("passdb")] == [False, True]
    (inbox,) = config.blocks("namespace")
    assert inbox.bool("inbox")
    assert inbox.str("separator") == "/"
    assert [mailbox.name for mailbox in inbox.blocks("mailbox")] == ["Sent Messages"]
    assert config.plugins == {"quota": "count", "quota_rule": "*:storage=1G"}


def test_defaults_and_types(write: Write) -> None:
    config = DovecotConfig.load(write("auth_cache_size = 10 M\nfirst_valid_uid = 8\n"))
    assert config.seconds("auth_failure_delay") == 2.0
    assert config.size("imap_max_line_length") == 65536
    assert config.size("auth_cache_size") == 10 << 20
    assert config.int("first_valid_uid") == 8
    assert config.bool("disable_plaintext_auth")
    assert config.is_set("auth_cache_size")
    assert not config.is_set("ssl")
    assert config.protocols == []
    with pytest.raises(KeyError):
        config.str("no_such_setting")


@given(st.text(alphabet=st.sampled_from(list("ab ={}<>$\"'\\#!\t\n/")), max_size=60))
def test_only_the_typed_error_leaves_the_lexer(text: str) -> None:
    for line in logical_lines(text):
        try:
            parse(line.text)
        except BadLine:
            continue


@given(st.binary(max_size=200))
def test_only_the_typed_error_leaves_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("conf") / "dovecot.conf"
    path.write_bytes(b"passdb {\n driver = static\n" + data)
    try:
        DovecotConfig.load(path)
    except ConfigErrors as error:
        assert error.errors
