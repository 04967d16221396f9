"""hosts_access(5) and hosts_options(5): what is granted, what is refused, and what is told about a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest

from auth.tcpwrap import PARANOID, UNKNOWN, Host, Request, decide, parse
from auth.tcpwrap.access import expand

REFUSE_ALL = parse("ALL: ALL\n", "hosts.deny")


def granted(line: str, address: str = "192.0.2.1", name: str = UNKNOWN, user: str = UNKNOWN, files: str = "") -> bool:
    """Whether a line in hosts.allow lets the client in that hosts.deny would refuse."""

    def words(path: str) -> Sequence[str]:
        return files.split() if path == "/etc/friends" else ()

    request = Request("smtpd", Host(address, name), Host("192.0.2.25", "mail.example.org"), user)
    return decide(parse(line + "\n", "hosts.allow"), REFUSE_ALL, request, words).granted


@pytest.mark.parametrize(
    ("clients", "address", "name", "expected"),
    [
        ("192.0.2.1", "192.0.2.1", UNKNOWN, True),
        ("192.0.2.1", "192.0.2.11", UNKNOWN, False),
        ("192.0.2.", "192.0.2.77", UNKNOWN, True),
        ("192.0.2.", "192.0.20.77", UNKNOWN, False),
        (".example.com", "192.0.2.1", "mx.example.com", True),
        (".example.com", "192.0.2.1", "MX.EXAMPLE.COM", True),
        (".example.com", "192.0.2.1", "example.com", False),
        (".example.com", "192.0.2.1", "mx.badexample.com", False),
        ("mx.example.com", "192.0.2.1", "mx.example.com", True),
        ("192.0.2.0/255.255.255.0", "192.0.2.9", UNKNOWN, True),
        ("192.0.2.9/255.255.255.0", "192.0.2.9", UNKNOWN, False),  # the net has bits outside its mask
        ("192.0.2.0/25", "192.0.2.127", UNKNOWN, True),
        ("192.0.2.0/25", "192.0.2.128", UNKNOWN, False),
        ("[2001:db8::]/32", "2001:db8:1::5", UNKNOWN, True),
        ("[2001:db8::1]", "2001:db8:0:0::1", UNKNOWN, True),
        ("[2001:db9::]/32", "2001:db8::1", UNKNOWN, False),
        ("[::]/0", "192.0.2.1", UNKNOWN, False),
        ("ALL", "192.0.2.1", UNKNOWN, True),
        ("LOCAL", "192.0.2.1", "printer", True),
        ("LOCAL", "192.0.2.1", "printer.example.com", False),
        ("LOCAL", "192.0.2.1", UNKNOWN, False),
        ("KNOWN", "192.0.2.1", "mx.example.com", True),
        ("KNOWN", "192.0.2.1", UNKNOWN, False),
        ("KNOWN", "192.0.2.1", PARANOID, False),
        ("UNKNOWN", "192.0.2.1", UNKNOWN, True),
        ("UNKNOWN", "192.0.2.1", "mx.example.com", False),
        ("PARANOID", "192.0.2.1", PARANOID, True),
        ("PARANOID", "192.0.2.1", "mx.example.com", False),
        ("ALL EXCEPT PARANOID", "192.0.2.1", PARANOID, False),
        ("192.0.2. EXCEPT 192.0.2.1", "192.0.2.1", UNKNOWN, False),
        ("ALL EXCEPT 192.0.2. EXCEPT 192.0.2.1", "192.0.2.1", UNKNOWN, True),
        ("ALL EXCEPT 192.0.2. EXCEPT 192.0.2.1", "192.0.2.2", UNKNOWN, False),
        ("mx?.example.com", "192.0.2.1", "mx1.example.com", True),
        ("*.EXAMPLE.com", "192.0.2.1", "a.b.example.com", True),
        ("192.0.*.1", "192.0.2.1", UNKNOWN, True),
        ("192.0.2.7, 192.0.2.1", "192.0.2.1", UNKNOWN, True),
        ("/etc/friends", "192.0.2.1", UNKNOWN, True),
        ("/etc/nosuch", "192.0.2.1", UNKNOWN, False),
        ("ALL EXCEPT /etc/friends", "192.0.2.1", UNKNOWN, False),
    ],
)  # fmt: skip
def test_client_patterns(clients: str, address: str, name: str, expected: bool) -> None:
    assert granted(f"smtpd: {clients}", address, name, files="198.51.100. 192.0.2.1") is expected


@pytest.mark.parametrize(
    ("daemons", "expected"),
    [
        ("smtpd", True),
        ("SMTPD", True),
        ("imap", False),
        ("imap, smtpd", True),
        ("ALL EXCEPT smtpd", False),
        ("smtpd@192.0.2.25", True),
        ("smtpd@mail.example.org", True),
        ("smtpd@192.0.2.26", False),
        ("sm*", True),
    ],
)
def test_daemons(daemons: str, expected: bool) -> None:
    assert granted(f"{daemons}: ALL") is expected


def test_users() -> None:
    assert granted("smtpd: bob@192.0.2.", user="bob")
    assert not granted("smtpd: bob@192.0.2.", user="eve")
    assert granted("smtpd: UNKNOWN@ALL")
    assert not granted("smtpd: KNOWN@ALL")


def test_allow_comes_before_deny_and_no_rule_grants() -> None:
    request = Request("smtpd", Host("192.0.2.1"))
    nothing, own = parse("", "hosts.allow"), parse("smtpd: 192.0.2.1\n", "hosts.allow")
    assert decide(nothing, nothing, request).granted
    assert not decide(nothing, REFUSE_ALL, request).granted
    assert decide(own, REFUSE_ALL, request).granted
    decision = decide(nothing, parse("# first\nimap: ALL\nsmtpd: \\\n 192.0.2.1\n", "hosts.deny"), request)
    assert (decision.granted, decision.because) == (False, "hosts.deny, line 3")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("allow", True),
        ("deny", False),
        ("severity mail.notice: deny", False),
        ("severity=debug : allow", True),
        ("banners /etc/banners: deny", False),
        ("spawn /bin/echo %h \\: %a", True),
        ("twist /bin/echo 421 go away", False),
        ("aclexec /bin/true", False),
        ("twist /bin/echo : allow", False),  # must be at the end
        ("nonsense", False),
        ("severity mail.loud", False),
        ("severity post.info", False),
        ("severity", False),
        ("allow me", False),
        ("umask 9", False),
        ("keepalive : linger 3 : nice : umask 022 : rfc931 5", True),
        ("", False),
        ("allow :", False),
    ],
)
def test_options(options: str, expected: bool) -> None:
    assert granted(f"smtpd: ALL : {options}") is expected


def test_severity_and_banners_reach_the_decision() -> None:
    deny = parse("ALL: ALL : severity auth.warning : banners /etc/banners : DENY\n", "hosts.allow")
    decision = decide(deny, parse("", ""), Request("smtpd", Host("192.0.2.1")))
    assert (decision.granted, decision.level, decision.banners) == (False, logging.WARNING, "/etc/banners")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\nsmtpd ALL\n", 't, line 2: missing ":" separator; the line is ignored'),
        ("smtpd: ALL", "t, line 1: missing newline: nothing is read from here on, and hosts.deny refuses everybody"),
        ("smtpd: 192.0.2.0/33\n", "t, line 1: bad net/mask expression: 192.0.2.0/33"),
        ("smtpd: [2001::x]\n", "t, line 1: bad IPv6 address: [2001::x]"),
        ("smtpd: @trusted\n", "t, line 1: @trusted: NIS netgroups are not known here; the pattern matches nobody"),
        ("smtpd: ALL: shout\n", 't, line 1: bad option name: "shout"; the rule refuses whom it matches'),
        ("smtpd: ALL: spawn /bin/date\n", "t, line 1: spawn: hardmail never runs the command"),
        (
            "#\\\n\nsmtpd: ALL: twist /bin/date\n",
            "t, line 3: twist: hardmail never runs the command and refuses the client instead",
        ),
    ],
)
def test_problems_name_file_and_line(text: str, problem: str) -> None:
    assert [str(each) for each in parse(text, "t").problems] == [problem]


def test_a_broken_line_refuses_everybody_in_deny_and_grants_nobody_in_allow() -> None:
    request = Request("smtpd", Host("192.0.2.1"))
    for broken in ("imap: ALL", "imap: " + 3000 * "x" + "\nsmtpd: ALL\n"):
        assert not decide(parse(""), parse(broken), request).granted
        assert not decide(parse(broken), REFUSE_ALL, request).granted
        assert decide(parse(broken), parse(""), request).granted


def test_expansions_are_made_harmless() -> None:
    request = Request("smtpd", Host("192.0.2.1", "mx$(id).example"), Host("192.0.2.25"), "e;ve")
    assert expand("%a %A %d %h %n %N %u %c %s %% %x %", request) == (
        "192.0.2.1 192.0.2.25 smtpd mx__id_.example mx__id_.example unknown e_ve e_ve@mx__id_.example "
        "smtpd@192.0.2.25 % %x %"
    )
