"""exim.conf, sendmail.mc and access as main.cf: what each line becomes, what is told of the others, hostile files."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.errors import UsageError
from lab.importer import FORMATS, Translation, translate
from mta.config import MainConfig


def translated(place: Path, name: str, text: str) -> Translation:
    (place / name).write_text(text)
    return translate(place / name)


def settings(place: Path, name: str, text: str) -> dict[str, str]:
    """The settings as main.cf's own reader sees them; nothing is without a counterpart, nothing is unused."""
    result = translated(place, name, text)
    assert not result.missing
    (place / "main.cf").write_text("\n".join(result.lines()) + "\n")
    config = MainConfig.load(place)
    assert not [warning for warning in config.reader_warnings if "unused" in str(warning)]
    return {name: " ".join(s.value.split()) for name, s in config.settings.items() if name != "config_directory"}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("local_interfaces = 127.0.0.1 : 192.0.2.1.25", {"inet_interfaces": "127.0.0.1 192.0.2.1"}),
        ("local_interfaces = <; 127.0.0.1 ; ::1", {"inet_interfaces": "127.0.0.1 ::1"}),
        ("local_interfaces = 127.0.0.1 : ::::1", {"inet_interfaces": "127.0.0.1 ::1"}),
        ("local_interfaces = 0.0.0.0", {"inet_interfaces": "all"}),
        ("no_smtp_verify", {"disable_vrfy_command": "yes"}),
        ("receiver_verify = false", {"smtpd_reject_unlisted_recipient": "no"}),
        ('primary_hostname = "a.\\"example"', {"myhostname": 'a."example'}),
        ("HOST = a.example\nprimary_hostname = HOST", {"myhostname": "a.example"}),
        ("message_size_limit = 50M", {"message_size_limit": "52428800"}),
        ("domainlist local_domains = @ : \\\n   b.example", {"mydestination": "$myhostname b.example"}),
        ("hostlist relay_from_hosts = 10.0.0.0/8", {"mynetworks": "127.0.0.0/8 [::1]/128 10.0.0.0/8"}),
        (
            "A = x\n.ifdef A\n.ifndef B\nprimary_hostname = a.example\n.else\nprimary_hostname = b.example\n.endif\n"
            ".elifdef A\nqualify_domain = c.example\n.else\nqualify_domain = d.example\n.endif",
            {"myhostname": "a.example"},
        ),
        ("A = x\nA == a.example\nprimary_hostname = A", {"myhostname": "a.example"}),
        ("rbl_domains = a.example/reject", {"smtpd_client_restrictions": "reject_rbl_client a.example,"}),
        (
            "host_reject = 10.2.0.0/16 : *.b.example",
            {
                "smtpd_client_restrictions": "check_client_access cidr:{ { 10.2.0.0/16 REJECT } }, "
                "check_client_access inline:{ { b.example = REJECT } },"
            },
        ),
    ],
)
def test_options_of_exim(tmp_path: Path, text: str, wanted: dict[str, str]) -> None:
    assert settings(tmp_path, "exim.conf", text + "\nend\nnothing = here\n") == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("never_users = root", "no counterpart"),
        ("local_interfaces = 127.0.0.1.2525", "ports stand in master.cf"),
        ("local_interfaces = localhost", "no address"),
        ("local_domains = lsearch;/etc/domains", "lookups of Exim's own"),
        ("local_domains = *.a.example", "written out"),
        ("rbl_domains = a.example/warn", "warn_if_reject"),
        ("primary_hostname = ${lookup{x}}", "expansions"),
        ("receiver_verify = perhaps", "neither true nor false"),
        ("begin acl", "programs"),
        ("= 3", "no option"),
    ],
)
def test_what_exim_says_without_a_counterpart_is_told(tmp_path: Path, text: str, why: str) -> None:
    result = translated(tmp_path, "exim.conf", "# a comment\n" + text)
    (told,) = result.missing
    assert str(told).startswith(f"{tmp_path}/exim.conf, line 2: {text}: ")
    assert why in told.why
    assert "\n".join(result.lines()).count("=") == text.count("=")  # nothing but the comment


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("O PrivacyOptions=goaway,noetrn", {"disable_vrfy_command": "yes", "smtpd_helo_required": "yes",
         "smtpd_discard_ehlo_keywords": "dsn", "smtpd_etrn_restrictions": "reject"}),
        ("define(`SMART_HOST', `smtp:[a.example]')dnl", {"relayhost": "[a.example]"}),
        ("define(`confTLS_SRV_OPTIONS', `V')", {"smtpd_tls_ask_ccert": "no"}),
        ("DAEMON_OPTIONS(`Port=smtp,Addr=127.0.0.1, Name=MTA')dnl", {"inet_interfaces": "127.0.0.1"}),
        ("FEATURE(`dnsbl', `a.example', `\"550 no\"')dnl", {"smtpd_client_restrictions": "reject_rbl_client a.example,"}),
        ("define(`confMAX_MESSAGE_SIZE',\n  `100000')dnl a size", {"message_size_limit": "100000"}),
        ("divert(-1)\n# nothing\nOSTYPE(`debian')dnl\ndnl\n", {}),
    ],
)  # fmt: skip
def test_macros_and_options_of_sendmail(tmp_path: Path, text: str, wanted: dict[str, str]) -> None:
    assert settings(tmp_path, "sendmail.mc", text) == wanted


