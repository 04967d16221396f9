"""check_host(): the examples of RFC 7208 appendix A, its limits and its errors."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mta.policyd import Checker, Result
from mta.policyd.macros import Context, MacroError, expand
from mta.policyd.record import RecordError, parse
from mta.policyd.spf import LOOKUP_LIMIT, NAME_LIMIT

EXAMPLE = """
example.com MX mail-a.example.com
example.com MX mail-b.example.com
example.com A 192.0.2.10
example.com A 192.0.2.11
amy.example.com A 192.0.2.65
bob.example.com A 192.0.2.66
mail-a.example.com A 192.0.2.129
mail-b.example.com A 192.0.2.130
example.org MX mail-c.example.org
mail-c.example.org A 192.0.2.140
10.2.0.192.in-addr.arpa PTR example.com
65.2.0.192.in-addr.arpa PTR amy.example.com
140.2.0.192.in-addr.arpa PTR mail-c.example.org
4.0.0.10.in-addr.arpa PTR bob.example.com
"""


async def check(zone, text: str, address: str, sender: str = "amy@example.com", helo: str = "mail.example.com"):
    return await Checker(zone(text), "mx.example.net").check(address, sender.rpartition("@")[2], sender, helo)


@pytest.mark.parametrize(
    ("record", "address", "result"),
    [
        ("v=spf1 +all", "192.0.2.1", "pass"),
        ("v=spf1 a -all", "192.0.2.10", "pass"),
        ("v=spf1 a -all", "192.0.2.12", "fail"),
        ("v=spf1 a:example.org -all", "192.0.2.10", "fail"),
        ("v=spf1 mx -all", "192.0.2.129", "pass"),
        ("v=spf1 mx -all", "192.0.2.131", "fail"),
        ("v=spf1 mx:example.org -all", "192.0.2.140", "pass"),
        ("v=spf1 mx mx:example.org -all", "192.0.2.140", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.131", "pass"),
        ("v=spf1 mx/30 mx:example.org/30 -all", "192.0.2.143", "pass"),
        ("v=spf1 ptr -all", "192.0.2.10", "pass"),
        ("v=spf1 ptr -all", "192.0.2.65", "pass"),
        ("v=spf1 ptr -all", "192.0.2.140", "fail"),
        ("v=spf1 ptr -all", "10.0.0.4", "fail"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.65", "fail"),
        ("v=spf1 ip4:192.0.2.128/28 -all", "192.0.2.129", "pass"),
        ("v=spf1 ip4:192.0.2.129 ~all", "2001:db8::1", "softfail"),
        ("v=spf1 ip6:2001:db8::/32 ?all", "2001:db8::1", "pass"),
        ("v=spf1 ip4:192.0.2.1", "::ffff:192.0.2.1", "pass"),
        ("v=spf1 ip4:192.0.2.1", "192.0.2.2", "neutral"),
        ("v=spf1 ?ip4:192.0.2.1 -all", "192.0.2.1", "neutral"),
        ("V=SPF1 IP4:192.0.2.1 -ALL", "192.0.2.1", "pass"),
        ("v=spf1", "192.0.2.1", "neutral"),
        ("v=spf10 -all", "192.0.2.1", "none"),
        ("spf1 -all", "192.0.2.1", "none"),
        ("v=spf1 exists:%{l}.%{d} -all", "192.0.2.1", "pass"),
        ("v=spf1 exists:%{ir}.nosuch.example.com -all", "192.0.2.1", "fail"),
        ("v=spf1 unknown=x -all", "192.0.2.1", "fail"),
        ("v=spf1 a//64 -all", "192.0.2.10", "pass"),
        ("v=spf1 a:example.com/24//64 -all", "192.0.2.99", "pass"),
    ],
)
async def test_records(zone, record: str, address: str, result: str) -> None:
    outcome = await check(zone, f"{EXAMPLE}\nexample.com TXT {record}", address)
    assert outcome.result is Result(result), outcome


@pytest.mark.parametrize(
    "record",
    [
        "v=spf1 all:x -all",
        "v=spf1 -al",
        "v=spf1 ip4:192.0.2.256",
        "v=spf1 ip4:192.0.2.1/33",
        "v=spf1 ip4:192.0.2.1/08",
        "v=spf1 ip4:2001:db8::1",
        "v=spf1 ip6:192.0.2.1",
        "v=spf1 ip4",
        "v=spf1 include",
        "v=spf1 include:",
        "v=spf1 a: -all",
        "v=spf1 a/33 -all",
        "v=spf1 mx//129 -all",
        "v=spf1 ptr/24 -all",
        "v=spf1 exists:%{x}.example.com -all",
        "v=spf1 exists:%(l).example.com -all",
        "v=spf1 exists:example.123 -all",
        "v=spf1 exists:%{c}.example.com -all",
        "v=spf1 redirect=a.example redirect=b.example",
        "v=spf1 -all exp=a.example exp=b.example",
        "v=spf1 +-all",
        "v=spf1 a:ex%ample.com",
        "v=spf1 ünicode",
        "v=spf1 include:nosuch.example.com -all",
        "v=spf1 redirect=nosuch.example.com",
        "v=spf1 redirect=example.com",
    ],
)
async def test_permanent_errors(zone, record: str) -> None:
    outcome = await check(zone, f"example.com TXT {record}", "192.0.2.1")
    assert outcome.result is Result.PERMERROR, outcome
    assert outcome.problem


async def test_no_record_two_records_and_no_domain(zone) -> None:
    assert (await check(zone, "", "192.0.2.1")).result is Result.NONE
    two = "example.com TXT v=spf1 -all\nexample.com TXT v=spf1 +all"
    assert (await check(zone, two, "192.0.2.1")).result is Result.PERMERROR
    for domain in ("localhost", "", "a..b", "x" * 64 + ".example", "[192.0.2.1]"):
        assert (await check(zone, "", "192.0.2.1", f"a@{domain}")).result is Result.NONE


async def test_temporary_errors(zone) -> None:
    assert (await check(zone, "example.com TXT SERVFAIL", "192.0.2.1")).result is Result.TEMPERROR
    for term in ("a", "mx", "include:a.example.com", "exists:a.example.com", "redirect=a.example.com"):
        text = f"""
            example.com TXT v=spf1 {term}
            example.com A SERVFAIL
            example.com MX SERVFAIL
            a.example.com TXT SERVFAIL
            a.example.com A SERVFAIL
        """
        assert (await check(zone, text, "192.0.2.1")).result is Result.TEMPERROR, term
    found_first = "example.com TXT v=spf1 ip4:192.0.2.1 a -all\nexample.com A SERVFAIL"
    assert (await check(zone, found_first, "192.0.2.1")).result is Result.PASS


async def test_include_and_redirect(zone) -> None:
    text = """
        example.com TXT v=spf1 include:isp.example ~include:other.example redirect=end.example
        isp.example TXT v=spf1 ip4:192.0.2.1 -all
        other.example TXT v=spf1 ip4:192.0.2.2 exp=never.example -all
        end.example TXT v=spf1 ip4:192.0.2.3 -all
    """
    for address, result in (("1", "pass"), ("2", "softfail"), ("3", "pass"), ("4", "fail")):
        assert (await check(zone, text, f"192.0.2.{address}")).result is Result(result)


async def test_limits_on_questions(zone) -> None:
    names = [f"n{number}.example.com" for number in range(LOOKUP_LIMIT + 1)]
    addresses = "\n".join(f"{name} A 198.51.100.1" for name in names)
    terms = [f"a:{name}" for name in names]
    within = f"example.com TXT v=spf1 {' '.join(terms[:-1])} -all\n{addresses}"
    assert (await check(zone, within, "192.0.2.1")).result is Result.FAIL
    beyond = f"example.com TXT v=spf1 {' '.join(terms)} -all\n{addresses}"
    assert (await check(zone, beyond, "192.0.2.1")).result is Result.PERMERROR
    loop = "example.com TXT v=spf1 include:example.com -all"
    table = zone(loop)
    assert (await Checker(table).check("192.0.2.1", "example.com", "", "")).result is Result.PERMERROR
    assert len(table.asked) == LOOKUP_LIMIT + 1
    void = "example.com TXT v=spf1 a:x.example.com a:y.example.com a:z.example.com -all"
    assert (await check(zone, void, "192.0.2.1")).result is Result.PERMERROR
    many = "\n".join(f"example.com MX m{number}.example.com" for number in range(NAME_LIMIT + 1))
    assert (await check(zone, f"example.com TXT v=spf1 mx -all\n{many}", "192.0.2.1")).result is Result.PERMERROR


async def test_explanations(zone) -> None:
    text = """
        example.com TXT v=spf1 -all exp=why.%{d}
        why.example.com TXT %{i} is not one of %{d}'s designated mail servers.%_See https://%{d}/%{S} %{r}
    """
    outcome = await check(zone, text, "192.0.2.1")
    assert outcome.explanation == (
        "192.0.2.1 is not one of example.com's designated mail servers. See https://example.com/amy%40example.com "
        "mx.example.net"
    )
    broken = text.replace("%{i}", "%{q}")
    assert (await check(zone, broken, "192.0.2.1")).explanation == ""


MACROS = Context(
    __import__("ipaddress").ip_address("192.0.2.3"), "strong-bad@email.example.com", "email.example.com", "h"
)
MACROS6 = Context(__import__("ipaddress").ip_address("2001:db8::cb01"), MACROS.sender, MACROS.domain, "h")


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("%{s}", "strong-bad@email.example.com"),
        ("%{o}", "email.example.com"),
        ("%{d4}", "email.example.com"),
        ("%{d2}", "example.com"),
        ("%{dr}", "com.example.email"),
        ("%{d2r}", "example.email"),
        ("%{l}", "strong-bad"),
        ("%{l-}", "strong.bad"),
        ("%{lr-}", "bad.strong"),
        ("%{l1r-}", "strong"),
        ("%{ir}.%{v}._spf.%{d2}", "3.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "bad.strong.lp.3.2.0.192.in-addr._spf.example.com"),
        ("%%%_%-", "% %20"),
    ],
)
def test_macros(text: str, made: str) -> None:
    """RFC 7208 section 7.4."""
    assert expand(text, MACROS) == made


def test_macros_for_ipv6() -> None:
    assert expand("%{ir}.%{v}", MACROS6) == ("1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6")
    with pytest.raises(MacroError):
        expand("%{t}", MACROS)
    assert expand("%{t}", MACROS, explanation=True) == "0"


async def test_the_name_of_the_client(zone) -> None:
    text = f"{EXAMPLE}\nexample.com TXT v=spf1 exists:%{{p}} -all"
    assert (await check(zone, text, "192.0.2.65")).result is Result.PASS
    assert (await check(zone, text, "192.0.2.99")).result is Result.FAIL


TERMS = st.lists(
    st.sampled_from(
        [
            "v=spf1 ",
            " ",
            "a",
            "mx",
            "ptr",
            "all",
            "-",
            "~",
            "?",
            "+",
            ":",
            "/",
            "//",
            "24",
            "ip4:192.0.2.1",
            "include:",
            "=",
            "%{",
            "d",
            "}",
            "exists:",
            "redirect=",
            "exp=",
            "example.com",
            "r",
            "%",
            ".",
            "ip6:::1",
            "999",
        ]
    ),
    max_size=20,
).map("".join)


@given(st.one_of(st.text(max_size=80), TERMS.map(lambda text: "v=spf1 " + text)))
def test_any_text_is_a_record_or_a_typed_error(text: str) -> None:
    for end in range(len(text) + 1):
        with contextlib.suppress(RecordError):
            parse(text[:end])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TERMS, st.sampled_from(["192.0.2.1", "2001:db8::1", "x", "::ffff:1.2.3.4"]), st.text(max_size=30))
async def test_any_record_has_a_result(zone, text: str, address: str, sender: str) -> None:
    resolver = zone("example.com A 192.0.2.1\nexample.com MX example.com")
    resolver.records["example.com", "TXT"] = [f"v=spf1 {text}"]
    outcome = await Checker(resolver).check(address, "example.com", sender, "h.example")
    assert isinstance(outcome.result, Result)