def test_rules_of_sendmail_cf_are_told_once(tmp_path: Path) -> None:
    result = translated(tmp_path, "sendmail.cf", "V10\nR$*  $1\nSparse\nO PrivacyOptions=novrfy\n")
    assert [entry.source.number for entry in result.missing] == [1]
    assert "disable_vrfy_command = yes" in result.lines()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("Connect:10.1 RELAY", {"mynetworks": "127.0.0.0/8 [::1]/128 10.1.0.0/16"}),
        ("Connect:IPv6:2001:db8::1 RELAY", {"mynetworks": "127.0.0.0/8 [::1]/128 [2001:db8::1]/128"}),
        ("user@ REJECT", {"smtpd_sender_restrictions": "check_sender_access inline:{ { user@ = REJECT } },"}),
        ("To:a.example RELAY", {"relay_domains": "a.example"}),
        (
            "From:x@a.example ERROR:5.7.1:550 costs $5",
            {"smtpd_sender_restrictions": "check_sender_access inline:{ { x@a.example = 550 5.7.1 costs $$5 } },"},
        ),
        (
            "Connect:a.example RELAY",
            {
                "smtpd_relay_restrictions": "permit_mynetworks, permit_sasl_authenticated, "
                "check_client_access inline:{ { a.example = OK } }, reject_unauth_destination,"
            },
        ),
        (
            "To:x@a.example 550 gone",
            {
                "smtpd_recipient_restrictions": "permit_mynetworks, permit_sasl_authenticated, "
                "check_recipient_access inline:{ { x@a.example = 550 gone } },"
            },
        ),
    ],
)
def test_entries_of_the_access_table(tmp_path: Path, text: str, wanted: dict[str, str]) -> None:
    assert settings(tmp_path, "access", text) == wanted


@pytest.mark.parametrize(
    "text", ["a.example", "From:a.example RELAY", "CERTIssuer:/CN=x RELAY", "Spam:a FRIEND", "To:a.example }, permit"]
)
def test_entries_without_a_counterpart_are_told(tmp_path: Path, text: str) -> None:
    result = translated(tmp_path, "access", text)
    assert len(result.missing) == 1
    assert all(line.startswith("#") or not line for line in result.lines())


def test_the_name_or_the_user_tells_the_format(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("no_smtp_verify\n")
    with pytest.raises(UsageError, match="--format"):
        translate(tmp_path / "config")
    assert "disable_vrfy_command = yes" in translate(tmp_path / "config", "exim").lines()


LINE = st.text(st.sampled_from("abc=:,()`'\"\\{}$#\t dnl!*@<;/+0129.\n"), max_size=60)
NAMES = st.sampled_from(
    [
        "local_interfaces = ",
        "define(`confCACERT', ",
        "PrivacyOptions=",
        "FEATURE(",
        "host_reject = ",
        "To:",
        "From:",
        "dnl ",
    ]
)


@given(st.sampled_from(sorted(FORMATS)), st.lists(st.tuples(NAMES, LINE), max_size=4))
def test_no_file_breaks_out_of_its_settings(kind: str, parts: list[tuple[str, str]]) -> None:
    """Whatever the file says: no exception, and nothing but settings that the translation knows, one line each."""
    from lab.importer.translation import Translation

    result = Translation()
    FORMATS[kind](Path("/nowhere/file"), "\n".join(name + line for name, line in parts), result)
    for line in result.lines():
        assert "\n" not in line
        assert (
            line.startswith(("#", " "))
            or not line
            or line.partition(" = ")[0].replace("_", "").removesuffix(" =").isalnum()
        )
